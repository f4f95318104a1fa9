from __future__ import annotations

import datetime
import json
import pickle
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from unicode_cmg.data import FeatureStore
from unicode_cmg.data.importing import import_features
from unicode_cmg.errors import InputError

N = 7
RNG = np.random.default_rng(0)
AUDIO = RNG.standard_normal((N, 4, 3)).astype(np.float32)
VIDEO = RNG.standard_normal((N, 2, 2, 2, 5)).astype(np.float16)
LENGTHS = np.array([4, 1, 3, 4, 2, 4, 4])
MASK = np.arange(4) < LENGTHS[:, None]
IDS = [f"clip-{i}" for i in range(N)]
LABELS = ["dog", "cat", "dog", "cow", "cat", "dog", "cow"]


def npz(at: Path) -> Path:
    arrays = {"audio": AUDIO, "video": VIDEO, "audio_mask": MASK}
    np.savez(at / "x.npz", **arrays, ids=np.array(IDS), label=np.array(LABELS))
    return at / "x.npz"


def compressed_npz(at: Path) -> Path:
    arrays = {"audio": np.asfortranarray(AUDIO), "video": VIDEO, "audio_lengths": LENGTHS}
    np.savez_compressed(at / "x.npz", **arrays, id=np.array(IDS), label=np.array(LABELS))
    return at / "x.npz"


def hdf5(at: Path) -> Path:
    with h5py.File(at / "x.h5", "w") as file:
        file["audio"], file["video"], file["mask_audio"] = AUDIO, VIDEO, MASK
        file["ids"], file["label"] = np.array(IDS, "S"), np.array(LABELS, h5py.string_dtype())
    return at / "x.h5"


def groups_of_clips(at: Path) -> Path:
    with h5py.File(at / "x.h5", "w") as file:
        for row, clip in enumerate(IDS):
            file[f"{clip}/audio"], file[f"{clip}/video"] = AUDIO[row, : LENGTHS[row]], VIDEO[row]
    return csv_beside(at / "x.h5", at / "x.csv")


def groups_of_modalities(at: Path) -> Path:
    with h5py.File(at / "x.h5", "w") as file:
        for row, clip in enumerate(IDS):
            file[f"audio/{clip}"], file[f"video/{clip}"] = AUDIO[row, : LENGTHS[row]], VIDEO[row]
    return csv_beside(at / "x.h5", at / "x.csv")


def npy_arrays(at: Path) -> Path:
    for name, values in {
        "audio": AUDIO,
        "video": VIDEO,
        "audio_mask": MASK,
        "ids": IDS,
        "label": LABELS,
    }.items():
        np.save(at / f"{name}.npy", np.array(values))
    return at


def npy_clips(at: Path) -> Path:
    for name in ("audio", "video"):
        (at / name).mkdir()
    for row, clip in enumerate(IDS):
        np.save(at / "audio" / f"{clip}.npy", AUDIO[row, : LENGTHS[row]])
        np.save(at / "video" / f"{clip}.npy", VIDEO[row])
    return csv_beside(at, at / "labels.csv", ending=".wav")


def npz_clips(at: Path) -> Path:
    for row, clip in enumerate(IDS):
        np.savez(at / f"{clip}.npz", audio=AUDIO[row, : LENGTHS[row]], video=VIDEO[row])
    return csv_beside(at, at / "clips.tsv", separator="\t")


def csv_beside(
    source: Path, table: Path, *, separator: str = ",", ending: str = "", backwards: bool = True
) -> Path:
    rows = [separator.join((f"{clip}{ending}", label)) for clip, label in zip(IDS, LABELS, strict=True)]
    table.write_text("\n".join([f"clip_id{separator}label", *(reversed(rows) if backwards else rows)]) + "\n")
    return source


def table() -> pa.Table:
    half = pa.list_(pa.list_(pa.list_(pa.list_(pa.float16()))))
    return pa.table(
        {
            "id": IDS,
            "audio": pa.array([a[:n].tolist() for a, n in zip(AUDIO, LENGTHS, strict=True)]).cast(
                pa.list_(pa.list_(pa.float32()))
            ),
            "video": pa.array([list(map(nested, clip)) for clip in VIDEO], half),
            "label": LABELS,
        }
    )


def nested(values: np.ndarray) -> list[Any]:
    return [nested(one) for one in values] if values.ndim > 1 else list(values)


def parquet(at: Path) -> Path:
    pq.write_table(table(), at / "x.parquet", row_group_size=3)
    return at / "x.parquet"


