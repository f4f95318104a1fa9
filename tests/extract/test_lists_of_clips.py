"""Lists of clips: csv, jsonl, json, Parquet and saved data sets, and what in them is refused."""

from __future__ import annotations

import csv
import json
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_media import brightness, loudness, word_lengths, write_sound, write_video

from unicode_cmg.data import FeatureStore
from unicode_cmg.errors import InputError
from unicode_cmg.extract import extract
from unicode_cmg.extract.sources import Pattern, Wanted, open_media

pytest.importorskip("av")
pytest.importorskip("soundfile")
Image = pytest.importorskip("PIL.Image")

WANTED = {"audio": Wanted("audio"), "image": Wanted("image"), "text": Wanted("text")}
ENCODERS: dict[str, Any] = {"audio": loudness, "image": brightness, "text": word_lengths}
ROWS = (
    {
        "id": "x",
        "audio": "sounds/x.wav",
        "image": "x.png",
        "text": "a dog barks",
        "label": "dog",
        "split": "train",
    },
    {"id": "ü", "audio": "sounds/y.wav", "image": "", "text": "a cat", "label": "cat", "split": "test"},
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("media")
    (folder / "sounds").mkdir()
    for name in ("x", "y"):
        write_sound(folder / "sounds" / f"{name}.wav")
    Image.new("RGB", (4, 4), "white").save(folder / "x.png")
    return folder


def as_csv(path: Path, rows: Sequence[Mapping[str, Any]], separator: str = ",") -> Path:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter=separator)
        writer.writeheader()
        writer.writerows(rows)
    return path


def as_jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    return path


def as_json(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text(json.dumps({"annotations": list(rows), "info": {}}), encoding="utf-8")
    return path


def as_parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), path)
    return path


