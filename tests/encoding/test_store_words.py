from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from unicode_cmg.data import FeatureStore
from unicode_cmg.data.digits.clips import Pool, draw_clips, draw_reference_clips, split_instances
from unicode_cmg.data.digits.sources import word_vector
from unicode_cmg.errors import InputError

MASK = np.array([[True, True, False], [True, False, True], [True, False, False]])
WORDS = [["it", "rains"], ["naïve", 'say "\n"'], [""]]
IDS = ["a", "b", "c"]


def write(path: Path, words: object, mask: np.ndarray | None = MASK) -> FeatureStore:
    features = {"text": np.ones((3, 3, 2), np.float32), "audio": np.ones((3, 3, 2), np.float32)}
    masks = None if mask is None else {"text": mask}
    FeatureStore.write(path, features, IDS, masks, tokens={"text": words})
    return FeatureStore.open(path)


def test_words_come_back_at_their_steps(tmp_path: Path) -> None:
    store = write(tmp_path / "s", iter(WORDS))
    assert store.tokenized == ("text",)
    assert list(store.tokens("text")) == [
        ("it", "rains", None),
        ("naïve", None, 'say "\n"'),
        ("", None, None),
    ]


def test_words_are_one_line_of_json_a_clip(tmp_path: Path) -> None:
    lines = (
        (write(tmp_path / "s", WORDS).path / "part-00000/text.tokens.jsonl").read_text("utf-8").splitlines()
    )
    assert [json.loads(line) for line in lines] == WORDS


def test_without_a_mask_every_step_has_a_word(tmp_path: Path) -> None:
    words = [["a", "b", "c"]] * 3
    assert list(write(tmp_path / "s", words, mask=None).tokens("text")) == [("a", "b", "c")] * 3


def test_words_are_read_as_they_are_asked_for(tmp_path: Path) -> None:
    store = write(tmp_path / "s", WORDS)
    file = store.path / "part-00000/text.tokens.jsonl"
    file.write_text(file.read_text("utf-8").replace('[""]', "nonsense"), "utf-8")
    clips = store.tokens("text")
    assert next(clips)[0] == "it"
    assert next(clips)[0] == "naïve"
    with pytest.raises(InputError, match=r"text\.tokens\.jsonl: the line of clip 'c' is not valid JSON"):
        next(clips)


def test_a_store_without_words_has_no_file_of_them(tmp_path: Path) -> None:
    features = {"audio": np.arange(12, dtype=np.float32).reshape(2, 3, 2)}
    FeatureStore.write(tmp_path / "s", features, ["x", "y"])
    store = FeatureStore.open(tmp_path / "s")
    files = sorted(file.name for file in (store.path / "part-00000").iterdir())
    assert files == ["audio.npy", "ids.txt", "part.json"]
    assert store.tokenized == ()
    with pytest.raises(InputError, match=r"audio\.tokens\.jsonl: no such file"):
        next(store.tokens("audio"))
    with pytest.raises(InputError, match="unknown modality 'text'"):
        store.tokens("text")


def test_other_words_make_another_fingerprint(tmp_path: Path) -> None:
    first = write(tmp_path / "s", WORDS).fingerprint
    assert write(tmp_path / "t", WORDS).fingerprint == first
    assert write(tmp_path / "u", [["it", "pours"], *WORDS[1:]]).fingerprint != first


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (WORDS[:2], "words for 2 clips; expected 3"),
        ([*WORDS, ["more"]], "words for more clips than ids"),
        ([["it"], *WORDS[1:]], "1 words in clip 'a'; expected 2"),
        (["it", *WORDS[1:]], "clip 'a' has no list of words"),
        ([["it", "\ud800"], *WORDS[1:]], "clip 'a' has no list of words"),
    ],
)
def test_words_that_do_not_fit_are_not_written(tmp_path: Path, words: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        write(tmp_path / "s", words)
    assert not (tmp_path / "s").exists()


def test_words_need_features(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="words for 'text', which has no features"):
        FeatureStore.write(
            tmp_path / "s", {"audio": np.ones((1, 2, 3), np.float32)}, ["a"], tokens={"text": []}
        )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('["it", "rains"]\n', "ends before clip 'b'; expected 3 lines"),
        ('["it", "rains"]\n["x", "y"]\n[""]\n["more"]\n', "more lines than clips"),
        ('["it"]\n["x", "y"]\n[""]\n', "1 words in clip 'a'; expected 2"),
        ('["it", 4]\n["x", "y"]\n[""]\n', "no list of words"),
        ('{"it": 1}\n["x", "y"]\n[""]\n', "no list of words"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_damaged_words_are_refused_with_the_file_named(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    store = write(tmp_path / "s", WORDS)
    content = text if isinstance(text, bytes) else text.encode()
    (store.path / "part-00000/text.tokens.jsonl").write_bytes(content)
    with pytest.raises(InputError, match=rf"text\.tokens\.jsonl.*{message}"):
        list(store.tokens("text"))


@pytest.fixture(scope="module")
def pool() -> Pool:
    return split_instances(np.random.default_rng(0))["val"]


@pytest.mark.parametrize("draw", [draw_clips, draw_reference_clips])
def test_every_word_of_a_digit_clip_has_the_vector_of_its_step(draw: object, pool: Pool) -> None:
    clips = draw(np.random.default_rng(1), pool, 30)
    for row, words in enumerate(clips.words()):
        valid = 10 if clips.text_mask is None else clips.text_mask[row].sum()
        assert len(words) == valid
        for step, word in enumerate(words):
            vector = word_vector(word).astype(np.float16) if word else np.zeros(32, np.float16)
            np.testing.assert_array_equal(clips.text[row, step], vector)
