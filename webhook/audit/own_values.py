"""What a redacted report may show beside the words of vmguard's texts: values, fields and places that no user chose."""

import re

from webhook.audit.trimmed import FIELD_NAMES as TRIMMED_FIELDS
from webhook.offline.reply import LEVELS
from webhook.policy.components import COMPONENTS, KINDS, PARENTS
from webhook.policy.context_fields import FIELDS
from webhook.policy.enforcement import EXEMPT
from webhook.policy.token_volume import TOKEN_PATH, VOLUME
from webhook.policy.volume_groups import NO_DATA, SOURCES

WELL_KNOWN = frozenset(
    {
        *(name for component in COMPONENTS for name in (component.name, *component.containers)),
        *(VOLUME, TOKEN_PATH, "kube-root-ca.crt", "vm-operator", "net.ipv4.ip_unprivileged_port_start"),
    }
)
"""Names that every cluster has, so no user chose them."""

VALUES = frozenset(
    {
        *("ALL", "Always", "CHOWN", "DaemonSet", "Default", "Deployment", "FOWNER", "File", "Localhost", "MountOption"),
        *("NET_BIND_SERVICE", "None", "OnRootMismatch", "Pod", "Recursive", "ReplicaSet", "RuntimeDefault"),
        *("StatefulSet", "Strict", "Merge", "SYS_ADMIN", "CAP_SYS_ADMIN", "TCP", "UDP", "SCTP", "Unconfined"),
        *("Unmasked", "v1", "apps/v1", "linux", "windows", "…", ""),
        *(each.kind for each in KINDS),
        *LEVELS,
        *SOURCES,
        *NO_DATA,
    }
)
"""Values of fields that no user chose."""

BARE = frozenset({"true", "false", "null", "{}", "[]"})
"""What YAML has without quotation marks and is no text."""

NAMING = frozenset(
    {
        *("name", "namespace", "generateName", "uid", "claimName", "secretName", "serviceAccountName", "nodeName"),
        *("mountPath", "subPath", "path", "server", "driver", "image", "host", "localhostProfile"),
    }
)
"""Fields whose value somebody chose, whatever it looks like."""

NUMBERS = frozenset({"port", "value", "listenPort"})
"""Fields whose value may be a number in quotation marks; elsewhere that is a name."""

QUOTED_FIELDS = frozenset(
    {
        *("type", "localhostProfile", "name", "value"),
        *(part for row in FIELDS for part in row.name.split("/")),
        *(key for row in FIELDS if isinstance(row.types, dict) for key in row.types if key != "[]"),
    }
)
"""Names of fields that a text may have in quotation marks."""

KEYS = QUOTED_FIELDS | TRIMMED_FIELDS | NAMING | {"apiVersion", "kind", "metadata", "ownerReferences", "controller"}
"""Names of fields of pods and resources."""

RESOURCES = frozenset(
    {
        *("configmaps", "controllerrevisions", "csidrivers", "customresourcedefinitions", "daemonsets", "deployments"),
        *("mutatingadmissionpolicies", "mutatingadmissionpolicybindings", "mutatingwebhookconfigurations"),
        *("namespaces", "persistentvolumeclaims", "persistentvolumes", "pods", "podsecuritypolicies", "replicasets"),
        *("statefulsets", "storageclasses", *(each.plural for each in KINDS)),
    }
)

OF_REFUSALS = {"resource": RESOURCES, "group": frozenset({"", "apps", "policy", "operator.victoriametrics.com"})}
"""What may stand in quotation marks in a refusal of the API server, by the word before."""

ROOTS = frozenset(
    {
        *("spec", "metadata", "securityContext", "podMetadata", "zones", "zoneCommon", "containers", "initContainers"),
        *(path[0] for component in COMPONENTS if (path := component.path[1:])),
        *(each.settings[0] for component in COMPONENTS for each in component.beside if each.settings),
        *(child.field for children in PARENTS.values() for child in children.values()),
    }
)
"""The fields that a place in a resource begins with; a name with dots may begin with any other."""

POINTED = ("securityContext", "containers", "initContainers", "volumes", "automountServiceAccountToken")
"""The fields of a pod's spec that a JSON pointer in a text begins with; a path may look like any other."""

COMMANDS = frozenset(
    {
        *("kubectl", "vmguard", "label", "namespace", f"{EXEMPT}-", "exec", "get", "audit", "--verify"),
        *("psp", "mutatingwebhookconfigurations", "-n", "-c", "--", "-R", "-u", "debug"),
        *("id", "stat", "chown", "chgrp", "'%u:%g", "%a", "%n'"),
    }
)
"""Words of the commands in fixes."""

NAME_FOLLOWS = frozenset(
    {
        *(
            "namespace",
            "claim",
            "volume",
            "container",
            "annotation",
            "label",
            "driver",
            "CSI",
            "user",
            "User",
            "policy",
        ),
        *("PodSecurityPolicy", "webhook", "cluster", "-n", "Namespace", "Rename", "named", "profile", "image"),
        *(each.kind for each in KINDS),
    }
)
"""Words that a name follows in texts, unless vmguard's own texts have the two words together."""

ADVISED = re.compile(
    rf'({{apiGroups: \["[a-z0-9.]*"\], resources: \["({"|".join(sorted(RESOURCES))})"\], verbs: \["[a-z]+"\]}})?'
)
