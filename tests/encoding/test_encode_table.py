from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from toy_models import dcid, lookup

import unicode_cmg
from unicode_cmg.checkpoints.tensors import state_fingerprint
from unicode_cmg.data import FeatureStore
from unicode_cmg.encoding import encode_store, layer_codes, read_codes, table
from unicode_cmg.errors import InputError
from unicode_cmg.methods.base import Method

QUANTIZERS: list[dict[str, Any]] = [
    {},
    {"quantizer": "rvq", "codebooks": 2},
    {"quantizer": "fsq", "levels": [3, 4]},
]


def rows_by_hand(model: Method[Any], store: FeatureStore) -> Iterator[tuple[Any, ...]]:
    """Every clip, modality, valid step and layer, one after the other."""
    model.eval()
    for row, clip in enumerate(store.ids):
        batch = store.batch([row])
        for modality in model.modalities:
            with torch.no_grad():
                encoding = model.encode(modality, batch.features[modality], batch.masks[modality])
            for step in range(batch.masks[modality].shape[1]):
                if not batch.masks[modality][0, step]:
                    continue
                for k, layer in enumerate(model.code_layers()):
                    book = model.codebooks().get(layer)
                    index = int(encoding.indices[0, step, k])
                    vector = layer_codes(encoding, k)[0, step] if book is None else book[index]
                    yield clip, modality, step, layer, index, vector.detach().numpy()


@pytest.mark.parametrize("codebook", QUANTIZERS, ids=["mm_ema", "rvq", "fsq"])
def test_the_table_has_a_row_for_each_clip_modality_step_and_layer(
    store: FeatureStore, tmp_path: Path, codebook: dict[str, Any]
) -> None:
    model = dcid(**codebook)
    written = encode_store(model, store, tmp_path / "codes.parquet", vectors=True)
    expected = list(rows_by_hand(model, store))
    found = pq.read_table(written.path)
    assert written.rows == len(found) == len(expected)
    for column, values in zip(found.column_names[:5], zip(*expected, strict=True), strict=False):
        assert tuple(found.column(column).to_pylist()) == values
    vectors = np.array(found.column("vector").to_pylist(), np.float32)
    np.testing.assert_allclose(vectors, [row[-1] for row in expected], rtol=1e-5, atol=1e-6)


def test_the_columns_have_the_documented_types(store: FeatureStore, tmp_path: Path) -> None:
    encode_store(dcid(), store, tmp_path / "c.parquet", vectors=True)
    schema = pq.read_schema(tmp_path / "c.parquet")
    kinds = {field.name: field.type for field in schema}
    assert kinds == {
        "clip": pa.string(),
        "modality": pa.dictionary(pa.int8(), pa.string()),
        "step": pa.int32(),
        "code_layer": pa.dictionary(pa.int8(), pa.string()),
        "index": pa.int32(),
        "vector": pa.list_(pa.float32(), 8),
    }
    encode_store(dcid(), store, tmp_path / "c.parquet")
    assert "vector" not in pq.read_schema(tmp_path / "c.parquet").names


def test_codewords_are_written_without_the_rounding_of_the_features(
    store: FeatureStore, tmp_path: Path
) -> None:
    model = lookup()
    with torch.no_grad():
        for map_ in model.maps.values():
            map_.mul_(1e4)
    encode_store(model, store, tmp_path / "c.parquet", vectors=True)
    codes = read_codes(tmp_path / "c.parquet")
    np.testing.assert_array_equal(codes.vector, model.books[0].embedding.numpy()[codes.index])


@pytest.mark.slow
@pytest.mark.parametrize("vectors", [False, True])
def test_the_file_is_the_same_whatever_the_batch_size(
    store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vectors: bool
) -> None:
    monkeypatch.setattr(table, "_GROUP_ROWS", 40)
    monkeypatch.setattr(table, "_GROUP_NUMBERS", 320)
    model, files = dcid(quantizer="rvq", codebooks=2), []
    for size in (1, 3, 4, 64):
        encode_store(model, store, tmp_path / "c.parquet", vectors=vectors, batch_size=size)
        files.append((tmp_path / "c.parquet").read_bytes())
    assert len(set(files)) == 1
    metadata = pq.read_metadata(tmp_path / "c.parquet")
    groups = [metadata.row_group(k).num_rows for k in range(metadata.num_row_groups)]
    assert groups[:-1] == [40] * (len(groups) - 1)
    assert len(groups) > 3


def test_the_file_tells_where_its_codes_come_from(store: FeatureStore, tmp_path: Path) -> None:
    model = dcid(quantizer="rvq", codebooks=2)
    encode_store(model, store, tmp_path / "c.parquet", modalities=["text", "audio"])
    notes = json.loads(pq.read_schema(tmp_path / "c.parquet").metadata[b"unicode_cmg"])
    assert notes == {
        "format_version": 1,
        "library_version": unicode_cmg.__version__,
        "method": "dcid",
        "checkpoint": state_fingerprint(model),
        "features": store.fingerprint,
        "modalities": ["audio", "text"],
        "code_layers": {"layer0.0": 9, "layer0.1": 9},
        "merged": {},
        "level": None,
    }


def test_a_fingerprint_follows_every_parameter_and_buffer() -> None:
    model = lookup(stages=2)
    before = state_fingerprint(model)
    assert state_fingerprint(lookup(stages=2)) == before
    for name, value in model.state_dict().items():
        value.view(-1)[0] += 1
        assert state_fingerprint(model) != before, name
        value.view(-1)[0] -= 1
    assert state_fingerprint(model) != state_fingerprint(model.double())


