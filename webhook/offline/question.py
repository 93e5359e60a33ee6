"""The shape of the long form of a dry-run question. Its OpenAPI description is made from this type."""

from typing import Annotated, Any

import msgspec


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A pod, the objects to decide by, and the cluster's version."""

    pod: Annotated[dict[str, Any], msgspec.Meta(description="the Pod to judge")]
    objects: Annotated[
        list[dict[str, Any]], msgspec.Meta(description="its owners, their custom resource, and so on")
    ] = []
    kubernetes_version: Annotated[str | None, msgspec.Meta(description="such as 1.30")] = None
