"""From files to a feature store: on one clock, resumable, and with whatever is damaged listed."""

from __future__ import annotations

import csv
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_media import brightness, loudness, tone, word_lengths, write_sound, write_video

from unicode_cmg.data import FeatureStore
from unicode_cmg.errors import InputError
from unicode_cmg.extract import extract
from unicode_cmg.extract.encoders import Encoder, EncoderConfig, FunctionEncoder

pytest.importorskip("av")
pytest.importorskip("soundfile")
Image = pytest.importorskip("PIL.Image")

ENCODERS: dict[str, Any] = {"audio": loudness, "video": brightness, "text": word_lengths}


def rows(store: Path, modality: str) -> dict[str, list[float]]:
    """Id -> the values of the valid steps."""
    opened = FeatureStore.open(store)
    batch = opened.batch(range(len(opened)), modalities=[modality])
    values, mask = batch.features[modality], batch.masks[modality]
    return {clip: values[row, mask[row], 0].round(decimals=1).tolist() for row, clip in enumerate(opened.ids)}


def content(store: Path) -> dict[str, Any]:
    """Everything in a store, wherever its parts begin."""
    opened = FeatureStore.open(store)
    batch = opened.batch(range(len(opened)))
    return {
        "ids": opened.ids,
        "columns": opened.columns,
        "features": {m: x.numpy().tobytes() for m, x in batch.features.items()},
        "masks": {m: x.numpy().tobytes() for m, x in batch.masks.items()},
        "source": opened.source,
        "broken": broken(store),
    }