def parquet_folder(at: Path) -> Path:
    pq.write_table(table()[:4], at / "a.parquet", row_group_size=3)
    pq.write_table(table()[4:], at / "b.parquet")
    return at


def clip(row: int) -> dict[str, np.ndarray]:
    return {"audio": AUDIO[row, : LENGTHS[row]], "video": VIDEO[row]}


def torch_clips(at: Path) -> Path:
    for row, name in enumerate(IDS):
        for modality, values in clip(row).items():
            (at / modality).mkdir(exist_ok=True)
            torch.save(torch.from_numpy(values.copy()), at / modality / f"{name}.pt")
    return csv_beside(at, at / "annotation.csv", separator=";", ending=".mp4")


def torch_dictionary(at: Path) -> Path:
    tensors = {"audio": torch.from_numpy(AUDIO), "video": torch.from_numpy(VIDEO)}
    lengths = torch.from_numpy(LENGTHS)
    torch.save({**tensors, "ids": IDS, "label": LABELS, "audio_lengths": lengths}, at / "x.pt")
    return at / "x.pt"


def pickled_samples(at: Path) -> Path:
    samples = [{"id": IDS[row], "label": LABELS[row], **clip(row)} for row in range(N)]
    (at / "x.pkl").write_bytes(pickle.dumps(samples))
    return at / "x.pkl"


def pickled_clips(at: Path) -> Path:
    content = {name: {"label": LABELS[row], **clip(row)} for row, name in enumerate(IDS)}
    (at / "x.pickle").write_bytes(pickle.dumps(content))
    return at / "x.pickle"


def object_arrays(at: Path) -> Path:
    audio, video = np.empty(N, dtype=object), np.empty(N, dtype=object)
    audio[:], video[:] = [clip(row)["audio"] for row in range(N)], list(VIDEO)
    np.savez(at / "audio.npz", audio=audio)
    np.save(at / "video.npy", video)
    return csv_beside(at, at / "labels.csv", backwards=False)


def files_of_clips(at: Path) -> Path:
    for row, name in enumerate(IDS):
        with h5py.File(at / f"{name}.h5", "w") as file:
            file["label"] = LABELS[row]
            for modality, values in clip(row).items():
                file[modality] = values
    return at


def files_of_modalities(at: Path) -> Path:
    np.savez(at / "audio.npz", **{name: clip(row)["audio"] for row, name in enumerate(IDS)})
    video = {name: torch.from_numpy(VIDEO[row].copy()) for row, name in enumerate(IDS)}
    save_file(video, at / "video.safetensors")
    (at / "labels.json").write_text(json.dumps(dict(zip(IDS, LABELS, strict=True))))
    return at


def names_of_both(at: Path) -> Path:
    for row, name in enumerate(IDS):
        for modality, values in clip(row).items():
            np.save(at / f"{name}_{modality}.npy", values)
    return csv_beside(at, at / "labels.csv", ending=".avi")


def arrays_with_ids(at: Path) -> Path:
    labels = {"id": np.array(IDS), "label": np.array(LABELS)}
    np.savez(at / "audio.npz", feat=AUDIO, lengths=LENGTHS, **labels)
    np.savez(at / "video.npz", feat=VIDEO[::-1], id=np.array(IDS[::-1]))
    return at


def parquet_modalities(at: Path) -> Path:
    pq.write_table(table().select(["id", "audio", "label"]), at / "audio.parquet")
    pq.write_table(table().select(["id", "video"]), at / "video.parquet")
    return at


def store(at: Path) -> Path:
    FeatureStore.write(
        at / "s", {"audio": AUDIO, "video": VIDEO}, IDS, {"audio": MASK}, columns={"label": LABELS}
    )
    return at / "s"


FORMS = [npz, compressed_npz, hdf5, groups_of_clips, groups_of_modalities, npy_arrays, npy_clips, npz_clips]
FORMS += [parquet, parquet_folder, parquet_modalities, store, torch_clips, torch_dictionary, pickled_samples]
FORMS += [pickled_clips, object_arrays, files_of_clips, files_of_modalities, names_of_both, arrays_with_ids]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_store(tmp_path: Path, form: Callable[[Path], Path]) -> None:
    (tmp_path / "given").mkdir()
    found = import_features(form(tmp_path / "given"), tmp_path / "out").store
    assert found.ids == tuple(IDS)
    assert found.dtypes == {"audio": "float32", "video": "float16"}
    assert found.columns == {"label": tuple(LABELS)}
    batch = found.batch(range(N))
    np.testing.assert_array_equal(batch.masks["audio"], MASK)
    np.testing.assert_array_equal(batch.features["audio"].numpy()[MASK], AUDIO[MASK])
    np.testing.assert_array_equal(batch.features["video"].numpy(), VIDEO.astype(np.float32))


