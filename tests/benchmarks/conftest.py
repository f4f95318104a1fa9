from __future__ import annotations

from pathlib import Path

import pytest
from tiny_ave import write_tiny_ave
from tiny_avvp import write_tiny_avvp


@pytest.fixture(scope="session")
def ave(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds `AVE/data`."""
    return write_tiny_ave(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def avvp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds `AVVP`."""
    return write_tiny_avvp(tmp_path_factory.mktemp("tiny"))
