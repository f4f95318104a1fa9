"""The page that lists every setting is the one the code writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_configuration_page_is_up_to_date() -> None:
    command = [sys.executable, "-m", "unicode_cmg.training.reference"]
    written = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PAGE.parents[1])
    assert PAGE.read_text(encoding="utf-8") == written.stdout
