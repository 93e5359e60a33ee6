"""Drives a decision: it answers each step that the decision yields, until the result.

A step is a lookup, which a source of facts answers, or the request for a preview, which a source of previews answers.
`drive` is for sources that know every answer at once (files). `drive_async` waits for missing answers. Both use
`advance`: a server calls it first, and starts a task only if a step is left.
"""

from typing import Generic, Protocol

import msgspec

from webhook.facts import FactSource, Lookup, Names, Resolved, T
from webhook.policy.preview import DecisionSteps, NotPreviewed, Preview, PreviewRequest

Step = Lookup | Names | PreviewRequest


class Done(msgspec.Struct, Generic[T], frozen=True):
    """The result of a computation that has ended."""

    result: T


class PreviewSource(Protocol):
    """A source of previews."""

    def now(self, request: PreviewRequest) -> Preview | None:
        """The preview, if it may be made in this process; None if the caller must await `get`."""

    async def get(self, request: PreviewRequest, deadline: float) -> Preview | NotPreviewed:
        """The preview, by `deadline`, a time of the running loop's clock in seconds; never raises."""


class PreviewsHere:
    """Makes previews in this process, at each request."""

    def now(self, request: PreviewRequest) -> Preview:
        """The preview."""
        return request.preview()

    async def get(self, request: PreviewRequest, deadline: float) -> Preview:  # noqa: ARG002 - the protocol's shape
        """The same as `now`."""
        return request.preview()


_HERE = PreviewsHere()


def advance(
    steps: DecisionSteps[T],
    source: FactSource,
    answer: Resolved | Preview | NotPreviewed | None = None,
    previews: PreviewSource = _HERE,
) -> Done[T] | Step:
    """Send `answer` (None at the start), and answer all steps that need no waiting.

    Returns the result, or the step that the caller must await; `steps` then needs the answer of this step.
    """
    try:
        while True:
            step = steps.send(answer)
            answer = previews.now(step) if isinstance(step, PreviewRequest) else source.cached(step)
            if answer is None:
                return step
    except StopIteration as end:
        return Done(end.value)


def drive(steps: DecisionSteps[T], source: FactSource) -> T:
    """The result, with a source that has all answers cached.

    Raises:
        LookupError: an answer is not cached.

    """
    step = advance(steps, source)
    if isinstance(step, Done):
        return step.result
    raise LookupError(f"{step} is not cached")


async def drive_async(
    steps: DecisionSteps[T],
    source: FactSource,
    deadline: float,
    needed: Step | None = None,
    previews: PreviewSource = _HERE,
) -> T:
    """The result, by the deadline of `FactSource.get`; `needed` is the step that `steps` wait for already."""
    step = needed or advance(steps, source, None, previews)
    while not isinstance(step, Done):
        waited_for = previews if isinstance(step, PreviewRequest) else source
        answer = await waited_for.get(step, deadline)  # type: ignore[arg-type]  # each is asked for its own steps
        step = advance(steps, source, answer, previews)
    return step.result
