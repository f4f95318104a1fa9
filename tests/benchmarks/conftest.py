from __future__ import annotations

from pathlib import Path

import pytest
from tiny_ave import write_tiny_ave


@pytest.fixture(scope="session")
def ave(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds `AVE/data`."""
    return write_tiny_ave(tmp_path_factory.mktemp("tiny"))