def test_a_missing_file_and_a_null_are_absent_modalities(tmp_path: Path) -> None:
    npy_clips(tmp_path)
    (tmp_path / "audio/clip-2.npy").unlink()
    found = import_features(tmp_path, tmp_path / "out").store
    assert np.flatnonzero(~found.present["audio"]).tolist() == [2]
    lists = pa.array([[[1.0]], None, []], pa.list_(pa.list_(pa.float32())))
    pq.write_table(pa.table({"a": lists, "b": pa.array([[1.0]] * 3)}), tmp_path / "n.parquet")
    found = import_features(tmp_path / "n.parquet", tmp_path / "nulls").store
    assert found.present["a"].tolist() == [True, False, False]
    assert found.ids == ("0", "1", "2")
    assert found.modalities == {"a": (1, 1), "b": (1, 1)}


def test_what_the_user_says_goes_before_every_guess(tmp_path: Path) -> None:
    file = tmp_path / "x.npz"
    np.savez(file, feats_a=AUDIO, other=AUDIO[:, :, :2], names=np.array(LABELS), key=np.array(IDS))
    imported = import_features(file, tmp_path / "s", modalities={"speech": "feats_a"}, ids="key")
    assert imported.store.modalities == {"speech": (4, 3)}
    assert imported.store.ids == tuple(IDS)
    assert any("'other'" in line and "not imported" in line for line in imported.guesses)
    json.dumps(imported.to_json())


def test_steps_are_aligned_and_values_converted_on_the_way(tmp_path: Path) -> None:
    image = RNG.standard_normal((N, 6)).astype(np.float32)
    np.savez(tmp_path / "x.npz", audio=AUDIO, audio_lengths=LENGTHS, image=image)
    found = import_features(tmp_path / "x.npz", tmp_path / "s", align_to=2, dtype="float16").store
    assert found.modalities == {"audio": (2, 3), "image": (2, 6)}
    assert set(found.dtypes.values()) == {"float16"}
    batch = found.batch([0, 1])
    expected = AUDIO[0].reshape(2, 2, 3).mean(1)
    np.testing.assert_allclose(batch.features["audio"][0], expected, atol=2e-3)
    np.testing.assert_allclose(batch.features["audio"][1], AUDIO[1, :1].repeat(2, 0), atol=2e-3)
    assert batch.masks["audio"].all()
    only = import_features(tmp_path / "x.npz", tmp_path / "only", align_to={"audio": 5}).store
    assert only.modalities == {"audio": (5, 3), "image": (1, 6)}


def test_times_of_steps_align_by_the_clock(tmp_path: Path) -> None:
    times = np.tile(np.array([0.0, 1, 2, 6]), (N, 1))
    np.savez(tmp_path / "x.npz", audio=AUDIO, audio_times=times)
    found = import_features(tmp_path / "x.npz", tmp_path / "s", align_to=5).store
    batch = found.batch([0])
    np.testing.assert_allclose(batch.features["audio"][0, 2], AUDIO[0, 2], rtol=1e-6)
    np.testing.assert_allclose(batch.features["audio"][0, 0], AUDIO[0, :2].mean(0), rtol=1e-5)