def test_codes_are_read_back_as_grids(store: FeatureStore, tmp_path: Path) -> None:
    model = dcid(quantizer="rvq", codebooks=2).eval()
    encode_store(model, store, tmp_path / "c.parquet", vectors=True)
    codes = read_codes(tmp_path / "c.parquet")
    assert (codes.ids, codes.modalities) == (store.ids, model.modalities)
    assert (codes.method, codes.checkpoint, codes.level) == ("dcid", state_fingerprint(model), None)
    assert codes.code_layers == model.code_layers()
    batch = store.batch(range(len(store)))
    for m in model.modalities:
        with torch.no_grad():
            indices = model.encode(m, batch.features[m], batch.masks[m]).indices
        for k, layer in enumerate(codes.code_layers):
            expected = indices[..., k].masked_fill(~batch.masks[m], -1).numpy()
            np.testing.assert_array_equal(codes.indices(m, layer), expected)
    np.testing.assert_array_equal(codes.indices("audio"), codes.indices("audio", "layer0.0"))
    rows = codes.code_layer == 1
    book = model.codebooks()["layer0.1"].numpy()
    np.testing.assert_array_equal(codes.vector[rows], book[codes.index[rows]])


@pytest.mark.parametrize(("modality", "layer"), [("smell", None), ("audio", "layer9")])
def test_a_name_that_is_not_in_the_table_is_refused(
    store: FeatureStore, tmp_path: Path, modality: str, layer: str | None
) -> None:
    encode_store(lookup(), store, tmp_path / "c.parquet")
    with pytest.raises(InputError, match=f"unknown .* '{layer or modality}'"):
        read_codes(tmp_path / "c.parquet").indices(modality, layer)


def test_a_level_reaches_the_model_and_the_file(store: FeatureStore, tmp_path: Path) -> None:
    model = lookup(levels=True).eval()
    for level, steps in (("clip", 1), ("segment", 5), (None, 5)):
        encode_store(model, store, tmp_path / "c.parquet", level=level)
        codes = read_codes(tmp_path / "c.parquet")
        assert codes.level == level
        assert codes.indices("text").shape == (len(store), steps)
    encode_store(model, store, tmp_path / "c.parquet", level="clip")
    clip = read_codes(tmp_path / "c.parquet").indices("text")
    batch = store.batch([4])
    mean = batch.features["text"][batch.masks["text"]].mean(0)[None, None]
    assert clip[4] == model.encode("text", mean).indices[0, 0]


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-50])


def other_parquet(file: Path) -> None:
    pq.write_table(pa.table({"x": [1]}), file)


def newer(file: Path) -> None:
    found = pq.read_table(file)
    pq.write_table(found.replace_schema_metadata({"unicode_cmg": '{"format_version": 2}'}), file)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (Path.unlink, "no such file"),
        (lambda f: f.write_bytes(b""), "not a readable Parquet file"),
        (lambda f: f.write_text("clip,index"), "not a readable Parquet file"),
        (cut, "not a readable Parquet file"),
        (other_parquet, "a Parquet file, but not a table of codes"),
        (newer, "format version 2"),
    ],
)
def test_a_file_that_is_no_table_of_codes_is_refused(
    store: FeatureStore, tmp_path: Path, damage: Any, message: str
) -> None:
    file = tmp_path / "c.parquet"
    encode_store(lookup(), store, file)
    damage(file)
    with pytest.raises(InputError, match=f"c.parquet: {message}"):
        read_codes(file)


@pytest.mark.parametrize("shards", [2, 3])
def test_shards_together_are_the_whole_table(store: FeatureStore, tmp_path: Path, shards: int) -> None:
    model = dcid()
    encode_store(model, store, tmp_path / "whole.parquet", vectors=True)
    for shard in range(shards):
        encode_store(
            model, store, tmp_path / "codes" / f"{shard}.parquet", vectors=True, shard=(shard, shards)
        )
    assert pq.read_table(tmp_path / "codes").equals(pq.read_table(tmp_path / "whole.parquet"))
    whole, joined = read_codes(tmp_path / "whole.parquet"), read_codes(tmp_path / "codes")
    assert (joined.ids, joined.method) == (whole.ids, whole.method)
    assert np.array_equal(joined.indices("audio"), whole.indices("audio"))


@pytest.mark.parametrize(
    ("shard", "told"), [((2, 2), "shard 2 of 2; expected 0 to 1"), ((0, 1000), "1000 shards of ")]
)
def test_a_shard_that_does_not_exist_or_is_empty_is_refused(
    store: FeatureStore, tmp_path: Path, shard: tuple[int, int], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        encode_store(dcid(), store, tmp_path / "codes.parquet", shard=shard)
    assert not (tmp_path / "codes.parquet").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Ray
def test_two_processes_of_ray_write_the_same_table(store: FeatureStore, tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    model = dcid()
    encode_store(model, store, tmp_path / "here.parquet", vectors=True, batch_size=1)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        encode_store(
            model, store, tmp_path / "ray.parquet", vectors=True, batch_size=1, engine="ray", workers=2
        )
    finally:
        ray.shutdown()
    assert (tmp_path / "ray.parquet").read_bytes() == (tmp_path / "here.parquet").read_bytes()
