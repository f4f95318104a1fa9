"""The page that lists every setting is the one the code writes."""

from __future__ import annotations

import subprocess
import sys

from places import DOCS, ROOT

PAGE = DOCS / "reference" / "configuration.md"


def test_the_configuration_page_is_up_to_date() -> None:
    command = [sys.executable, "-m", "unicode_cmg.training.reference"]
    written = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert PAGE.read_text(encoding="utf-8") == written.stdout