def broken(store: Path) -> list[tuple[str, str, str]]:
    """Clip, modality and kind of what is listed."""
    file = store / "broken.csv"
    if not file.exists():
        return []
    with file.open(encoding="utf-8", newline="") as stream:
        return [(row["clip"], row["modality"], row["kind"]) for row in csv.DictReader(stream)]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five clips; a flash and a beep in second 3, one second later in `b`; `d` and `e` lack something."""
    folder: Path = tmp_path_factory.mktemp("media") / "clips"
    (folder / "more").mkdir(parents=True)
    for clip, at in (("a", 3), ("b", 4), ("more/c", 2)):
        write_video(folder / f"{clip}.mp4", flash=at, beep=at)
        (folder / f"{clip}.txt").write_text("a dog barks\n")
    write_video(folder / "d.mp4", beep=None, seconds=4)
    write_sound(folder / "e.wav", tone(3, 1))
    (folder / "readme.md").write_text("these are clips")
    (folder / "labels.csv").write_text("id,label\na,dog\nb,cat\nmore/c,dog\nd,cat\ne,dog\n")
    return folder


@pytest.fixture
def store(clips: Path, tmp_path: Path) -> Path:
    extract(clips, ENCODERS, tmp_path / "store", seconds=6, workers=2, batch_size=2)
    return tmp_path / "store"


def test_a_flash_and_a_beep_in_second_3_land_in_step_3(store: Path) -> None:
    assert rows(store, "video")["a"] == [0.0, 0.0, 0.0, 1.0, 0.0, 0.0]
    assert rows(store, "audio")["a"] == [0.0, 0.0, 0.0, 0.5, 0.0, 0.0]


def test_a_shift_by_one_second_moves_the_rows_by_one(store: Path) -> None:
    for modality in ("audio", "video"):
        found = rows(store, modality)
        assert found["b"] == [0.0, *found["a"][:-1]]


def test_what_a_clip_lacks_is_masked_and_columns_are_kept(store: Path) -> None:
    opened = FeatureStore.open(store)
    assert opened.ids == ("a", "b", "d", "e", "more/c")
    assert {m: has.tolist() for m, has in opened.present.items()} == {
        "audio": [True, True, False, True, True],
        "video": [True, True, True, False, True],
        "text": [True, True, False, False, True],
    }
    assert opened.valid_steps("video").tolist() == [6, 6, 4, 0, 6]
    assert opened.valid_steps("audio").tolist() == [6, 6, 0, 3, 6]
    assert rows(store, "text")["a"] == [1.0, 3.0, 5.0]
    assert opened.columns == {
        "folder": ("", "", "", "", "more"),
        "label": ("dog", "cat", "cat", "dog", "dog"),
    }
    assert broken(store) == [("d", "audio", "no sound")]


def test_the_store_notes_where_its_features_are_from(store: Path) -> None:
    source = FeatureStore.open(store).source
    assert (source["extracted"], source["seconds"], source["steps_per_second"]) == ("clips", 6.0, 1.0)
    assert source["encoders"]["audio"] == {"kind": "audio", "encoder": "function", "model": "loudness"}


@pytest.mark.parametrize("settings", [{"workers": 1}, {"workers": 4, "batch_size": 3}, {"batch_size": 100}])
def test_the_store_does_not_depend_on_workers_and_batches(
    clips: Path, store: Path, tmp_path: Path, settings: dict[str, int]
) -> None:
    extract(clips, ENCODERS, tmp_path / "other", seconds=6, **settings)
    assert content(tmp_path / "other") == content(store)


def test_shards_together_are_the_single_run(clips: Path, store: Path, tmp_path: Path) -> None:
    for shard in (2, 0, 1):
        extract(clips, ENCODERS, tmp_path / "s", seconds=6, batch_size=2, shard=(shard, 3))
    whole, shards = content(store), content(tmp_path / "s")
    assert {**whole, "broken": []} == {**shards, "broken": []}
    lists = sorted(file.name for file in (tmp_path / "s").glob("broken*"))
    assert lists == ["broken-1-of-3.csv"]


def test_a_killed_run_resumes_to_the_same_store(clips: Path, store: Path, tmp_path: Path) -> None:
    calls = 0

    def killed(sound: Any, grid: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return loudness(sound, grid)

    encoders = {**ENCODERS, "audio": FunctionEncoder(killed, kind="audio", name="loudness")}
    other = tmp_path / "other"
    with pytest.raises(KeyboardInterrupt):
        extract(clips, encoders, other, seconds=6, batch_size=2)
    assert FeatureStore.open(other).ids == ("a", "b")
    resumed = extract(clips, ENCODERS, other, seconds=6, batch_size=2)
    assert (resumed.added, resumed.before) == (3, 2)
    assert content(other) == content(store)
    again = extract(clips, ENCODERS, other, seconds=6, batch_size=2)
    assert (again.added, again.before, len(again.broken)) == (0, 5, 1)
    assert content(other) == content(store)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seconds": 5}, "seconds: 6.0; expected seconds: 5.0"),
        ({"steps_per_second": 2}, "steps_per_second: 1.0"),
        ({"encoders": {**ENCODERS, "audio": brightness}}, "encoders audio"),
        ({"encoders": {"audio": loudness}}, "encoders video"),
        ({"dtype": "float16"}, "dtype: float32"),
    ],
)
def test_a_run_with_other_settings_into_the_same_store_is_refused(
    clips: Path, store: Path, change: dict[str, Any], told: str
) -> None:
    before = content(store)
    options = {"encoders": ENCODERS, "seconds": 6, **change}
    with pytest.raises(InputError, match=told):
        extract(clips, to=store, **options)
    assert content(store) == before


def test_words_of_texts_are_kept_and_parts_do_not_break_where_clips_have_no_text(tmp_path: Path) -> None:
    class Worded(Encoder):
        name = "worded"
        kinds = ("text",)

        def prepare(self, media: Any, grid: Any) -> Any:
            return media

        def encode(self, prepared: Sequence[Any]) -> list[Any]:
            return [word_lengths(text, None) for text in prepared]  # type: ignore[arg-type]

        def words(self, prepared: Any) -> list[str]:
            return list(prepared.sentences[0].split()) if prepared.sentences[0] != "bad" else []

    texts = ["", "", "a dog", "", "", "", "cats", "bad"]
    rows = "".join(f"{n},{text},a clip\n" for n, text in enumerate(texts))
    (tmp_path / "clips.csv").write_text(f"id,text,other\n{rows}")
    encoders = {"text": Worded("text", EncoderConfig()), "other": ("text", word_lengths)}
    done = extract(tmp_path / "clips.csv", encoders, tmp_path / "store", batch_size=2)
    store = FeatureStore.open(tmp_path / "store")
    assert (store.tokenized, len(list((tmp_path / "store").glob("part-*")))) == (("text",), 1)
    assert [tuple(filter(None, words)) for words in store.tokens("text")] == [
        tuple(text.split()) if text != "bad" else () for text in texts
    ]
    assert [entry.reason for entry in done.broken] == ["its features have 1 rows of 0 words"]


def test_weights_may_be_moved_and_must_not_be_changed(tmp_path: Path) -> None:
    """In a file and in a folder; the store tells where they were first."""

    class Weighted(Encoder):
        name = "weighted"
        kinds = ("text",)

        def prepare(self, media: Any, grid: Any) -> Any:
            return word_lengths(media, grid)

        def encode(self, prepared: Sequence[Any]) -> list[Any]:
            return list(prepared)

    (tmp_path / "texts").mkdir()

    def run(name: str, place: str) -> int:
        (tmp_path / "texts" / f"{name}.txt").write_text("a dog")
        encoder = Weighted("text", EncoderConfig(model=str(tmp_path / place)))
        return extract(tmp_path / "texts", {"text": encoder}, tmp_path / "store").added

    def moved(place: str, to: str) -> None:
        (tmp_path / to).parent.mkdir(exist_ok=True)
        (tmp_path / place).rename(tmp_path / to)

    (tmp_path / "model.bin").write_bytes(b"weights")
    assert run("a", "model.bin") == 1
    moved("model.bin", "elsewhere/other.bin")
    assert run("b", "elsewhere/other.bin") == 1
    assert FeatureStore.open(tmp_path / "store").source["models"] == {"text": str(tmp_path / "model.bin")}
    (tmp_path / "elsewhere" / "other.bin").write_bytes(b"Weights")
    with pytest.raises(InputError, match=r"extracted with encoders text model_sha256: .*; expected encoders"):
        run("c", "elsewhere/other.bin")
    with pytest.raises(InputError, match="encoders text model_sha256"):
        run("c", "elsewhere")


def test_whole_clips_are_as_long_as_they_are(clips: Path, tmp_path: Path) -> None:
    extract(clips, ENCODERS, tmp_path / "store", seconds=None)
    opened = FeatureStore.open(tmp_path / "store")
    assert opened.valid_steps("video").tolist() == [6, 6, 4, 0, 6]
    assert opened.valid_steps("audio").tolist() == [6, 6, 0, 3, 6]
    assert opened.modalities["video"] == (6, 1)


def test_steps_can_be_shorter_than_a_second(clips: Path, tmp_path: Path) -> None:
    extract(clips, ENCODERS, tmp_path / "store", seconds=6, steps_per_second=2)
    assert rows(tmp_path / "store", "video")["a"] == [0.0] * 6 + [1.0] * 2 + [0.0] * 4
    assert rows(tmp_path / "store", "audio")["a"] == [0.0] * 6 + [0.5] * 2 + [0.0] * 4


@pytest.mark.parametrize("seconds", [None, 4])
def test_a_file_can_be_a_single_step_whatever_its_length(tmp_path: Path, seconds: int | None) -> None:
    """A word of a fifth of a second, a sound of six, and a video are one row each, on clocks of their own."""
    (tmp_path / "clips").mkdir()
    write_sound(tmp_path / "clips" / "a.wav", tone(0.2, 0.0))
    write_sound(tmp_path / "clips" / "b.wav", tone(6, 3))
    write_video(tmp_path / "clips" / "b.mp4", seconds=3, flash=1)
    lengths: list[float] = []

    def length(sound: Any, grid: Any) -> Any:
        lengths.append(grid.seconds)
        return loudness(sound, grid)

    encoders = {"audio": length, "video": brightness}
    extract(tmp_path / "clips", encoders, tmp_path / "store", seconds=seconds, steps_per_second=None)
    assert sorted(lengths) == [0.2, seconds or 6]
    assert rows(tmp_path / "store", "audio") == {"a": [0.5], "b": [0.5]}
    assert rows(tmp_path / "store", "video")["b"] == [1.0]
    assert FeatureStore.open(tmp_path / "store").source["steps_per_second"] == "one step a file"


def test_several_modalities_of_one_kind_read_the_same_file(clips: Path, tmp_path: Path) -> None:
    encoders = {"ear": ("audio", loudness), "meter": ("audio", lambda sound, grid: 2 * loudness(sound, grid))}
    extract(clips, encoders, tmp_path / "store", seconds=6)
    ear, meter = rows(tmp_path / "store", "ear"), rows(tmp_path / "store", "meter")
    assert meter["a"] == [2 * value for value in ear["a"]]


def test_files_of_several_modalities_of_one_kind_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "media" / "photo").mkdir(parents=True)
    files = (
        ("photo/x.png", "white"),
        ("x.sketch.png", "black"),
        ("y.sketch.png", "white"),
        ("photo/z.png", "black"),
    )
    for name, color in files:
        Image.new("RGB", (4, 4), color).save(tmp_path / "media" / name)
    encoders = {"photo": ("image", brightness), "sketch": ("image", brightness)}
    extract(tmp_path / "media", encoders, tmp_path / "store")
    assert rows(tmp_path / "store", "photo") == {"x": [1.0], "y": [], "z": [0.0]}
    assert rows(tmp_path / "store", "sketch") == {"x": [0.0], "y": [1.0], "z": []}


def nothing(folder: Path) -> None:
    pass


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "z.wav")


def link(folder: Path) -> None:
    (folder / "z.wav").symlink_to("/etc/hostname")


def two_files(folder: Path) -> None:
    write_sound(folder / "a.flac")


def newline(folder: Path) -> None:
    write_sound(folder / "x\ny.wav")


def garbage(folder: Path) -> None:
    (folder / "z.mp4").write_bytes(os.urandom(3000))


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (nothing, []),
        (pipe, [("z", "audio", "unreadable")]),
        (link, [("z", "audio", "outside")]),
        (two_files, [("a", "audio", "second file")]),
        (newline, [("x\\ny", "", "name")]),
        (garbage, [("z", "audio", "unreadable"), ("z", "video", "unreadable")]),
    ],
)
def test_what_is_broken_is_listed_and_the_rest_is_extracted(
    tmp_path: Path, damage: Callable[[Path], None], found: list[tuple[str, str, str]]
) -> None:
    folder = tmp_path / "media"
    folder.mkdir()
    write_sound(folder / "a.wav")
    write_sound(folder / "ü.wav")
    damage(folder)
    done = extract(folder, {"audio": loudness, "video": brightness}, tmp_path / "store")
    assert FeatureStore.open(tmp_path / "store").ids == ("a", "ü")
    assert broken(tmp_path / "store") == found
    assert done.modalities == {"audio": 2, "video": 0}
    assert sum(done.to_json()["broken"].values()) == len(found)
    entries = "entry" if len(found) == 1 else "entries"
    assert found == [] or f"{len(found)} {entries} in" in done.text()
    if found:
        with pytest.raises(InputError, match="--strict"):
            extract(folder, {"audio": loudness, "video": brightness}, tmp_path / "strict", strict=True)


def test_a_run_again_tries_what_was_broken(tmp_path: Path) -> None:
    folder = tmp_path / "media"
    folder.mkdir()
    write_sound(folder / "b.wav")
    (folder / "a.wav").write_bytes(b"damaged")
    assert extract(folder, {"audio": loudness}, tmp_path / "store").left_out == 1
    write_sound(folder / "a.wav")
    again = extract(folder, {"audio": loudness}, tmp_path / "store")
    assert (again.added, again.before, again.left_out, again.broken) == (1, 1, 0, ())
    assert not (tmp_path / "store" / "broken.csv").exists()


def test_a_source_without_a_usable_clip_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "media"
    folder.mkdir()
    write_sound(folder / "a.wav", np.zeros(8000))
    with pytest.raises(InputError, match=r"no clip could be extracted.*all its samples are the same"):
        extract(folder, {"audio": loudness}, tmp_path / "store")
    assert broken(tmp_path / "store") == [("a", "audio", "silent")]


def test_an_encoder_that_fails_on_one_clip_fails_on_that_clip_alone(clips: Path, tmp_path: Path) -> None:
    def picky(text: Any, grid: Any) -> Any:
        if len(text.sentences[0].split()) > 3:
            raise ValueError("too many words")
        return word_lengths(text, grid)

    for name, words in (("a", 3), ("b", 10_000), ("c", 2)):
        (tmp_path / f"{name}.txt").write_text("word " * words)
    extract(tmp_path, {"text": picky}, tmp_path / "store")
    assert FeatureStore.open(tmp_path / "store").ids == ("a", "c")
    assert broken(tmp_path / "store") == [("b", "text", "refused by its encoder")]


def test_features_that_are_not_finite_are_listed(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    for name, words in (("a", "a dog"), ("b", "dogs and cats"), ("c", "a cat")):
        (tmp_path / "media" / f"{name}.txt").write_text(words)
    huge = {"text": lambda t, g: 1e9 ** (len(t.sentences[0]) // 10) * word_lengths(t, g)}
    extract(tmp_path / "media", huge, tmp_path / "s", dtype="float16")
    assert broken(tmp_path / "s") == [("b", "text", "not finite")]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"encoders": {}}, "no encoder is named"),
        ({"encoders": {"sketch": brightness}}, "the kind of modality 'sketch' is not known"),
        ({"encoders": {"audio": "no-such-encoder"}}, "unknown encoder"),
        ({"shard": (3, 3)}, "shard 3 of 3; expected 0 to 2"),
        ({"seconds": 0}, "seconds is 0"),
        ({"seconds": float("inf")}, "seconds is inf; expected at most 3600"),
        ({"steps_per_second": 0}, "steps_per_second is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"files": {"audio": "{id}.wav"}}, "no list of clips"),
        ({"source": "nowhere"}, "no such file or folder"),
    ],
)
def test_wrong_settings_are_one_line(clips: Path, tmp_path: Path, options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        extract(**{"source": clips, "encoders": {"audio": loudness}, "to": tmp_path / "store", **options})
    assert not (tmp_path / "store").exists()


def test_clips_are_decoded_while_others_are_encoded_and_few_of_them_wait(tmp_path: Path) -> None:
    """The first batch waits until a clip after it is prepared; no more clips are ahead than threads need."""
    ahead, prepared, encoded = threading.Event(), 0, 0
    most = 0

    class Counting(Encoder):
        name = "counting"
        kinds = ("text",)

        def prepare(self, media: Any, grid: Any) -> Any:
            nonlocal prepared, most
            prepared += 1
            most = max(most, prepared - encoded)
            if prepared == 5:
                ahead.set()
            return np.ones((1, 1), np.float32)

        def encode(self, given: Sequence[Any]) -> list[Any]:
            nonlocal encoded
            assert ahead.wait(5)
            encoded += len(given)
            return list(given)

    for number in range(30):
        (tmp_path / f"{number:02d}.txt").write_text("a dog")
    encoder = Counting("text", EncoderConfig())
    done = extract(tmp_path, {"text": encoder}, tmp_path / "store", batch_size=4, workers=2)
    assert done.added == 30
    assert most <= 4 + 2 * 2 + 1


def test_a_file_whose_name_has_two_lines_is_listed_in_one(tmp_path: Path) -> None:
    (tmp_path / "a\nb.txt").write_text("a dog")
    (tmp_path / "c.txt").write_text("a cat")
    done = extract(tmp_path, {"text": word_lengths}, tmp_path / "store")
    assert [entry.kind for entry in done.broken] == ["name"]
    assert (
        done.text().splitlines()[-1].endswith(r"a b.txt: its name cannot be the id of a clip (clip 'a\nb')")
    )
