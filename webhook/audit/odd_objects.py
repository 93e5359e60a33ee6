"""Objects that no API server has stored: what they raise, and how a person reads it. One must not hide the others."""

import msgspec

from webhook.text import one_line

BROKEN = (msgspec.MsgspecError, RecursionError, ValueError, TypeError, KeyError, AttributeError)
"""What reading, trimming or judging such an object may raise; a ReviewError is a ValueError."""

_LONGEST = 500


def broken(error: Exception) -> str:
    """Why an object cannot be judged."""
    why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error) or type(error).__name__
    return one_line(f"the object has a shape that cannot be judged: {why}", _LONGEST)
