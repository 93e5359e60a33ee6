"""AdmissionReview v1 and v1beta1: decodes the fields that decisions read, and encodes the answer from a decision.

The two versions have the same fields on the wire; the answer has the version of its review. Recorded reviews have nulls
and fields that strict decoders refuse. So only fields that decisions read have types, and null counts as absent.
"""

from typing import Any, Literal, TypeVar

import msgspec

from webhook.objects import KubeObject, Metadata, Pod
from webhook.text import mismatch, one_line

T = TypeVar("T")

MOST_VOLUMES = 2000
MOST_MOUNTS = 20_000
"""Most mounts of all containers of a pod. A pod with more is refused and not judged, like one with more containers."""

MOST_CONTAINERS = 1000
"""Most containers of a pod, with init containers; the largest real pods have a few dozen.

A patch has about 250 bytes for each container, so this limits the answer.
"""

_LONGEST_UID = 253
"""Characters; the API server sends a UUID of 36, and the answer repeats it."""

API_VERSIONS = ("admission.k8s.io/v1", "admission.k8s.io/v1beta1")


_LONGEST = 300
"""Most characters of the error on a review; the decoder repeats some values of any length."""


class ReviewError(ValueError):
    """The body is no AdmissionReview that can be answered; the text states what is wrong and where."""


class GroupVersionKind(msgspec.Struct, frozen=True, gc=False):
    """`request.kind`."""

    group: str = ""
    version: str = ""
    kind: str = ""


class UserInfo(msgspec.Struct, frozen=True):
    """`request.userInfo`: the user of the API server who made the request."""

    username: str = ""
    groups: list[str] | None = None


