"""The `vmguard` command, run to its end as a person runs it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.patience import PATIENCE
from tests.support.server import environment


def vmguard(
    *arguments: object, stdin: Any = "", cwd: Path | None = None, patience: float = PATIENCE, **extra: str
) -> tuple[int, str, str]:
    """`(status, stdout, stderr)` of one run; an object for `stdin` is passed as JSON, `extra` is its environment.

    It must end within `patience` seconds.
    """
    command = [sys.executable, "-m", "webhook.cli.main", *map(str, arguments)]
    text = stdin if isinstance(stdin, str) else json.dumps(stdin)
    done = subprocess.run(
        command,
        input=text,
        capture_output=True,
        text=True,
        env=environment(**extra),
        cwd=cwd,
        timeout=patience,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr
