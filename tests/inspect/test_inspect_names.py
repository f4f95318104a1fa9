"""What users import from `unicode_cmg.inspect`."""

from __future__ import annotations

import subprocess
import sys

import pytest

from unicode_cmg import inspect


@pytest.mark.slow
def test_every_name_is_there_and_counting_codes_imports_no_drawing() -> None:
    assert all(callable(getattr(inspect, name)) for name in inspect.__all__)
    code = "import sys; from unicode_cmg.inspect import describe_codes; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
