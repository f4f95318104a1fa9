from __future__ import annotations

from pathlib import Path

import pytest

from unicode_cmg.data.digits import Digits, build_digits, write_digits


@pytest.fixture(scope="session")
def digits_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default data set of seed 0, written once; tests only read it."""
    root = tmp_path_factory.mktemp("digits") / "data"
    write_digits(root)
    return root


@pytest.fixture(scope="session")
def built_digits() -> Digits:
    """The clips in `digits_root`."""
    return build_digits("default", 0)


@pytest.fixture(scope="session")
def reference_digits() -> Digits:
    """The clips of the reference recipe of seed 0."""
    return build_digits("reference", 0)
