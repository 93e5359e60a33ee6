"""How many examples a property test tries: fewer with `--hypothesis-profile=quick`, which `make unit` uses."""

from hypothesis import settings

_USUAL = 100
"""Examples of Hypothesis's default profile."""

settings.register_profile("quick", max_examples=15)


def examples(count: int) -> int:
    """The number of examples of a test that tries `count` of them where time does not matter."""
    return count * settings.default.max_examples // _USUAL
