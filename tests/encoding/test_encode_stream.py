from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_models import dcid, lookup

from unicode_cmg.data import FeatureStore
from unicode_cmg.encoding import encode_store, iterate_codes, stream
from unicode_cmg.errors import InputError


def test_batches_cover_the_store_in_order(store: FeatureStore) -> None:
    batches = list(iterate_codes(lookup(), store, batch_size=4))
    assert [len(batch.rows) for batch in batches] == [4, 4, 3]
    assert np.concatenate([batch.rows for batch in batches]).tolist() == list(range(len(store)))
    for batch in batches:
        assert list(batch.encodings) == list(batch.masks) == ["audio", "text"]
        assert torch.equal(batch.masks["text"], store.batch(batch.rows).masks["text"])


def test_the_model_is_in_evaluation_mode_while_it_encodes_and_as_before_between(store: FeatureStore) -> None:
    model = lookup().train()
    for batch in iterate_codes(model, store, batch_size=4):
        assert model.training
        assert not batch.encodings["audio"].codes.requires_grad
    assert {training for _, _, training, _ in model.seen} == {False}


def test_only_a_batch_of_clips_is_read_at_a_time(store: FeatureStore, tmp_path: Path) -> None:
    model = lookup()
    encode_store(model, store, tmp_path / "c.parquet", batch_size=3)
    assert {clips for _, clips, _, _ in model.seen} == {2, 3}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_features_are_cast_to_the_dtype_of_the_model(store: FeatureStore, dtype: torch.dtype) -> None:
    model = lookup().to(dtype)
    (batch,) = iterate_codes(model, store)
    assert {seen for *_, seen in model.seen} == {dtype}
    expected = store.batch(range(len(store)), dtype=dtype).features["text"] @ model.maps["text"]
    assert torch.equal(batch.encodings["text"].general, expected)


def test_what_store_and_model_share_is_encoded(store: FeatureStore) -> None:
    assert list(next(iterate_codes(dcid(), store)).encodings) == ["audio", "video", "text"]
    assert list(next(iterate_codes(dcid(), store, modalities=["text"])).encodings) == ["text"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modalities": ["smell"]}, "the model: unknown modality 'smell'; expected one of audio, text"),
        ({"modalities": []}, "a common modality"),
        ({"batch_size": 0}, "batch_size is 0; expected at least 1"),
        ({"level": "clip"}, "a lookup model has no level 'clip'; leave it out"),
    ],
)
def test_bad_options_are_refused_before_anything_is_encoded(
    store: FeatureStore, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        iterate_codes(lookup(), store, **options)


def test_a_level_the_model_does_not_offer_is_refused(store: FeatureStore) -> None:
    with pytest.raises(InputError, match="no level 'scene'; expected one of clip, segment"):
        iterate_codes(lookup(levels=True), store, level="scene")


def other_store(path: Path, **shapes: tuple[int, ...]) -> FeatureStore:
    features = {m: np.ones((3, *shape), np.float32) for m, shape in shapes.items()}
    FeatureStore.write(path, features, ["a", "b", "c"])
    return FeatureStore.open(path)


def test_a_store_without_a_modality_of_the_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the store has smell, the model audio, text; expected a common"):
        iterate_codes(lookup(), other_store(tmp_path / "s", smell=(2, 3)))
    with pytest.raises(InputError, match=r"tmp.*: unknown modality 'text'; expected one of audio"):
        iterate_codes(lookup(), other_store(tmp_path / "t", audio=(2, 6)), modalities=["text"])


@pytest.mark.parametrize("model", [lookup(), dcid()], ids=["lookup", "dcid"])
def test_features_that_do_not_fit_are_refused_with_their_file(model: Any, tmp_path: Path) -> None:
    store = other_store(tmp_path / "s", audio=(2, 6), text=(2, 9))
    with pytest.raises(InputError, match=r"text\.npy: .*9.*; expected .*; "):
        encode_store(model, store, tmp_path / "c.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_a_target_that_cannot_be_written_is_refused_before_encoding(
    store: FeatureStore, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    model = lookup()
    for target, message in (
        (tmp_path / "file" / "c.parquet", "cannot write"),
        (tmp_path / "folder", "folder"),
    ):
        with pytest.raises(InputError, match=message):
            encode_store(model, store, target)
    assert model.seen == []
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("stop", [KeyboardInterrupt, InputError("not finite")])
def test_stopped_half_way_the_earlier_table_stays(
    store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: Any
) -> None:
    file, model = tmp_path / "c.parquet", lookup()
    encode_store(model, store, file)
    before, encode = file.read_bytes(), model.encode_batch

    def stopping(modality: str, *rest: Any) -> Any:
        if len(model.seen) > 12:
            raise stop
        return encode(modality, *rest)

    monkeypatch.setattr(model, "encode_batch", stopping)
    with pytest.raises((KeyboardInterrupt, InputError)):
        encode_store(model, store, file, vectors=True, batch_size=1)
    assert len(model.seen) == 13
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["c.parquet"]


def test_away_from_a_terminal_progress_is_plain_lines(
    store: FeatureStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "_SECONDS_BETWEEN_LINES", 0)
    list(iterate_codes(lookup(), store, batch_size=4, progress=None))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [f"encoded {n}/11 clips" for n in (4, 8, 11)]
    list(iterate_codes(lookup(), store, batch_size=4, progress=False))
    assert capsys.readouterr().err == ""
    list(iterate_codes(lookup(), store, batch_size=4, progress=True))
    assert "11/11" in capsys.readouterr().err
