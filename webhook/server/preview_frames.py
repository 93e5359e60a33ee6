"""The messages between the server and its preview worker, as JSON: a request for a preview, and the preview."""

import json
from typing import Any

import msgspec

from webhook.policy.findings import Violation, Warn
from webhook.policy.json_access import Raw
from webhook.policy.preview import PodsOfResource, Preview, PreviewRequest
from webhook.settings import Settings


class _Request(msgspec.Struct, frozen=True):
    """A `PreviewRequest` without the settings; both processes read them from the same environment."""

    pods: PodsOfResource
    had: Raw | None
    minor: int


class _Answer(msgspec.Struct, frozen=True):
    """A `Preview` without the parts that only answers for people have."""

    findings: tuple[Violation | Warn, ...]
    posture: str


_request = msgspec.json.Decoder(_Request)
_answer = msgspec.json.Decoder(_Answer)


def encode_request(request: PreviewRequest) -> bytes:
    """A request as the body of a frame.

    Raises:
        RecursionError: the resource is nested too deeply.

    """
    return _encode(_Request(request.pods, request.had, request.minor))


def decode_request(body: bytes, settings: Settings) -> PreviewRequest:
    """The request in the body of a frame."""
    found = _request.decode(body)
    return PreviewRequest(found.pods, found.had, settings, found.minor, fixes=False)  # an answer has none


def encode_preview(preview: Preview) -> bytes:
    """A preview as the body of a frame."""
    return _encode(_Answer(preview.findings, preview.posture))


def decode_preview(body: bytes) -> Preview:
    """The preview in the body of a frame."""
    found = _answer.decode(body)
    return Preview(found.findings, found.posture)


def _encode(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value)
    except OverflowError:  # an integer of more than 64 bits
        return json.dumps(msgspec.to_builtins(value)).encode()
