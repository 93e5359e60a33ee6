"""low-port: a container that is not root cannot listen on a port below 1024.

vmguard looks at `port`, `insertPorts`, `syslogSpec` and the other fields with ports. It looks at arguments that name an
address to listen at, and at the ports that containers of the user declare. It warns the person who applies the
resource.

Why: listening there needs the capability NET_BIND_SERVICE, which strict security drops. Some container runtimes allow
it all the same, by the sysctl net.ipv4.ip_unprivileged_port_start of the pod's network: Docker since 20.10, containerd
2 as it is delivered, and those of k3s, kind and minikube. With hostNetwork the sysctl of the node counts. It is 1024
unless an administrator changed it. vmguard knows neither.

What to do: listen on a higher port. The Service can still offer the low one:

    port: "8427"
    serviceSpec: {spec: {ports: [{name: http, port: 80, targetPort: 8427}]}}

Or let the pod lower the limit, which Pod Security allows. The component's own securityContext takes the place of the
strict one, so write all of it:

    securityContext:
      runAsNonRoot: true
      runAsUser: 65534
      runAsGroup: 65534
      fsGroup: 65534
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL]}
      seccompProfile: {type: RuntimeDefault}
      sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: "0"}]

NET_BIND_SERVICE in `capabilities.add` ends the warning, but a process that is not root only has it if its file does.

Source: kernel (`ip-sysctl`), Docker, containerd; flags of VictoriaMetrics, VictoriaLogs, VictoriaTraces, Alertmanager.
"""

import re
from collections.abc import Iterator, Mapping

from webhook.policy.conditions import value_at
from webhook.policy.findings import Finding, Fix, Violation, Warn
from webhook.policy.json_access import Raw, joined, laid_over, object_of, objects_of, within
from webhook.policy.posture import Posture
from webhook.policy.rules.rule import Rule
from webhook.policy.rules.subject import FlawedPod, PreviewedPod, arguments_of, sysctl_name
from webhook.policy.volume_users import ROOT, user_of

ID = "low-port"

_LIMIT = 1024
_LONGEST = 1000
_HIGHER = 8000
_FLAG = re.compile(r"(?i:.*listen-?addr(?:ess)?(?:\.tcp|\.udp)?)|vminsertAddr|vmselectAddr")
_PORT = re.compile(r"(?:^|:)(\d{1,5})\"?$")
_CAPABILITIES = {"NET_BIND_SERVICE", "CAP_NET_BIND_SERVICE", "ALL"}
_SYSCTL = "net.ipv4.ip_unprivileged_port_start"


def check(pod: PreviewedPod, posture: Posture) -> list[Finding]:
    """Findings for the containers of one pod."""
    spec = pod.pod["spec"]
    limit = _limit(spec)
    findings: list[Finding] = []
    for container in (*spec["containers"], *spec["initContainers"]):
        of_operator = container["name"] in posture.component.containers
        low: dict[int, list[str]] = {}
        for port, where in _ports(container):
            if 0 < port < limit and where not in low.setdefault(port, []):
                low[port].append(where)
        if not low or not _may_not(container, spec, pod.image_users):
            continue
        user = user_of(container, spec, pod.image_users)
        who = "another user than root" if user is None else "root" if user == ROOT else f"user {user}"
        listed = ", ".join(f"{port} ({' and '.join(where)})" for port, where in low.items())
        verb = "listens on" if of_operator else "declares"
        text = f"container {container['name']!r} {verb} port {listed} as {who} without NET_BIND_SERVICE: it cannot,"
        why = (
            "as on the node ports begin at 1024"
            if spec.get("hostNetwork") is True
            else "unless the runtime lowers ip_unprivileged_port_start"
        )
        findings.append(Warn(ID, f"{text} {why}. Use a port from 1024 on", about=(str(container["name"]),)))
    return findings


