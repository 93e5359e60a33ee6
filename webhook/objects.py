"""Kubernetes objects with the fields that decisions read.

Decoding reads the fields of these classes and skips the rest (`managedFields` is often the larger half of a pod). So a
wrong type in an unused field has no effect, and decoding finds a wrong type in a used field. On the wire, field names
are those of the API, in camelCase. Decoded objects contain no reference cycles, so frequent types opt out of garbage
collection (`gc=False`). This module decides nothing.
"""

from typing import Any

import msgspec


class OwnerReference(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """An entry of `metadata.ownerReferences`."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None

    @property
    def group(self) -> str:
        """The API group, "" for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        """The API version without its group, such as `v1beta1`."""
        return self.api_version.rpartition("/")[2]


class Metadata(msgspec.Struct, frozen=True, rename="camel", gc=False, eq=False):
    """An object's `metadata`; it equals only itself."""

    name: str | None = None
    generate_name: str | None = None
    namespace: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    labels: dict[str, str | None] | None = None
    annotations: dict[str, str | None] | None = None
    owner_references: list[OwnerReference] | None = None
    deletion_timestamp: str | None = None


class VolumeMount(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """An entry of a container's `volumeMounts`."""

    name: str = ""
    mount_path: str = ""


class Container(msgspec.Struct, frozen=True, rename="camel"):
    """A container or init container; `security_context` is the raw object, because rules fill it by table."""

    name: str = ""
    args: list[str] | None = None
    volume_mounts: list[VolumeMount] | None = None
    security_context: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        """Check the one nested object of a raw security context that a patch may change; a wrong type is refused."""
        if self.security_context and not isinstance(self.security_context.get("capabilities"), dict | None):
            raise ValueError("securityContext.capabilities must be an object")


class ProjectedSource(msgspec.Struct, frozen=True, rename="camel"):
    """An entry of `projected.sources`: a token, or a possible source of the API server's certificate."""

    service_account_token: dict[str, Any] | None = None
    config_map: dict[str, Any] | None = None
    secret: dict[str, Any] | None = None
    cluster_trust_bundle: dict[str, Any] | None = None


class Projected(msgspec.Struct, frozen=True):
    """A projected volume."""

    sources: list[ProjectedSource] | None = None


class SecretVolume(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """A volume made from a Secret."""

    secret_name: str | None = None


class Volume(msgspec.Struct, frozen=True):
    """An entry of `spec.volumes`."""

    name: str = ""
    projected: Projected | None = None
    secret: SecretVolume | None = None

    @property
    def holds_token(self) -> bool:
        """Whether it projects a service account token."""
        if self.projected is None:
            return False
        return any(source.service_account_token is not None for source in self.projected.sources or ())


class PodOS(msgspec.Struct, frozen=True, gc=False):
    """`spec.os`."""

    name: str = ""


class PodSpec(msgspec.Struct, frozen=True, rename="camel"):
    """A pod's `spec`; absent lists are None as on the wire."""

    containers: list[Container] | None = None
    init_containers: list[Container] | None = None
    volumes: list[Volume] | None = None
    security_context: dict[str, Any] | None = None
    automount_service_account_token: bool | None = None
    service_account_name: str | None = None
    os: PodOS | None = None


class Pod(msgspec.Struct, frozen=True):
    """A pod at admission: at CREATE it may have a `generateName` and no name."""

    spec: PodSpec
    metadata: Metadata = Metadata()

    @property
    def display_name(self) -> str:
        """The name, or the generateName with a `*` in place of the API server's suffix."""
        return self.metadata.name or f"{self.metadata.generate_name or ''}*"


class KubeObject(msgspec.Struct, frozen=True, gc=False):
    """An owner or custom resource: its metadata and, if decisions read it, its raw spec."""

    metadata: Metadata = Metadata()
    spec: dict[str, Any] | None = None