def test_clips_can_be_added(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", audio=AUDIO, ids=np.array(IDS))
    np.savez(tmp_path / "b.npz", audio=AUDIO, ids=np.array([f"more-{i}" for i in range(N)]))
    import_features(tmp_path / "a.npz", tmp_path / "s")
    assert len(import_features(tmp_path / "b.npz", tmp_path / "s", append=True).store) == 2 * N
    with pytest.raises(InputError, match="clip id 'clip-0' occurs twice"):
        import_features(tmp_path / "a.npz", tmp_path / "s", append=True)


def test_multi_hot_labels_become_numbers_of_columns(tmp_path: Path) -> None:
    hot = np.array([[1, 0, 1], [0, 0, 0], *[[0, 1, 0]] * (N - 2)])
    np.savez(tmp_path / "x.npz", audio=AUDIO, labels=hot)
    assert import_features(tmp_path / "x.npz", tmp_path / "s").store.columns["labels"][:3] == ("0;2", "", "1")


def cut_npz(at: Path) -> Path:
    npz(at)
    (at / "x.npz").write_bytes((at / "x.npz").read_bytes()[:400])
    return at / "x.npz"


def cut_hdf5(at: Path) -> Path:
    hdf5(at)
    (at / "x.h5").write_bytes((at / "x.h5").read_bytes()[:900])
    return at / "x.h5"


def cut_parquet(at: Path) -> Path:
    parquet(at)
    (at / "x.parquet").write_bytes((at / "x.parquet").read_bytes()[:300])
    return at / "x.parquet"


def different_counts(at: Path) -> Path:
    np.savez(at / "x.npz", audio=AUDIO, video=AUDIO[:3, :, :2])
    return at / "x.npz"


def no_array(at: Path) -> Path:
    (at / "x.pkl").write_bytes(pickle.dumps({"when": Fraction(1, 2)}))
    return at / "x.pkl"


def channels_first(at: Path) -> Path:
    npy_clips(at)
    np.save(at / "audio/clip-1.npy", AUDIO[1].T)
    np.save(at / "audio/clip-0.npy", AUDIO[0, :3].T)
    return at


def two_kinds(at: Path) -> Path:
    npy_clips(at)
    torch.save(torch.zeros(4, 3), at / "audio/clip-1.pt")
    return at


def only_media(at: Path) -> Path:
    (at / "a.wav").write_bytes(b"RIFF")
    return at


def other_ids(at: Path) -> Path:
    npy_clips(at)
    (at / "labels.csv").write_text("id,label\nx,dog\n")
    return at


def an_id_twice(at: Path) -> Path:
    npy_clips(at)
    (at / "labels.csv").write_text("id,label\nclip-1,dog\nclip-1,cat\n")
    return at


def short_row(at: Path) -> Path:
    npy_clips(at)
    (at / "labels.csv").write_text("id,label\nclip-1\n")
    return at


def no_features(at: Path) -> Path:
    np.savez(at / "x.npz", label=np.arange(3))
    return at / "x.npz"


def ragged_clip(at: Path) -> Path:
    lists = pa.array([[[1.0, 2.0], [1.0]]], pa.list_(pa.list_(pa.float32())))
    pq.write_table(pa.table({"a": lists}), at / "x.parquet")
    return at / "x.parquet"


def empty_folder(at: Path) -> Path:
    return at


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (cut_npz, "x.npz: not a readable npz file"),
        (cut_hdf5, "x.h5: truncated"),
        (cut_parquet, "x.parquet: not a readable Parquet file"),
        (no_array, "x.pkl: no array in it, but an object of fractions.Fraction; expected tensors"),
        (different_counts, "different numbers of clips: audio 7, video 3; .*--modality"),
        (channels_first, r"'audio', clip 'clip-1': an array \[3, 4\].*--axes audio=CT"),
        (two_kinds, "clip-1.pt: a second file of the name 'clip-1'"),
        (only_media, "nothing to import in it, but files 1 .wav; .*unicode-cmg extract"),
        (other_ids, "no id of column 'id', such as 'x', is an id of a clip, such as 'clip-0'; .*--id-column"),
        (an_id_twice, "the id 'clip-1' occurs twice"),
        (short_row, "labels.csv, line 2: 1 values; expected 2"),
        (no_features, "no features found.*--modality"),
        (ragged_clip, "column 'a': lists of different lengths in one clip"),
        (empty_folder, "nothing to import in it; expected arrays in files .npy"),
        (lambda at: at / "missing", "no such file or folder"),
    ],
)
def test_sources_that_cannot_be_read_are_one_clear_line_and_nothing_is_written(
    tmp_path: Path, form: Callable[[Path], Path], message: str
) -> None:
    (tmp_path / "given").mkdir()
    with pytest.raises(InputError, match=message) as caught:
        import_features(form(tmp_path / "given"), tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modalities": {"a": "sound"}}, "unknown key 'sound'; .*did you mean"),
        ({"ids": "nmes"}, "unknown key 'nmes'"),
        ({"align_to": {"text": 3}}, "unknown modality 'text'"),
        ({"align_to": 0}, "audio is 0"),
        ({"dtype": "int8"}, "int8"),
        ({"axes": {"audio": "CX"}}, "'audio=CX'; expected axes in their order"),
        ({"axes": {"audio": "TCH"}}, r"an array \[4, 3\]; expected the 3 axes TCH of --axes"),
        ({"axes": {"sound": "CT"}}, "unknown modality 'sound'"),
        ({"table": "absent.csv"}, "absent.csv: no such file"),
        ({"id_column": "x"}, "--id-column needs a table"),
    ],
)
def test_options_that_do_not_fit_are_one_clear_line(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        import_features(npz(tmp_path), tmp_path / "out", **options)


SPLITS = ["train", "train", "dev", "test", "train", "test", "train"]


def folders_of_splits(at: Path) -> None:
    for row, name in enumerate(IDS):
        for modality, values in clip(row).items():
            (at / SPLITS[row] / modality).mkdir(parents=True, exist_ok=True)
            np.save(at / SPLITS[row] / modality / f"{name}.npy", values)


def splits_under_modalities(at: Path) -> None:
    for row, name in enumerate(IDS):
        for modality, values in clip(row).items():
            (at / modality / SPLITS[row]).mkdir(parents=True, exist_ok=True)
            np.save(at / modality / SPLITS[row] / f"{name}.npy", values)


def of_split(split: str) -> dict[str, np.ndarray]:
    rows = [row for row in range(N) if SPLITS[row] == split]
    whole = {"audio": AUDIO, "video": VIDEO, "audio_lengths": LENGTHS, "ids": np.array(IDS)}
    return {name: values[rows] for name, values in whole.items()}


def dictionaries_of_splits(at: Path) -> None:
    content = {split: of_split(split) for split in sorted(set(SPLITS))}
    (at / "x.pkl").write_bytes(pickle.dumps(content))


def names_with_splits(at: Path) -> None:
    for split in set(SPLITS):
        for name, values in of_split(split).items():
            np.save(at / f"{name}_{split}.npy", values)


def lists_of_splits(at: Path) -> None:
    npy_clips(at)
    (at / "labels.csv").unlink()
    for split in set(SPLITS):
        lines = [f"{name} {row}" for row, name in enumerate(IDS) if SPLITS[row] == split]
        (at / f"{split}list.txt").write_text("\n".join(lines) + "\n")


def a_column_of_another_name(at: Path) -> None:
    npy_clips(at)
    rows = [f"{name}.wav\t{split}\r\n" for name, split in zip(IDS, SPLITS, strict=True)]
    (at / "labels.csv").write_text("File\tSubset\r\n" + "".join(rows), encoding="utf-16", newline="")


@pytest.mark.parametrize(
    "form",
    [
        folders_of_splits,
        splits_under_modalities,
        dictionaries_of_splits,
        names_with_splits,
        lists_of_splits,
        a_column_of_another_name,
    ],
)
def test_splits_are_found_wherever_they_stand(tmp_path: Path, form: Callable[[Path], None]) -> None:
    (tmp_path / "given").mkdir()
    form(tmp_path / "given")
    found = import_features(tmp_path / "given", tmp_path / "out").store
    place = [sorted(found.ids).index(name) for name in found.ids]
    assert [found.columns["split"][row] for row in np.argsort(place)] == SPLITS
    batch = found.batch(range(N))
    np.testing.assert_array_equal(batch.masks["audio"].numpy(), MASK[place])
    np.testing.assert_array_equal(batch.features["audio"].numpy()[MASK[place]], AUDIO[place][MASK[place]])
    np.testing.assert_array_equal(batch.features["video"].numpy(), VIDEO[place].astype(np.float32))


def test_names_of_files_are_matched_where_modalities_name_clips_in_their_own_way(tmp_path: Path) -> None:
    for row in range(N):
        folder = f"class-{'ab'[row % 2]}"
        for file, values in (
            (f"audio/{folder}/audio_{row:03d}.wav.npy", AUDIO),
            (f"depth/{folder}/D{row:03d}.npy", VIDEO),
        ):
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            np.save(tmp_path / file, values[row])
    imported = import_features(tmp_path, tmp_path / "out")
    assert imported.store.ids == tuple(f"{row:03d}" for row in range(N))
    assert imported.store.columns == {"folder": tuple(f"class-{'ab'[row % 2]}" for row in range(N))}
    assert all(imported.store.present[m].all() for m in ("audio", "depth"))
    assert any("name clips in different ways" in line for line in imported.guesses)


def test_modalities_lie_in_other_folders_and_axes_in_another_order(tmp_path: Path) -> None:
    for row, name in enumerate(IDS):
        audio, video = clip(row)["audio"].T, VIDEO[row].transpose(0, 3, 1, 2)
        for place, values in (("here", audio), ("there/deep", video)):
            (tmp_path / place).mkdir(parents=True, exist_ok=True)
            np.save(tmp_path / place / f"{name}.npy", values)
    found = import_features(
        tmp_path / "here",
        tmp_path / "out",
        modalities={"audio": ".", "video": str(tmp_path / "there/deep")},
        axes={"audio": "CT", "video": "TCHW"},
    ).store
    batch = found.batch(range(N))
    np.testing.assert_array_equal(batch.masks["audio"], MASK)
    np.testing.assert_array_equal(batch.features["audio"].numpy()[MASK], AUDIO[MASK])
    np.testing.assert_array_equal(batch.features["video"].numpy(), VIDEO.astype(np.float32))


def test_integers_and_tables_of_numbers_are_features(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 255, size=(N, 2, 3, 3, 3), dtype=np.uint8)
    for name in ("pixels", "imu"):
        (tmp_path / name).mkdir()
    for row, name in enumerate(IDS):
        np.save(tmp_path / "pixels" / f"{name}.npy", pixels[row])
        file = tmp_path / "imu" / f"{name}.csv"
        np.savetxt(file, AUDIO[row], delimiter=",", header="x,y,z", comments="")
    found = import_features(tmp_path, tmp_path / "out", modalities={"pixels": "pixels", "imu": "imu"}).store
    batch = found.batch(range(N))
    np.testing.assert_array_equal(batch.features["pixels"].numpy(), pixels.astype(np.float32))
    np.testing.assert_allclose(batch.features["imu"].numpy(), AUDIO, rtol=1e-6)


def test_numbers_without_zeros_in_front_are_ids_all_the_same(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for row in range(N):
            np.save(tmp_path / name / f"{row + 1:03d}.npy", AUDIO[row])
    rows = "".join(f"{row + 1};{LABELS[row]}\n" for row in range(N))
    (tmp_path / "labels.csv").write_text("sep=;\nNr;Label\n" + rows)
    found = import_features(tmp_path, tmp_path / "out").store
    assert found.columns == {"label": tuple(LABELS)}


class Hostile:
    """Touches a file if a pickle of it is run."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


def test_a_hostile_pickle_does_nothing(tmp_path: Path) -> None:
    content = {"audio": AUDIO, "video": VIDEO, "bad": Hostile(tmp_path / "touched")}
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(content))
    imported = import_features(tmp_path / "x.pkl", tmp_path / "out")
    assert set(imported.store.modalities) == {"audio", "video"}
    assert any("'bad'" in line and "not imported" in line for line in imported.guesses)
    assert not (tmp_path / "touched").exists()


def test_an_object_in_the_place_of_an_array_is_a_clip_without_it(tmp_path: Path) -> None:
    samples = [{"id": f"c{n}", "a": np.ones((3, 4)), "v": np.ones((3, 5))} for n in range(6)]
    samples[1]["v"] = samples[4]["v"] = datetime.datetime(2020, 1, 1)
    (tmp_path / "samples.pkl").write_bytes(pickle.dumps(samples))
    imported = import_features(tmp_path / "samples.pkl", tmp_path / "store")
    assert imported.store.present["v"].tolist() == [True, False, True, True, False, True]
    assert "note: 'v' is not imported in 2 clips: an object of datetime.datetime" in imported.guesses


def test_samples_of_one_modality_with_ids_are_clips(tmp_path: Path) -> None:
    samples = [{"id": f"c{n}", "feature": np.ones((3, 4))} for n in range(6)]
    (tmp_path / "audio.pkl").write_bytes(pickle.dumps(samples))
    store = import_features(tmp_path / "audio.pkl", tmp_path / "store").store
    assert list(store.ids) == [f"c{n}" for n in range(6)]
    assert list(store.modalities.values()) == [(3, 4)]


def test_a_name_that_another_array_has_is_that_of_the_one_named(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "data.npz", audio=np.zeros((5, 3, 4)), vggish=np.ones((5, 3, 4)), video=np.ones((5, 3, 2))
    )
    wanted = {"audio": "vggish", "video": "video"}
    store = import_features(tmp_path / "data.npz", tmp_path / "store", modalities=wanted).store
    assert (np.asarray(store.batch([0]).features["audio"]) == 1).all()


def test_a_single_value_is_no_modality(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", a=np.float32(3), v=np.zeros((4, 3)))
    with pytest.raises(InputError, match="'a': no array, but a single value; expected a row for each clip"):
        import_features(tmp_path / "data.npz", tmp_path / "store", modalities={"a": "a"})
