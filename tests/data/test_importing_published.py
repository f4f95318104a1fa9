from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unicode_cmg.data.digits import write_digits
from unicode_cmg.data.importing import import_features


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("digits")
    write_digits(root / "data")
    return root / "data"


@pytest.mark.slow
def test_data_sets_in_their_published_layouts_are_imported_with_what_is_known_of_their_clips(
    digits: Path, tmp_path: Path
) -> None:
    ave = import_features(digits / "AVE", tmp_path / "ave").store
    assert ave.modalities == {"video": (10, 7, 7, 16), "audio": (10, 104), "text": (10, 32)}
    assert set(ave.columns) == {"label", "split", "group", "start", "end"}
    assert ave.valid_steps("text").min() < 10
    clotho = import_features(digits / "clotho2.1", tmp_path / "clotho").store
    assert clotho.present["text"].all()
    assert clotho.present["audio"].sum() == len(set(clotho.columns["group"])) == 90
    first = [clotho.columns["group"].index(item) for item in dict.fromkeys(clotho.columns["group"])]
    np.testing.assert_array_equal(np.flatnonzero(clotho.present["audio"]), first)
    flickr = import_features(digits / "FlickrSoundNet", tmp_path / "flickr").store
    assert set(flickr.modalities) == {"audio", "video"}
    avvp = import_features(digits / "AVVP", tmp_path / "avvp").store
    assert set(avvp.modalities) == {"audio", "video"}
