"""Drive a decision: answer each lookup that it yields from a source of facts, until it returns its result.

`drive` is for a source that knows every answer at once (files). `drive_async` waits for what is not cached.
`advance` is the step that both share: a server calls it first, and starts a task only where a lookup is left.
"""

from typing import Generic

import msgspec

from webhook.facts import FactSource, Lookup, Names, Resolved, Steps, T


class Done(msgspec.Struct, Generic[T], frozen=True):
    """The result of a computation that has ended."""

    result: T


def advance(steps: Steps[T], source: FactSource, answer: Resolved | None = None) -> Done[T] | Lookup | Names:
    """Send `answer` (None at the start) and answer from the cache as far as it goes.

    Returns the result, or the lookup that is not cached; its answer is what `steps` must be sent next.
    """
    try:
        while True:
            lookup = steps.send(answer)
            answer = source.cached(lookup)
            if answer is None:
                return lookup
    except StopIteration as end:
        return Done(end.value)


def drive(steps: Steps[T], source: FactSource) -> T:
    """The result, by a source whose answers are all cached.

    Raises:
        LookupError: an answer is not cached.

    """
    step = advance(steps, source)
    if isinstance(step, Done):
        return step.result
    raise LookupError(f"{step.ref} is not cached")


async def drive_async(steps: Steps[T], source: FactSource, deadline: float, needed: Lookup | Names | None = None) -> T:
    """The result, by the deadline of `FactSource.get`; `needed` is the lookup that `steps` wait for already."""
    step = needed or advance(steps, source)
    while not isinstance(step, Done):
        step = advance(steps, source, await source.get(step, deadline))
    return step.result
