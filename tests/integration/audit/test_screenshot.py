"""The command of docs/audit.md that makes a picture of a report."""

import os
import struct

from tests.support.audit_reports import sample_report
from tests.support.documentation import as_printed, shell_lines
from tests.support.programs import program
from tests.support.server import ROOT
from webhook.audit.html_report import as_html

PNG = b"\x89PNG\r\n\x1a\n"


def test_the_documented_command_makes_a_picture(tmp_path):
    """The picture has the size of the window that the command names."""
    (command,) = [line for line in shell_lines((ROOT / "docs/audit.md").read_text()) if line.startswith("chromium ")]
    (tmp_path / "report.html").write_text(as_html(sample_report()), encoding="utf-8")
    # Chromium has no sandbox for root, and does not start without this option then.
    options = "--no-sandbox" if os.geteuid() == 0 else ""
    wrapper = tmp_path / "bin" / "chromium"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec {program("chromium")} {options} "$@"\n')
    wrapper.chmod(0o755)
    done = as_printed(command, PATH=str(wrapper.parent), folder=tmp_path, HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    picture = (tmp_path / "report.png").read_bytes()
    assert picture.startswith(PNG)
    assert struct.unpack(">II", picture[16:24]) == (1200, 1250)
