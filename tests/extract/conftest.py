"""What several tests of extraction need: torchaudio, or the reason why it is not there."""

from __future__ import annotations

import pytest

from unicode_cmg.errors import InputError
from unicode_cmg.extract.front_ends import torchaudio


@pytest.fixture
def torchaudio_here() -> None:
    """Skip a test where torchaudio cannot be imported."""
    try:
        torchaudio()
    except InputError as error:
        pytest.skip(str(error))
