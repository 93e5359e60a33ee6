"""vmguard with other constants: `python -m tests.support.altered_vmguard ALTERATION... -- COMMAND...`.

For tests that would take hours with the real values, and for controls that show what the real values are good for.
"""

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import certs.issuing
import certs.rotation
import webhook.server.own_certificate
import webhook.server.run
from certs import Issued, Rotation
from webhook.cli.main import main

SHORT_KEEP_ALIVE = "keep-alive of 5 s"
LEAF_EVERY_SECOND = "new leaf every second"
SHORT_OVERLAP = "overlap of 5 s"
NO_OVERLAP = "no overlap"


def _short_keep_alive() -> None:
    webhook.server.run.KEEP_ALIVE = 5


def _leaf_every_second() -> None:
    """A leaf is due for renewal as soon as it is made, and the clock is looked at every second."""
    certs.issuing.renewal = lambda *_: datetime.min.replace(tzinfo=UTC)
    webhook.server.own_certificate.EVERY = 1.0


def _short_overlap() -> None:
    certs.issuing.OVERLAP = certs.rotation.OVERLAP = timedelta(seconds=5)


def _no_overlap() -> None:
    """The next authority takes the place of the current one at once: in the Secret, in the bundles and in the leaf."""

    def heal(found: Rotation, *_: Any, **__: Any) -> Rotation:
        return found

    def step(rotation: Rotation, *, create: Callable[[], Any], **_: Any) -> Rotation:
        return Rotation(rotation.next or rotation.current or create())

    def next_leaf(shown: Issued | None, rotation: Rotation, *_: Any, name: str, now: datetime, **__: Any) -> Any:
        current = rotation.current
        if current is None or (shown and shown.signer == current.certificate):
            return shown
        return Issued(current.issue([name], now=now, lifetime=certs.rotation.LEAF_LIFETIME), current.certificate)

    webhook.server.own_certificate.heal = heal
    webhook.server.own_certificate.step = step
    webhook.server.own_certificate.next_leaf = next_leaf


ALTERATIONS: dict[str, Callable[[], None]] = {
    SHORT_KEEP_ALIVE: _short_keep_alive,
    LEAF_EVERY_SECOND: _leaf_every_second,
    SHORT_OVERLAP: _short_overlap,
    NO_OVERLAP: _no_overlap,
}

if __name__ == "__main__":
    end = sys.argv.index("--")
    for each in sys.argv[1:end]:
        ALTERATIONS[each]()
    sys.argv[1 : end + 1] = []
    sys.exit(main())