def _ports(container: Raw) -> Iterator[tuple[int, str]]:
    """The ports that a container listens on, and where each is named."""
    for argument in container.get("args") or ():
        flag, _, value = str(argument)[:_LONGEST].lstrip("-").partition("=")
        if _FLAG.fullmatch(flag):
            for address in value.split(","):
                found = _PORT.search(address)
                if found:
                    yield int(found[1]), flag
    for each in objects_of(container.get("ports")):
        port = each.get("containerPort")
        if type(port) is int:
            field = str(each.get("name"))  # a predicted port of a configuration file has the name of its field
            yield port, field if "." in field else "containerPort"


def _limit(spec: Raw) -> int:
    """The first port that needs no capability, as far as the pod says; on the node's network its sysctls are void."""
    if spec.get("hostNetwork") is True:
        return _LIMIT
    for each in objects_of(value_at(spec, ("securityContext", "sysctls"))):
        if sysctl_name(each) == _SYSCTL and str(each.get("value")).isdecimal():
            return min(int(str(each.get("value"))[:_LONGEST]), _LIMIT)
    return _LIMIT


def _may_not(container: Raw, spec: Raw, images: Mapping[str, int | None]) -> bool:
    """Whether a container surely may not listen on a low port by its own user and capabilities."""
    context = {**object_of(spec.get("securityContext")), **object_of(container.get("securityContext"))}
    added, dropped = (value_at(context, ("capabilities", field)) for field in ("add", "drop"))
    if isinstance(added, list) and not _CAPABILITIES.isdisjoint(map(str, added)):
        return False
    user = user_of(container, spec, images)
    if user == ROOT:
        return isinstance(dropped, list) and not _CAPABILITIES.isdisjoint(map(str, dropped))
    return user is not None or context.get("runAsNonRoot") is True


def words(container: Raw) -> list[str]:
    """The arguments that name addresses to listen on."""
    found = arguments_of(container)
    return [each for each in found if _FLAG.fullmatch(each[:_LONGEST].lstrip("-").partition("=")[0])]


def fix(finding: Violation | Warn, pod: FlawedPod) -> Fix:
    """Higher ports where fields of the resource name them, else the sysctl that lowers the limit."""
    name = finding.about[0] if isinstance(finding, Warn) else ""
    spec, component = pod.spec, pod.posture.component
    container = pod.container(name)
    low = [(port, where) for port, where in _ports(container) if 0 < port < _limit(spec)]
    arguments = object_of(pod.part.get("extraArgs"))
    fields: Raw = {}
    for port, flag in low:
        higher = port + _HIGHER
        if name == component.main and flag == component.listens and flag not in arguments:
            service = {"spec": {"ports": [{"name": "http", "port": port, "targetPort": higher}]}}
            fields |= {"port": str(higher), "serviceSpec": service}
        elif name == component.main and flag in arguments and str(arguments[flag]).endswith(f":{port}"):
            higher_address = str(arguments[flag]).removesuffix(str(port)) + str(higher)
            fields["extraArgs"] = {**fields.get("extraArgs", {}), flag: higher_address}
        elif name == component.main and "." in flag and value_at(pod.part, tuple(flag.split("."))) == str(port):
            *outer, last = flag.split(".")
            fields = joined(fields, within(outer, {last: str(higher)}))
        else:
            break
    else:
        return Fix(fields, notes=("Any free port from 1024 on will do.",))
    if spec.get("hostNetwork") is True:
        ports = ", ".join(str(port) for port, _ in low)
        note = f"A sysctl has no effect with hostNetwork. Set <a port from 1024 on> in container {name!r}, not {ports}."
        return Fix(notes=(note,))
    return Fix({"securityContext": _with_sysctl(pod)}, notes=("The sysctl holds for this pod alone.",))


def _with_sysctl(pod: FlawedPod) -> Raw:
    """The component's own security context with the sysctl; strict security in full where it has none."""
    if pod.posture.security_context == "custom":
        base: Raw = {}
    else:
        base = laid_over(pod.filling_pod, pod.filling_container)
    others = [
        each for each in objects_of(value_at(pod.spec, ("securityContext", "sysctls"))) if sysctl_name(each) != _SYSCTL
    ]
    return {**base, "sysctls": [*others, {"name": _SYSCTL, "value": "0"}]}


RULE = Rule(id=ID, order=75, text=__doc__, fix=fix, preview=check, words=words)
