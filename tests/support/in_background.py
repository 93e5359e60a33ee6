"""Something that runs beside a test, in a thread of its own."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def in_background(run: Callable[[], object], end: Callable[[], object]) -> Iterator[threading.Thread]:
    """Call `run` in a thread; at the end of the block call `end`, which makes it return, and wait for that."""
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield thread
    finally:
        end()
        thread.join()