def embedded(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Parquet as on the Hub: files as bytes in the table."""
    held = []
    for row in rows:
        files = {
            name: {"bytes": (path.parent / row[name]).read_bytes(), "path": Path(row[name]).name}
            if row[name]
            else None
            for name in ("audio", "image")
        }
        held.append({**row, **files})
    table = pa.Table.from_pylist(held)
    (path.parent / "hub").mkdir(exist_ok=True)
    pq.write_table(table.slice(0, 1), path.parent / "hub" / "train-00000-of-00001.parquet")
    pq.write_table(table.slice(1), path.parent / "hub" / "test-00000-of-00001.parquet")
    return path.parent / "hub"


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("clips.csv", as_csv),
        ("clips.tsv", lambda path, rows: as_csv(path, rows, "\t")),
        ("clips.jsonl", as_jsonl),
        ("clips.json", as_json),
        ("clips.parquet", as_parquet),
        ("hub", embedded),
    ],
)
def test_every_kind_of_list_gives_the_same_store(
    folder: Path, tmp_path: Path, name: str, write: Callable[..., Path]
) -> None:
    done = extract(write(folder / name, ROWS), ENCODERS, tmp_path / "store", seconds=6)
    store = FeatureStore.open(tmp_path / "store")
    assert done.broken == ()
    clips = dict(zip(store.ids, zip(*store.columns.values(), strict=True), strict=True))
    assert list(store.columns) == ["label", "split"]
    assert clips == {"x": ("dog", "train"), "ü": ("cat", "test")}
    assert done.modalities == {"audio": 2, "image": 1, "text": 2}
    assert store.valid_steps("text").tolist() == [len(ROWS[int(c != "x")]["text"].split()) for c in store.ids]


@pytest.mark.slow
def test_a_saved_data_set_with_files_in_it_is_read(folder: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    values = {
        "id": ["x", "y"],
        "image": [str(folder / "x.png"), None],
        "text": ["a dog", "a cat"],
        "label": [1, 0],
    }
    features = datasets.Features(
        id=datasets.Value("string"),
        image=datasets.Image(),
        text=datasets.Value("string"),
        label=datasets.ClassLabel(names=["cat", "dog"]),
    )
    made = datasets.Dataset.from_dict(values, features=features)
    datasets.DatasetDict({"train": made}).save_to_disk(str(tmp_path / "saved"))
    extract(tmp_path / "saved", {"image": brightness, "text": word_lengths}, tmp_path / "store")
    store = FeatureStore.open(tmp_path / "store")
    assert store.columns["label"] == ("dog", "cat")
    assert {m: has.tolist() for m, has in store.present.items()} == {
        "image": [True, False],
        "text": [True, True],
    }


def test_segments_of_one_file_are_clips(tmp_path: Path) -> None:
    write_video(tmp_path / "long.mp4", seconds=8, flash=5, beep=5)
    rows = [{"video": "long.mp4", "start": start, "end": start + 3} for start in (2.5, 3, 4.5)]
    extract(
        as_csv(tmp_path / "clips.csv", rows),
        {"audio": loudness, "video": brightness},
        tmp_path / "store",
        seconds=4,
    )
    store = FeatureStore.open(tmp_path / "store")
    assert store.ids == ("long@2.5", "long@3", "long@4.5")
    assert store.valid_steps("video").tolist() == store.valid_steps("audio").tolist() == [3, 3, 3]
    values = store.batch(range(3)).features
    assert values["video"][1, :, 0].round().tolist() == [0, 0, 1, 0]
    assert (values["audio"][1, :, 0] > 0.4).tolist() == [False, False, True, False]
    assert (values["audio"][2, :, 0] > 0.4).tolist() == [True, True, False, False]


def test_files_and_ids_follow_patterns(folder: Path, tmp_path: Path) -> None:
    rows = [{"name": "x_000", "letter": "x", "word": "dog"}, {"name": "y_000", "letter": "y", "word": "cat"}]
    done = extract(
        as_csv(tmp_path / "list.csv", rows),
        {"audio": loudness, "text": word_lengths},
        tmp_path / "store",
        root=folder,
        files={"audio": "sounds/{letter}.wav", "text": ["a {word}", "this is a {word} {name}"]},
        clip_id="{name:.1}",
    )
    store = FeatureStore.open(tmp_path / "store")
    assert (store.ids, done.broken) == (("x", "y"), ())
    assert store.valid_steps("text").tolist() == [7, 7]
    assert store.columns["word"] == ("dog", "cat")


@pytest.mark.parametrize(
    "place", ["../outside.wav", "/etc/hostname", "link.wav", "/dev/zero", "sounds/../../outside.wav"]
)
def test_paths_that_leave_the_folder_are_listed_and_not_opened(tmp_path: Path, place: str) -> None:
    root = tmp_path / "root"
    (root / "sounds").mkdir(parents=True)
    write_sound(tmp_path / "outside.wav")
    write_sound(root / "good.wav")
    (root / "link.wav").symlink_to(tmp_path / "outside.wav")
    listed = as_csv(root / "clips.csv", [{"id": "good", "audio": "good.wav"}, {"id": "bad", "audio": place}])
    done = extract(listed, {"audio": loudness}, tmp_path / "store")
    assert [(entry.clip, entry.kind) for entry in done.broken] == [("bad", "outside")]
    assert FeatureStore.open(tmp_path / "store").ids == ("good",)


def test_the_root_may_be_a_folder_above_the_list(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    path = write_sound(tmp_path / "a.wav")
    listed = as_csv(
        tmp_path / "lists" / "clips.csv", [{"id": "a", "audio": "a.wav"}, {"id": "b", "audio": path}]
    )
    assert extract(listed, {"audio": loudness}, tmp_path / "store", root=tmp_path).modalities == {"audio": 2}


def test_a_text_may_have_many_words(tmp_path: Path) -> None:
    listed = as_csv(
        tmp_path / "clips.csv", [{"id": "a", "text": "word " * 100_000}, {"id": "b", "text": " "}]
    )
    done = extract(listed, {"text": word_lengths}, tmp_path / "store")
    assert FeatureStore.open(tmp_path / "store").modalities == {"text": (100_000, 1)}
    assert [(entry.clip, entry.kind) for entry in done.broken] == [("b", "empty")]


def test_ids_that_occur_twice_are_listed_with_both_places(folder: Path, tmp_path: Path) -> None:
    rows = [
        ROWS[0],
        {**ROWS[1], "id": "x"},
        {**ROWS[1], "id": "u\u0308"},
        ROWS[1],
        {**ROWS[0], "id": "none", "audio": "", "image": "", "text": ""},
    ]
    done = extract(as_csv(folder / "twice.csv", rows), ENCODERS, tmp_path / "store")
    assert FeatureStore.open(tmp_path / "store").ids == ("x", "ü")
    told = [(entry.kind, entry.file, entry.reason) for entry in done.broken if entry.clip in ("x", "ü")]
    assert [
        (kind, file.rsplit(", ")[-1], why[-6:]) for kind, file, why in sorted(told, key=lambda t: t[1])
    ] == [
        ("duplicate id", "line 3", "line 2"),
        ("duplicate id", "line 5", "line 4"),
    ]
    assert [entry.kind for entry in done.broken if entry.clip == "none"] == ["no media"]


def test_missing_files_are_listed(folder: Path, tmp_path: Path) -> None:
    rows = [ROWS[0], {**ROWS[1], "audio": "nowhere.wav"}, {**ROWS[1], "id": "z", "image": "sounds"}]
    done = extract(as_csv(folder / "missing.csv", rows), ENCODERS, tmp_path / "store")
    assert {(e.clip, e.modality, e.kind) for e in done.broken} == {
        ("ü", "audio", "missing"),
        ("z", "image", "unreadable"),
    }
    assert len(FeatureStore.open(tmp_path / "store")) == 3


with pa.BufferOutputStream() as _stream:
    pq.write_table(pa.table({"id": pa.array([], pa.string())}), _stream)
EMPTY_TABLE = _stream.getvalue().to_pybytes()
GOOD = ("a", "z")
"""Ids of the rows in `AROUND` that are fine."""
AROUND = {
    "csv": "id,text,audio,start,end,n\na,a dog,,,,7\n{}\nz,a cat,,,,7\n",
    "jsonl": '{{"id": "a", "text": "a dog"}}\n{}\n{{"id": "z", "text": "a cat"}}\n',
}


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("b,x,,3,2,7", ("b", "it ends at 2 s and starts at 3 s")),
        ("b,x,,,0,7", ("b", "it ends at 0 s and starts at 0 s")),
        ("b,x,,-1,,7", ("b", "'start' is '-1'; expected seconds from 0 on")),
        ("b,x,,soon,,7", ("b", "'start' is 'soon'; expected seconds")),
        ("b,x,,nan,,7", ("b", "'start' is 'nan'")),
        ('b,x,,"0,5",,7', ("b", "'start' is '0,5'")),
        ("b,x", ("", "it has 2 values, not 6 as the first line")),
        ('b,"x" y,,,,7', ("", "',' expected after '\"'")),
        ('{"id": "b", "text": ', ("", "not valid JSON")),
        ("[1]", ("", "a list; expected an object")),
        ("7", ("", "a int; expected an object")),
        ('{"id": "b", "text": "x", "start": "soon"}', ("b", "'start' is 'soon'")),
        ('{"id": "b", "text": "x", "end": [1]}', ("b", "'end' is [1]")),
        ('{"id": "b", "audio": ["a.wav", "b.wav"]}', ("b", "2 files for one audio")),
        ('{"id": "b", "text": null}', ("b", "none of its modalities is named")),
        ('{"id": ["a", "b\\n"], "text": "x"}', ("['a', 'b\\\\n']", None)),
    ],
)
@pytest.mark.parametrize("strict", [False, True])
def test_a_row_that_is_wrong_is_listed_with_its_line_and_the_others_are_extracted(
    tmp_path: Path, row: str, told: tuple[str, str | None], strict: bool
) -> None:
    form = "jsonl" if row[0] in "{[7" else "csv"
    path = tmp_path / f"clips.{form}"
    path.write_text(AROUND[form].format(row), encoding="utf-8")
    clip, reason = told
    encoders: dict[str, Any] = {"text": word_lengths, "audio": loudness}
    if strict and reason is not None:
        with pytest.raises(InputError, match=r"line [23]: .* --strict"):
            extract(path, encoders, tmp_path / "store", strict=True)
        return
    done = extract(path, encoders, tmp_path / "store")
    ids = FeatureStore.open(tmp_path / "store").ids
    if reason is None:
        assert ids == ("a", clip.replace("\\\\", "\\"), "z")
        return
    assert ids == GOOD
    (entry,) = done.broken
    assert (entry.clip, entry.modality, entry.file) == (clip, "", f"{path}, line {3 if form == 'csv' else 2}")
    assert reason in entry.reason
    again = extract(path, encoders, tmp_path / "store")
    assert (again.before, again.broken) == (2, done.broken)


def test_a_value_that_does_not_fit_a_pattern_is_one_row(tmp_path: Path) -> None:
    (tmp_path / "clips.csv").write_text("id,n\na,1\nb,one\nc,\n")
    files = {"text": "number {n:03d}"}
    done = extract(tmp_path / "clips.csv", {"text": word_lengths}, tmp_path / "store", files=files)
    assert FeatureStore.open(tmp_path / "store").ids == ("a",)
    assert [(e.clip, e.kind, e.reason) for e in done.broken] == [
        ("b", "bad row", "'n' is 'one'; expected a value for 'number {n:03d}'"),
        ("c", "no media", "none of its modalities is named"),
    ]
    with pytest.raises(InputError, match="unknown column 'm'"):
        extract(tmp_path / "clips.csv", {"text": word_lengths}, tmp_path / "o", files={"text": "{m}"})


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffid;text;image\r\na;a dog, a cat;sub\\x.png\r\nb; ;.\\sub\\x.png\r\n",
        "id , text, image,\n\na,a dog a cat,sub/x.png,\n\nb,, sub/x.png,\n",
        "\tid\ttext\timage\n0\ta\ta dog a cat\tsub/x.png\n1\tb\t\tsub/x.png\n",
    ],
)
def test_lists_of_spreadsheets_are_read(tmp_path: Path, content: str) -> None:
    """A byte order mark, semicolons, paths of Windows, spaces, and columns without a name."""
    (tmp_path / "sub").mkdir()
    Image.new("RGB", (4, 4), "white").save(tmp_path / "sub" / "x.png")
    (tmp_path / "clips.csv").write_bytes(content.encode())
    encoders: dict[str, Any] = {"text": word_lengths, "image": brightness}
    done = extract(tmp_path / "clips.csv", encoders, tmp_path / "store")
    assert done.modalities == {"text": 1, "image": 2}
    assert FeatureStore.open(tmp_path / "store").ids == ("a", "b")


def test_rows_of_the_labels_of_a_folder_that_are_wrong_are_listed(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    for name in "abc":
        (tmp_path / "clips" / f"{name}.txt").write_text("a dog")
    (tmp_path / "clips" / "labels.csv").write_text("id,label\na,dog\nb,cat,cow\na,cow\nc,cat\n")
    done = extract(tmp_path / "clips", {"text": word_lengths}, tmp_path / "store")
    assert FeatureStore.open(tmp_path / "store").columns["label"] == ("dog", "", "cat")
    assert [(e.file.rsplit(", ")[-1], e.reason) for e in done.broken] == [
        ("line 3", "it has 3 values, not 2 as the first line"),
        ("line 4", "the id 'a' occurs twice, and its first row is used"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", "id,audio\nx\n", "there is no clip in it; the first of 1 reasons: "),
        (
            "a.csv",
            "id,label\nx,dog\n",
            "the columns id, label; expected a column for one of audio, image, text",
        ),
        ("a.csv", "id,audio\n", "not a table of clips"),
        ("a.csv", 'id,audio\na,"a.wav\nb,b.wav\nc,c.wav\n', "line 2: not a table (unexpected end of data)"),
        ("a.csv", "", "the file is empty"),
        ("a.csv", b"id,audio\n\xff,x\n", "not a text file"),
        ("a.jsonl", "[1]\n", "line 1: a list; expected an object"),
        ("a.json", '{"x": 1}', "no list of clips"),
        ("a.parquet", b"PAR1 and nothing else", "not a readable Parquet file"),
        ("a.parquet", EMPTY_TABLE, "there is no row in it"),
        ("a.xlsx", b"PK", "a .xlsx; expected a folder of media, a list of clips"),
    ],
)
def test_a_damaged_list_is_one_line(tmp_path: Path, name: str, content: str | bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as found:
        open_media(tmp_path / name, WANTED, None, None)
    assert told in str(found.value)


def test_archives_and_feature_stores_are_no_media(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../evil.wav", b"x")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "a.zip", "../../evil.wav")
    (tmp_path / "a.wav").write_bytes((tmp_path / "a.zip").read_bytes())
    for name in ("a.zip", "a.tar.gz", "a.wav"):
        with pytest.raises(InputError, match="unpack it into a folder"):
            open_media(tmp_path / name, WANTED, None, None)
    assert not (tmp_path.parent / "evil.wav").exists()
    FeatureStore.write(tmp_path / "store", {"audio": np.zeros((1, 2, 3), np.float32)}, ["a"])
    with pytest.raises(InputError, match="this is a feature store"):
        open_media(tmp_path / "store", WANTED, None, None)


def test_a_single_file_is_one_clip(folder: Path, tmp_path: Path) -> None:
    extract(folder / "sounds" / "x.wav", {"audio": loudness}, tmp_path / "store")
    assert FeatureStore.open(tmp_path / "store").ids == ("x",)


def test_other_names_of_columns_are_found(folder: Path) -> None:
    def uses(*names: str) -> dict[str, Any]:
        path = as_csv(folder / "names.csv", [dict.fromkeys(names, "sounds/x.wav")])
        return dict(
            open_media(path, {"audio": Wanted("audio"), "speech": Wanted("audio")}, None, None).clips[0].media
        )

    place = folder / "sounds" / "x.wav"
    assert uses("id", "audio_path") == {"audio": place, "speech": place}
    assert uses("id", "Audio", "speech_file_name") == {"audio": place, "speech": place}
    assert uses("id", "video") == {"audio": place, "speech": place}
    assert uses("file_name") == {"audio": place, "speech": place}
    assert uses("id", "speech") == {"speech": place}


COLUMNS = {"id": "x", "number": "7"}


@given(st.text("{}:!.[]0did number", max_size=20))
def test_a_pattern_is_filled_or_refused_in_one_line(text: str) -> None:
    with suppress(InputError):
        pattern = Pattern(text)
        pattern.check(list(COLUMNS), "here")
        assert isinstance(pattern.fill(COLUMNS), str)


@pytest.mark.parametrize("text", ["{id.__class__}", "{id[0]}", "{id!r}", "{}", "{0}", "{number:q}", "{id"])
def test_patterns_do_not_reach_into_values(text: str) -> None:
    with pytest.raises(InputError):  # noqa: PT012
        pattern = Pattern(text)
        pattern.check(list(COLUMNS), "here")
        pattern.fill(COLUMNS)