class Request(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """`request` of an AdmissionReview. Fields are raw if few decisions read them, or if they depend on the kind."""

    uid: str
    kind: GroupVersionKind
    operation: str
    namespace: str | None = None
    name: str | None = None
    sub_resource: str | None = None
    user_info: msgspec.Raw = msgspec.Raw(b"null")
    dry_run: bool | None = None
    object: msgspec.Raw = msgspec.Raw(b"null")
    old_object: msgspec.Raw = msgspec.Raw(b"null")

    @property
    def from_node(self) -> bool:
        """Whether a kubelet made the request (it authenticates as `system:node:…` in group `system:nodes`)."""
        user = _decoded(_user, self.user_info, "userInfo")
        return user is not None and user.username.startswith("system:node:") and "system:nodes" in (user.groups or ())


class PodObject(msgspec.Struct, frozen=True, gc=False):
    """A pod with its spec as the original text; the decision cache compares that text."""

    spec: msgspec.Raw = msgspec.Raw(b"")
    metadata: Metadata = Metadata()


_ABSENT = PodObject()


class _PodRequest(Request, frozen=True, rename="camel"):
    object: PodObject = _ABSENT  # type: ignore[assignment]


class Review(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """An AdmissionReview with a request."""

    api_version: Literal["admission.k8s.io/v1", "admission.k8s.io/v1beta1"]
    kind: Literal["AdmissionReview"]
    request: Request


class _PodReview(Review, frozen=True, rename="camel"):
    request: _PodRequest


class ResponseStatus(msgspec.Struct, frozen=True):
    """Why it is denied."""

    message: str
    reason: str
    code: int
    status: str = "Failure"


class Response(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """`response` of an AdmissionReview; `patch` is base64."""

    uid: str
    allowed: bool | msgspec.UnsetType = msgspec.UNSET
    status: ResponseStatus | None = None
    patch_type: str = ""
    patch: str = ""
    warnings: tuple[str, ...] = ()
    audit_annotations: dict[str, str] = {}


class Answer(msgspec.Struct, frozen=True, rename="camel"):
    """An AdmissionReview with a response."""

    api_version: str
    response: Response
    kind: str = "AdmissionReview"


_pod_review = msgspec.json.Decoder(_PodReview)
_review = msgspec.json.Decoder(Review)
_user = msgspec.json.Decoder(UserInfo | None)
_pod = msgspec.json.Decoder(Pod)
_pod_object = msgspec.json.Decoder(PodObject)
_kube_object = msgspec.json.Decoder(KubeObject)
_raw = msgspec.json.Decoder(dict[str, Any])
_encode = msgspec.json.Encoder().encode


def decode(body: bytes) -> Review:
    """The review in a request body. It decodes reviews of pods, the most frequent ones, in one pass, others in two.

    Raises:
        ReviewError: not JSON, or not an AdmissionReview with a request in it, or its uid is too long to be repeated.

    """
    review = _decode(body)
    if len(review.request.uid) > _LONGEST_UID:
        raise ReviewError(f"not a valid AdmissionReview: its uid has more than {_LONGEST_UID} characters")
    return review


def _decode(body: bytes) -> Review:
    try:
        review = _pod_review.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _decoded(_review, body, "AdmissionReview")
    request = review.request
    whole = not request.sub_resource and request.object is not _ABSENT
    if whole and request.kind.kind == "Pod" and request.kind.group == "":
        return review
    return _decoded(_review, body, "AdmissionReview")


def pod_object(raw: msgspec.Raw | PodObject) -> PodObject:
    """The pod in `request.object`, without decoding its spec.

    Raises:
        ReviewError: its metadata has a wrong type.

    """
    return raw if isinstance(raw, PodObject) else _decoded(_pod_object, raw, "Pod")


def decode_pod(sent: PodObject) -> Pod:
    """The whole pod.

    Raises:
        ReviewError: a field that decisions read has a wrong type, or there are too many containers. Otherwise a user
            who can create pods could make every other pod wait.

    """
    spec = bytes(sent.spec)
    pod = _decoded(_pod, b'{"spec":%b}' % spec if spec else b"{}", "Pod")
    pod = Pod(pod.spec, sent.metadata)
    count = len(pod.spec.containers or ()) + len(pod.spec.init_containers or ())
    if count > MOST_CONTAINERS:
        raise ReviewError(f"not a valid Pod: {count} containers are too many: at most {MOST_CONTAINERS} are judged")
    count = len(pod.spec.volumes or ())
    if count > MOST_VOLUMES:
        raise ReviewError(f"not a valid Pod: {count} volumes are too many: at most {MOST_VOLUMES} are judged")
    containers = (*(pod.spec.containers or ()), *(pod.spec.init_containers or ()))
    count = sum(len(container.volume_mounts or ()) for container in containers)
    if count > MOST_MOUNTS:
        raise ReviewError(f"not a valid Pod: {count} mounts are too many: at most {MOST_MOUNTS} are judged")
    return pod


def decode_raw(raw: msgspec.Raw) -> dict[str, Any]:
    """Any object as plain JSON values, {} for null.

    Raises:
        ReviewError: it is no object.

    """
    return {} if bytes(raw) == b"null" else _decoded(_raw, raw, "object")


def decode_object(raw: msgspec.Raw) -> KubeObject | None:
    """The custom resource in `request.object` or `request.oldObject`, None for null.

    Raises:
        ReviewError: its metadata or spec has a wrong type.

    """
    return None if bytes(raw) == b"null" else _decoded(_kube_object, raw, "object")


def _decoded(decoder: msgspec.json.Decoder[T], data: bytes | msgspec.Raw, what: str) -> T:
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise ReviewError(f"not a valid {what}: {one_line(mismatch(error), _LONGEST)}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ReviewError(f"{what} is not valid JSON: {error}") from None
    except RecursionError:
        raise ReviewError(f"{what} is nested too deeply") from None


def encode(
    review: Review,
    *,
    allowed: bool,
    message: str = "",
    patch: str = "",
    warnings: tuple[str, ...] = (),
    annotations: dict[str, str] | None = None,
    facts: str = "",
) -> bytes:
    """The answer to `review`, of the same version and uid.

    `message` is the reason of a denial. `patch` is the text from `patch.encoded`. `facts` is one more audit annotation.
    Empty fields are left out.
    """
    response = Response(
        uid=review.request.uid,
        allowed=allowed,
        status=None if allowed else ResponseStatus(message, "Forbidden", 403),
        patch_type="JSONPatch" if patch else "",
        patch=patch,
        warnings=warnings,
        audit_annotations={**(annotations or {}), **({"facts": facts} if facts else {})},
    )
    return _encode(Answer(review.api_version, response))


def review_of(document: dict[str, Any], *, uid: str, namespace: str, name: str, operation: str = "CREATE") -> bytes:
    """The AdmissionReview v1 of a bare object, as the API server would send it at its creation."""
    group, _, version = document["apiVersion"].rpartition("/")
    kind = {"group": group, "version": version, "kind": document["kind"]}
    request = {"uid": uid, "kind": kind, "namespace": namespace, "name": name, "operation": operation}
    return _encode(
        {"apiVersion": API_VERSIONS[0], "kind": "AdmissionReview", "request": {**request, "object": document}}
    )


def review_of_pod(pod: msgspec.Raw, *, uid: str, namespace: str, name: str) -> Review:
    """The same as `review_of`, for a pod's JSON; the decision decodes it."""
    kind = GroupVersionKind("", "v1", "Pod")
    request = Request(uid, kind, "CREATE", namespace=namespace, name=name, object=pod)
    return Review("admission.k8s.io/v1", "AdmissionReview", request)
