"""Models of transformers as encoders: tiny random ones of each family, saved to a folder."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import tiny_pretrained
import torch
import transformers as hf

from unicode_cmg.errors import InputError
from unicode_cmg.extract.encoders import Encoder, load_encoder
from unicode_cmg.extract.media import ONE_STEP, Frames, Grid, Kind, Media, Sound, Text

RATE = 16_000
GRID = Grid(5, 1)
Folder = Callable[[str], Path]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    made: dict[str, Path] = {}

    def get(family: str) -> Path:
        if family not in made:
            made[family] = tiny_pretrained.save(family, tmp_path_factory.mktemp(family))
        return made[family]

    return get


def beep(at: float, seconds: float = 5.0) -> Sound:
    """Quiet noise of one second, repeated, with a tone of half a second somewhere."""
    noise = np.tile(np.random.default_rng(0).normal(size=RATE) * 1e-3, round(seconds))
    time = np.arange(len(noise)) / RATE
    noise += 0.5 * np.sin(2 * np.pi * 880 * time) * ((time >= at) & (time < at + 0.5))
    return Sound(np.stack([noise, noise]).astype(np.float32), RATE)


def flash(step: int, per_step: int, grid: Grid = GRID) -> Frames:
    """Grey frames, white ones during a step."""
    images = np.full((grid.steps * per_step, 24, 40, 3), 90, np.uint8)
    images[step * per_step : (step + 1) * per_step] = 255
    return Frames(images, grid.frame_seconds(per_step))


def features(encoder: Encoder, *clips: Media, grid: Grid = GRID) -> list[np.ndarray]:
    if encoder.model is None:
        encoder.load()
    return encoder.encode([encoder.prepare(clip, grid) for clip in clips])


def odd_one(rows: np.ndarray) -> int:
    """The step that differs most from the median of all."""
    flat = rows.reshape(len(rows), -1)
    return int(np.abs(flat - np.median(flat, axis=0)).sum(1).argmax())


@pytest.mark.parametrize(
    ("family", "dim"),
    [("ast", 16), ("wav2vec2", 16), ("hubert", 16), ("whisper", 16), ("clap", 12), ("pe_audio", 16)],
)
def test_a_beep_shows_in_its_second(folder: Folder, family: str, dim: int) -> None:
    encoder = load_encoder(f"transformers:{folder(family)}", "audio")
    third, first = features(encoder, beep(3.2), beep(1.2))
    assert third.shape == (5, dim)
    assert third.dtype == np.float32
    assert (odd_one(third), odd_one(first)) == (3, 1)
    assert encoder.provenance()["rate"] == RATE


@pytest.mark.parametrize("family", ["clap", "pe_audio", "wav2vec2"])
def test_where_a_step_is_heard_alone_a_shift_of_one_second_moves_the_rows_by_one(
    folder: Folder, family: str
) -> None:
    encoder = load_encoder({"name": "transformers", "model": str(folder(family)), "window": 1}, "audio")
    third, fourth = features(encoder, beep(2.2), beep(3.2))
    np.testing.assert_allclose(fourth[1:], third[:-1], atol=1e-5)
    assert not np.allclose(third[2], third[1], atol=1e-5)


def test_steps_may_be_shorter_or_longer_than_what_a_model_hears(folder: Folder) -> None:
    encoder = load_encoder(f"transformers:{folder('whisper')}", "audio")  # 5 s at once
    assert features(encoder, beep(3.2), grid=Grid(5, 10))[0].shape == (50, 16)
    (long,) = features(encoder, beep(13.2, seconds=21), grid=Grid(21, 0.1))
    (seconds,) = features(encoder, beep(13.2, seconds=21), grid=Grid(21, 1))
    np.testing.assert_allclose(long, seconds[:20].reshape(2, 10, 16).mean(1), atol=1e-5)
    assert seconds.shape == (21, 16)


def test_hidden_states_of_wav2vec2_are_averaged_over_steps(folder: Folder) -> None:
    encoder = load_encoder({"name": "transformers", "model": str(folder("wav2vec2")), "layer": 1}, "audio")
    sound = beep(3.2, seconds=2)
    (rows,) = features(encoder, sound, grid=Grid(2, 1))
    extractor = hf.Wav2Vec2FeatureExtractor.from_pretrained(folder("wav2vec2"))
    inputs = extractor(sound.samples[0], sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        frames = encoder.model(**inputs, output_hidden_states=True).hidden_states[1][0].numpy()
    starts = np.arange(len(frames)) * 2 / len(frames)
    for step in range(2):
        weights = np.clip(np.minimum(starts + 2 / len(frames), step + 1) - np.maximum(starts, step), 0, None)
        np.testing.assert_allclose(rows[step], weights @ frames / weights.sum(), atol=1e-5)


@pytest.mark.parametrize(
    ("family", "dim"),
    [
        ("vit", 16),
        ("dinov2", 16),
        ("dinov3", 16),
        ("resnet", 16),
        ("clip", 12),
        ("siglip", 16),
        ("videomae", 16),
    ],
)
def test_a_flash_shows_in_its_step(folder: Folder, family: str, dim: int) -> None:
    encoder = load_encoder(f"transformers:{folder(family)}", "video")
    assert encoder.frames_per_step == (4 if family == "videomae" else 1)
    third, second = features(encoder, flash(3, encoder.frames_per_step), flash(2, encoder.frames_per_step))
    assert third.shape == (5, dim)
    assert odd_one(third) == 3
    np.testing.assert_allclose(third[1:], second[:-1], atol=1e-5)


@pytest.mark.parametrize("family", ["vit", "dinov2", "dinov3", "resnet", "clip", "siglip", "videomae"])
def test_patches_stay_where_they_are(folder: Folder, family: str) -> None:
    side = 1 if family == "resnet" else 2
    spec = {"name": "transformers", "model": str(folder(family)), "grid": side}
    encoder = load_encoder(spec, "video")
    plain, marked = flash(3, encoder.frames_per_step), flash(3, encoder.frames_per_step)
    marked.images[:, :12, :20] = np.arange(12 * 20).reshape(12, 20, 1) % 251  # the upper left quarter
    before, after = features(encoder, plain, marked)
    assert before.shape == (5, side, side, 16)
    changed = np.abs(after - before).sum(-1)
    assert (changed.reshape(5, -1).argmax(1) == 0).all()


def test_images_of_a_step_are_averaged_and_a_step_without_one_is_zero(folder: Folder) -> None:
    spec = {"name": "transformers", "model": str(folder("dinov2")), "frames": 2}
    encoder = load_encoder(spec, "video")
    frames = flash(0, 2, Grid(1, 1))
    frames.images[1] = 3
    frames = Frames(frames.images, np.array([0.25, 0.75]))
    both = features(encoder, frames, grid=Grid(3, 1))[0]
    one, other = (
        features(encoder, Frames(frames.images[i : i + 1], np.zeros(1)), grid=ONE_STEP)[0] for i in (0, 1)
    )
    np.testing.assert_allclose(both[0], (one[0] + other[0]) / 2, atol=1e-6)
    assert not both[1:].any()


def test_a_still_image_has_one_step(folder: Folder) -> None:
    encoder = load_encoder(f"transformers:{folder('clip')}", "image")
    still = Frames(np.zeros((1, 9, 700, 3), np.uint8), np.zeros(1))
    assert features(encoder, still, grid=ONE_STEP)[0].shape == (1, 12)


@pytest.mark.parametrize(
    ("family", "dim"),
    [("bert", 16), ("minilm", 16), ("clip", 12), ("siglip", 16), ("clap", 12), ("pe_audio", 16)],
)
def test_a_sentence_is_one_row(folder: Folder, family: str, dim: int) -> None:
    encoder = load_encoder(f"transformers:{folder(family)}", "text")
    one, two = features(encoder, Text(("a dog",)), Text(("A dog barks loudly.", "a dog")), grid=ONE_STEP)
    assert one.shape == (1, dim)
    assert two.shape == (2, dim)
    np.testing.assert_allclose(two[1], one[0], atol=1e-6)
    if family == "minilm":
        np.testing.assert_allclose(np.linalg.norm(two, axis=1), 1, atol=1e-6)


def test_words_are_means_of_their_tokens_without_punctuation(folder: Folder) -> None:
    sentence = "A dog barks, loudly."
    word = load_encoder({"name": "transformers", "model": str(folder("bert")), "per": "word"}, "text")
    token = load_encoder({"name": "transformers", "model": str(folder("bert")), "per": "token"}, "text")
    word.load()
    tokens = hf.AutoTokenizer.from_pretrained(folder("bert"), model_max_length=32)
    assert tokens.tokenize(sentence) == ["a", "dog", "bark", "##s", ",", "loud", "##ly", "."]
    word.reading._longest = token.reading._longest = 32  # one chunk
    (rows,), (each,) = (features(e, Text((sentence,)), grid=ONE_STEP) for e in (word, token))
    with torch.no_grad():
        hidden = word.model(**tokens(sentence, return_tensors="pt")).last_hidden_state[0, 1:-1].numpy()
    np.testing.assert_allclose(each, hidden, atol=1e-5)
    expected = [hidden[0], hidden[1], hidden[2:4].mean(0), hidden[5:7].mean(0)]
    np.testing.assert_allclose(rows, expected, atol=1e-5)


@pytest.mark.parametrize("per", ["sentence", "word", "token"])
def test_a_text_longer_than_the_model_reads_loses_nothing(folder: Folder, per: str) -> None:
    encoder = load_encoder({"name": "transformers", "model": str(folder("bert")), "per": per}, "text")
    words = ["a dog and cat", "barks loudly"] * 50
    (rows,) = features(encoder, Text((" ".join(words),)), grid=ONE_STEP)
    assert len(rows) == {"sentence": 1, "word": 300, "token": 400}[per]
    spec = {"name": "transformers", "model": str(folder("bert")), "per": per, "most": 10}
    few = features(load_encoder(spec, "text"), Text((" ".join(words),)), grid=ONE_STEP)[0]
    np.testing.assert_array_equal(few, rows[:10])


def test_a_sentence_is_pooled_as_settings_say(folder: Folder) -> None:
    found = {}
    for pool in ("auto", "mean", "first", "pooled"):
        spec = {"name": "transformers", "model": str(folder("bert")), "pool": pool}
        found[pool] = features(load_encoder(spec, "text"), Text(("a dog",)), grid=ONE_STEP)[0]
    np.testing.assert_array_equal(found["auto"], found["mean"])
    assert not np.allclose(found["mean"], found["first"])
    assert not np.allclose(found["pooled"], found["first"])


@pytest.mark.parametrize("text", ["", "  \n", "   ", "\t\u200b"])
def test_a_text_without_words_is_refused(folder: Folder, text: str) -> None:
    encoder = load_encoder({"name": "transformers", "model": str(folder("bert")), "per": "word"}, "text")
    with pytest.raises(InputError, match="a text without words"):
        encoder.prepare(Text((text,)), ONE_STEP)


def test_results_do_not_depend_on_the_rest_of_the_batch(folder: Folder) -> None:
    texts = [Text(("a dog",)), Text(("a dog barks loudly and a cat and a dog",)), Text(("unknown cat",))]
    encoder = load_encoder(f"transformers:{folder('bert')}", "text")
    together = features(encoder, *texts, grid=ONE_STEP)
    for alone, rows in zip(texts, together, strict=True):
        np.testing.assert_allclose(features(encoder, alone, grid=ONE_STEP)[0], rows, atol=1e-6)


def test_rows_of_a_text_are_named_by_their_words_or_tokens(folder: Folder) -> None:
    """Also those behind the first 8 tokens, of which the model reads more in a second chunk."""
    text = Text(("A dog, barks loudly!", "a cat and a dog barks loudly and a cat"))

    def named(**settings: Any) -> Any:
        encoder = load_encoder({"name": "transformers", "model": str(folder("bert")), **settings}, "text")
        encoder.load()
        prepared = encoder.prepare(text, ONE_STEP)
        words = encoder.words(prepared)
        assert words is None or len(words) == len(encoder.encode([prepared])[0])
        return words

    assert " ".join(named(per="word")) == "A dog barks loudly a cat and a dog barks loudly and a cat"
    assert named(per="word", most=3) == ["A", "dog", "barks"]
    tokens = named(per="token")
    assert "".join(tokens) == "".join("".join(text.sentences).split())
    assert {",", "!"} <= set(tokens)
    assert named() is None


def test_a_tokenizer_works_in_several_threads(folder: Folder) -> None:
    encoder = load_encoder(f"transformers:{folder('bert')}", "text")
    texts = [Text(("a dog barks loudly " * (1 + i % 5),)) for i in range(200)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda text: len(encoder.prepare(text, ONE_STEP)), texts))
    assert found == [len(encoder.prepare(text, ONE_STEP)) for text in texts]


def test_provenance_names_model_weights_and_version(folder: Folder) -> None:
    provenance = load_encoder(f"transformers:{folder('bert')}", "text").provenance()
    sums = provenance["model_sha256"]
    assert {len(sha) for sha in sums.values()} == {64}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(sums)
    assert provenance["transformers"] == hf.__version__
    assert provenance["architecture"] == "bert"
    assert str(folder("bert")) not in json.dumps(provenance)
    assert "revision" not in provenance


def test_an_encoder_is_prepared_in_other_processes_without_its_model(folder: Folder) -> None:
    encoder = load_encoder(f"transformers:{folder('clip')}", "text")
    encoder.load()
    copy = pickle.loads(pickle.dumps(encoder))
    assert copy.model is None
    prepared = [copy.prepare(Text(("a dog",)), ONE_STEP)]
    np.testing.assert_array_equal(
        encoder.encode(pickle.loads(pickle.dumps(prepared)))[0], features(encoder, Text(("a dog",)))[0]
    )


def damaged(folder: Path, tmp_path: Path, change: Callable[[Path], Any]) -> Path:
    copy = tmp_path / "model"
    copy.mkdir()
    for file in folder.iterdir():
        if file.is_file():
            (copy / file.name).write_bytes(file.read_bytes())
    change(copy)
    return copy


def drop(part: str) -> Callable[[Path], None]:
    """Leave out the weights whose names have this part."""

    def change(model: Path) -> None:
        file = model / "model.safetensors"
        kept = {k: v for k, v in safetensors.numpy.load_file(file).items() if part not in k}
        safetensors.numpy.save_file(kept, file, metadata={"format": "pt"})

    return change


@pytest.mark.parametrize(
    ("family", "part", "kind"),
    [
        ("wav2vec2", "masked_spec_embed", "audio"),
        ("dinov2", "mask_token", "image"),
        ("clip", "text_model", "image"),
        ("whisper", "decoder", "audio"),
        ("bert", "pooler", "text"),
    ],
)
def test_weights_that_the_features_do_not_depend_on_may_be_missing(
    folder: Folder, tmp_path: Path, family: str, part: str, kind: Kind
) -> None:
    place = damaged(folder(family), tmp_path, drop(part))
    load_encoder(f"transformers:{place}", kind).load()


def test_a_missing_projection_is_an_error(folder: Folder, tmp_path: Path) -> None:
    place = damaged(folder("clip"), tmp_path, drop("visual_projection"))
    with pytest.raises(
        InputError, match=r"its weights lack 1 of .* tensors, such as 'visual_projection.weight'"
    ):
        load_encoder(f"transformers:{place}", "image").load()


def test_a_pooler_that_is_missing_is_not_used(folder: Folder, tmp_path: Path) -> None:
    place = damaged(folder("bert"), tmp_path, drop("pooler"))
    encoder = load_encoder({"name": "transformers", "model": str(place), "pool": "pooled"}, "text")
    with pytest.raises(InputError, match="the model pools nothing itself; set pool to mean or first"):
        features(encoder, Text(("a dog",)), grid=ONE_STEP)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop(".1."), r"its weights lack \d+ of \d+ tensors, such as 'encoder.layer.1"),
        (lambda m: (m / "model.safetensors").write_bytes(b"no"), "its weights cannot be read"),
        (lambda m: (m / "model.safetensors").unlink(), "its weights cannot be read"),
        (lambda m: (m / "config.json").write_text("{"), "its configuration cannot be read"),
        (
            lambda m: (m / "config.json").write_text('{"model_type": "no_such"}'),
            "configuration cannot be read",
        ),
        (lambda m: (m / "tokenizer.json").unlink(), "its tokenizer cannot be read"),
        (
            lambda m: (m / "config.json").write_text('{"auto_map": {"AutoConfig": "evil.Evil"}}'),
            "its configuration cannot be read",
        ),
    ],
)
def test_a_damaged_folder_is_one_line(
    folder: Folder, tmp_path: Path, change: Callable[[Path], Any], message: str
) -> None:
    place = damaged(folder("bert"), tmp_path, change)
    with pytest.raises(InputError, match=message) as caught:
        load_encoder(f"transformers:{place}", "text").load()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("family", ["whisper", "wav2vec2"])
def test_a_model_that_pools_nothing_says_so(folder: Folder, family: str) -> None:
    encoder = load_encoder({"name": "transformers", "model": str(folder(family)), "pool": "pooled"}, "audio")
    with pytest.raises(InputError, match="the model pools nothing itself; set pool to mean or first"):
        features(encoder, beep(0.2, seconds=1), grid=ONE_STEP)


def test_code_beside_a_model_is_never_run(folder: Folder, tmp_path: Path) -> None:
    def plant(model: Path) -> None:
        (model / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n")
        config = json.loads((model / "config.json").read_text())
        auto = {
            "AutoConfig": "evil.Evil",
            "AutoModel": "evil.Evil",
            "AutoTokenizer": ["evil.Evil", "evil.Evil"],
        }
        (model / "config.json").write_text(json.dumps({**config, "auto_map": auto}))

    place = damaged(folder("bert"), tmp_path, plant)
    load_encoder(f"transformers:{place}", "text").load()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("family", "kind", "message"),
    [
        ("bert", "audio", "its feature extractor cannot be read"),
        ("vit", "text", "its tokenizer cannot be read"),
        ("bert", "image", "its image processor cannot be read"),
    ],
)
def test_a_model_of_another_kind_is_refused(folder: Folder, family: str, kind: Kind, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_encoder(f"transformers:{folder(family)}", kind).load()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("transformers", "'transformers' needs a model; expected transformers:NAME_OR_FOLDER"),
        ("transformers:./no/such/folder", "no such folder"),
        ("transformers:no-such/model", "neither a folder nor in the cache.*hf download no-such/model"),
    ],
)
def test_a_model_that_is_not_there_is_one_line(
    spec: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=message):
        load_encoder(spec, "text")


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"layer": 7}, "text", "layer is 7; expected -3 to 2"),
        ({"pool": "middle"}, "text", "pool"),
        ({"most": 0}, "text", "most"),
        ({"grid": 7}, "text", "'grid' has no effect on text; leave it out"),
        ({"pool": "pooled", "layer": 1}, "text", "'layer: 1' has no effect on what the model pools itself"),
    ],
)
def test_wrong_settings_are_refused(
    folder: Folder, settings: dict[str, Any], kind: Kind, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        features(
            load_encoder({"name": "transformers", "model": str(folder("bert")), **settings}, kind),
            Text(("a",)),
        )
