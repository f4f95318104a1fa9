from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from tiny_across import write_tiny_across
from tiny_ave import write_tiny_ave
from tiny_avvp import write_tiny_avvp
from tiny_retrieval import write_tiny_retrieval
from tiny_runs import ROOTS, run
from tiny_ucf_vgg import write_tiny_ucf_vgg

from benchmarks import TaskResult


@pytest.fixture(scope="session")
def ave(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds `AVE/data`."""
    return write_tiny_ave(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def avvp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds `AVVP`."""
    return write_tiny_avvp(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def across(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds `AVE`, `AVVP` and `AVE_AVVP`."""
    return write_tiny_across(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def ucf_vgg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds `UCF101` and `vggsound40k`."""
    return write_tiny_ucf_vgg(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def retrieval(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds Clotho, MSCOCO and FlickrSoundNet."""
    return write_tiny_retrieval(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def root_of(request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """Task -> its data."""
    return lambda task: request.getfixturevalue(ROOTS.get(task, "retrieval"))


@pytest.fixture(scope="session")
def result_of(root_of: Callable[[str], Path]) -> Callable[..., TaskResult]:
    """Task, protocol -> the result in all directions and dimensions; each is made once."""
    made = cache(lambda task, protocol: run(task, root_of(task), protocol))
    return lambda task, protocol="held-out": made(task, protocol)
