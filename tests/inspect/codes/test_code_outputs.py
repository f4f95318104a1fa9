from __future__ import annotations

import csv
import errno
import os
from pathlib import Path
from typing import Any

import pytest
from lookup_method import Lookup

from unicode_cmg.checkpoints.tensors import state_fingerprint
from unicode_cmg.data import FeatureStore
from unicode_cmg.errors import InputError
from unicode_cmg.files import read_json
from unicode_cmg.inspect import DescribedCodes, write_codes


@pytest.mark.slow
def test_the_table_has_a_row_for_each_code(model: Lookup, store: FeatureStore, tmp_path: Path) -> None:
    found = write_codes(model, store, tmp_path / "codes")
    with (tmp_path / "codes" / "codes.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(found.codes) == 7
    for row, code in zip(rows, found.codes, strict=True):
        assert (int(row["code"]), row["kind"]) == (code.code, code.kind)
        assert (
            row["colour"] == {"shared": "green", "between": "blue", "single": "red", "unused": ""}[code.kind]
        )
        for m in model.modalities:
            assert int(row[f"count_{m}"]) == code.counts[m]
            assert float(row[f"share_{m}"]) == code.shares[m]
            places = [place.split("@") for place in row[f"nearest_{m}"].split("; ")]
            assert places == [[s.clip, str(s.step)] for s in code.nearest[m]]
        words = [word.rsplit(":", 1) for word in row["words_text"].split("; ") if word]
        assert words == [[w.word, str(w.steps)] for w in code.words["text"]]
        assert row["nearest_words_text"].split("; ") == [s.word for s in code.nearest["text"] if s.word]
        assert [other.split(":")[0] for other in row["similar"].split("; ")] == [
            str(other.code) for other in code.similar
        ]
    assert "words_audio" not in rows[0]


@pytest.mark.slow
def test_the_folder_holds_the_record_and_a_picture(
    model: Lookup, store: FeatureStore, tmp_path: Path
) -> None:
    found = write_codes(model, store, tmp_path / "codes", nearest=2)
    assert sorted(f.name for f in (tmp_path / "codes").iterdir()) == ["codes.csv", "codes.json", "codes.png"]
    assert DescribedCodes.parse(read_json(tmp_path / "codes" / "codes.json"), where="test") == found
    assert (found.checkpoint, found.features) == (state_fingerprint(model), store.fingerprint)
    assert (tmp_path / "codes" / "codes.png").read_bytes().startswith(b"\x89PNG")


def test_a_refusal_leaves_no_folder(model: Lookup, store: FeatureStore, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown code layer"):
        write_codes(model, store, tmp_path / "codes", code_layer="layer9")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="this is a file"):
        write_codes(model, store, tmp_path / "file")


@pytest.mark.slow
def test_on_a_full_disk_the_earlier_files_stay(
    model: Lookup, store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_codes(model, store, tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("unicode_cmg.inspect.codes.picture.draw_codes", full)
    with pytest.raises(InputError, match="disk is full"):
        write_codes(model, store, tmp_path, raw=True)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
