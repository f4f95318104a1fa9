"""The examples of slot-guided alignment on models that are not ours, small but real."""

from __future__ import annotations

import importlib
import json
import re
import shlex
from math import comb
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from PIL import Image
from places import ROOT
from torch.nn import functional as F
from typer.main import get_command
from typer.testing import CliRunner

from unicode_cmg.console import app_of
from unicode_cmg.data.digits.clips import draw_clips, split_instances
from unicode_cmg.errors import InputError
from unicode_cmg.regularizers.slot_alignment import AlignerConfig, SlotAligner, Tokens

EXAMPLES = ROOT / "examples" / "slot_alignment"
CPU = torch.device("cpu")
NOTHING = AlignerConfig(slots=4, contrastive=0, retrieval=0, reconstruction=0, keep=0)


@pytest.fixture(autouse=True)
def _examples_are_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setattr(module("vilt_model"), "ITEMS", 8)


def module(name: str) -> ModuleType:
    return importlib.import_module(name)


def command(script: str, *arguments: object) -> list[str]:
    """The lines that a script prints."""
    result = CliRunner().invoke(app_of(module(script).main), [str(argument) for argument in arguments])
    if result.exception is not None:
        raise result.exception
    return result.stdout.splitlines()


def snapshot(*modules: torch.nn.Module) -> list[torch.Tensor]:
    return [tensor.clone() for one in modules for tensor in one.state_dict().values()]


def same(before: list[torch.Tensor], after: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def early_and_late(losses: list[float]) -> tuple[float, float]:
    quarter = len(losses) // 4
    return float(np.mean(losses[:quarter])), float(np.mean(losses[-quarter:]))


@pytest.fixture
def scenes() -> Any:
    """A task of few pairs, an untrained ViLT for it, and untrained teachers."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    draw = module("pairs").draw_scenes
    held_out = draw(8, generator, distinct=True)
    tokenizer = module("words").word_tokenizer(module("pairs").WORDS)
    train = draw(32, generator, unlike=held_out.captions)
    task = module("vilt").Task(train, held_out, tokenizer, CPU)
    teachers = module("vilt_model")
    vit = teachers.tiny_vit(0, held_out.captions, generator)
    bert = teachers.tiny_bert(tokenizer, 0, held_out.captions, generator)
    model = module("vilt_model").tiny_vilt(len(tokenizer))
    return task, model, teachers.Teachers(vit, bert, tokenizer)


def vilt_guide(scenes: Any, config: AlignerConfig) -> Any:
    _, model, teachers = scenes
    aligner = SlotAligner(config, model.config.hidden_size, teachers.dims)
    return module("vilt").Guide(teachers, aligner)


@pytest.mark.slow
def test_guided_vilt_learns_and_its_teachers_do_not_move(scenes: Any) -> None:
    task, model, teachers = scenes
    guide = vilt_guide(scenes, AlignerConfig(slots=4))
    before, slots = snapshot(teachers.vit, teachers.bert), snapshot(guide.aligner)
    recipe = module("fitting").Recipe(steps=16, batch_size=8, lr=1e-3)
    first, last = early_and_late(module("vilt").train(model, task, recipe, 0, guide, "sga"))
    assert last < first - 0.5
    assert same(before, snapshot(teachers.vit, teachers.bert))
    assert not same(slots, snapshot(guide.aligner))


def test_alignment_alone_reaches_every_layer_of_vilt(scenes: Any) -> None:
    task, model, teachers = scenes
    guide = vilt_guide(scenes, AlignerConfig(slots=4, retrieval=0, reconstruction=0, keep=0))
    words = module("words").write(task.tokenizer, task.train.captions[:4], 32)
    images = task.train.images(range(4))
    _, parts = module("vilt").own_terms(model, words, images, 4, torch.Generator())
    told = teachers.tokens(images, task.train.captions[:4])
    terms = module("fitting").guidance(guide.aligner, told, parts, torch.Generator().manual_seed(0))
    assert list(terms) == ["slots/contrastive"]
    terms["slots/contrastive"].backward()
    untouched = {n for n, p in model.vilt.named_parameters() if p.grad is None or not p.grad.any()}
    assert {name for name in untouched if "pooler" not in name and "layernorm_after" not in name} <= {
        "embeddings.text_embeddings.token_type_embeddings.weight"
    }


def test_vilt_sees_the_same_batches_with_and_without_a_guide(scenes: Any) -> None:
    task, model, _ = scenes
    start, losses = snapshot(model), []
    recipe = module("fitting").Recipe(steps=3, batch_size=4, lr=1e-3)
    for guide in (None, vilt_guide(scenes, NOTHING)):
        model.load_state_dict(dict(zip(model.state_dict(), start, strict=True)))
        losses.append(module("vilt").train(model, task, recipe, 0, guide, "either"))
    assert losses[0] == losses[1]


def test_held_out_captions_are_never_trained_on(scenes: Any) -> None:
    task, _, _ = scenes
    assert len(set(task.held_out.captions)) == len(task.held_out.captions)
    assert not set(task.held_out.captions) & set(task.train.captions)


def test_only_words_are_hidden_from_captions() -> None:
    words_module = module("words")
    tokenizer = words_module.word_tokenizer(["a", "red", "cross"])
    words = words_module.write(tokenizer, ["a red cross", "cross"] * 200, 32)
    gaps, hidden = words_module.hide(words, tokenizer.mask_token_id, torch.Generator().manual_seed(0))
    short = ["[CLS]", "cross", "[SEP]", "[PAD]", "[PAD]"]
    assert words.ids[1].tolist() == tokenizer.convert_tokens_to_ids(short)
    assert not (hidden & words.special).any()
    assert (gaps.ids[hidden] == tokenizer.mask_token_id).all()
    assert torch.equal(gaps.ids[~hidden], words.ids[~hidden])
    assert hidden.sum() / (~words.special).sum() == pytest.approx(0.15, abs=0.04)


@pytest.mark.slow
def test_vilt_command_trains_both_ways_and_saves_what_transformers_reads(tmp_path: Path) -> None:
    lines = command(
        "vilt", "--steps", 2, "--batch-size", 4, "--scenes", 8, "--held-out", 8, "--teacher-steps", 1,
        "--set", "slots=3", "--to", tmp_path,
    )  # fmt: skip
    results = [line for line in lines if "R@1" in line]
    assert [line.split(":")[0] for line in results] == ["plain", "sga"]
    assert "slots kept: joint" in results[1]
    for kind in (hf.ViltForMaskedLM, hf.ViltForImageAndTextRetrieval):
        _, report = kind.from_pretrained(tmp_path / "sga", output_loading_info=True)
        assert not report["missing_keys"]


@pytest.mark.slow
def test_vilt_command_takes_pretrained_weights_and_files_of_pairs(tmp_path: Path) -> None:
    words = module("words").word_tokenizer(["two", "dogs", "cat", "grass"])
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    models = {
        "vilt": module("vilt_model").tiny_vilt(len(words)),
        "vit": hf.ViTModel(hf.ViTConfig(**sizes, image_size=24, patch_size=8), add_pooling_layer=False),
        "bert": hf.BertModel(hf.BertConfig(**sizes, vocab_size=len(words)), add_pooling_layer=False),
    }
    for name, model in models.items():
        model.save_pretrained(tmp_path / name)
        words.save_pretrained(tmp_path / name)
    Image.new("RGB", (40, 20), "green").save(tmp_path / "grass.png")
    Image.new("L", (9, 9)).save(tmp_path / "cat.png")
    pairs = tmp_path / "pairs.jsonl"
    rows = [{"image": "grass.png", "caption": "two dogs"}, {"image": "cat.png", "caption": "cat"}] * 2
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    named = [part for name in models for part in (f"--{name}", tmp_path / name)]
    files = ["--train-pairs", pairs, "--test-pairs", pairs]
    lines = command("vilt", *named, *files, "--sga", "--steps", 2, "--batch-size", 2)
    assert lines[-1].startswith("sga: 4 held-out pairs: text R@1 ")
    assert "R@5 100.0% R@10 100.0%, image R@1" in lines[-1]  # of two images each has two captions
    assert not any("plain" in line for line in lines)

    with pytest.raises(InputError, match=r"--train-pairs: the small models know.*give --vit and --bert too"):
        command("vilt", "--vilt", tmp_path / "vilt", *files)
    with pytest.raises(InputError, match=r"--bert: cannot load '.*nothing'"):
        command("vilt", "--bert", tmp_path / "nothing", "--scenes", 8, "--held-out", 8, "--teacher-steps", 0)
    pairs.write_text('{"image": "grass.png"}\n')
    with pytest.raises(InputError, match=r"pairs.jsonl:1: not a pair"):
        command("vilt", *named, *files)


class Oracle(torch.nn.Module):
    """Knows which caption is about which image: their colour, the first word."""

    config = SimpleNamespace(max_position_embeddings=9)

    def __init__(self, first: int) -> None:
        super().__init__()
        self.first = first

    def fuse(self, words: Any, images: torch.Tensor) -> Any:
        shown = ((images.mean((1, 2, 3)) + 1) * 4).round().long()
        return SimpleNamespace(match=(words.ids[:, 1] - self.first == shown).float())


def many_captions(folder: Path, captions: int) -> Any:
    """Four images of different brightness with several captions each, in mixed order."""
    levels = ["zero", "one", "two", "three"]
    for level, name in enumerate(levels):
        Image.new("L", (4, 4), round(level * 127.5 / 4)).save(folder / f"{name}.png")
    rows = [
        {"image": f"{name}.png", "caption": f"{name} {'dog ' * k}"}
        for k in range(captions)
        for name in levels
    ]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tokenizer = module("words").word_tokenizer([*levels, "dog"])
    pairs = module("pairs").PairFile(folder / "pairs.jsonl", 4)
    return module("vilt").Task(pairs, pairs, tokenizer, CPU), Oracle(tokenizer.vocab["zero"])


def test_a_perfect_model_finds_everything_where_an_image_has_several_captions(tmp_path: Path) -> None:
    task, oracle = many_captions(tmp_path, captions=5)
    assert task.held_out.image_of.tolist() == [0, 1, 2, 3] * 5
    found = module("vilt").retrieve(oracle, task)
    assert {what: len(ranking.above) for what, ranking in found.items()} == {"text": 4, "image": 20}
    for ranking in found.values():
        assert module("vilt").recalls(ranking) == "R@1 100.0% R@5 100.0% R@10 100.0%"


def test_a_model_that_tells_nothing_apart_gets_what_chance_gives(tmp_path: Path) -> None:
    task, _ = many_captions(tmp_path, captions=3)
    found = module("vilt").retrieve(Oracle(first=-99), task)
    assert module("vilt").recalls(found["image"]) == "R@1 25.0% R@5 100.0% R@10 100.0%"
    assert found["text"].within(1).mean().item() == pytest.approx(3 / 12)
    assert found["text"].within(5).mean().item() == pytest.approx(1 - comb(9, 5) / comb(12, 5))


def test_another_caption_of_the_same_image_is_no_wrong_one_in_training(
    scenes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, model, _ = scenes
    words = module("words").write(task.tokenizer, task.held_out.captions[:2], 40)
    fuse, seen = model.fuse, []
    monkeypatch.setattr(model, "fuse", lambda *inputs: seen.append(fuse(*inputs)) or seen[-1])
    for numbers, right in ((torch.tensor([0, 0]), [1.0, 1, 1, 1]), (torch.tensor([0, 1]), [1.0, 1, 0, 0])):
        images, generator = task.held_out.images([0, 0]), torch.Generator().manual_seed(0)
        terms, _ = module("vilt").own_terms(model, words, images, 4, generator, numbers)
        expected = F.binary_cross_entropy_with_logits(seen[-1].match[:4], torch.tensor(right))
        torch.testing.assert_close(terms["matching"], expected)


def test_image_files_are_scaled_to_the_range_of_the_models(tmp_path: Path) -> None:
    Image.new("RGB", (10, 30), (255, 0, 0)).save(tmp_path / "red.png")
    (tmp_path / "pairs.jsonl").write_text('{"image": "red.png", "caption": "red"}\n')
    pairs = module("pairs").PairFile(tmp_path / "pairs.jsonl", 8)
    assert pairs.captions == ["red"]
    assert torch.equal(pairs.images([0, 0]), torch.tensor([1.0, -1, -1])[:, None, None].expand(2, 3, 8, 8))
    (tmp_path / "red.png").write_text("no image")
    with pytest.raises(InputError, match=r"red.png: not an image"):
        pairs.images([0])


@pytest.fixture
def clips() -> Any:
    """Clips of three classes that either side shows."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(48) % 3
    inputs = {}
    for side, size in (("audio", 6), ("visual", 5)):
        shown = torch.randn(3, 1, size, size, generator=generator)[labels]
        inputs[side] = shown + 0.3 * torch.randn(48, 1, size, size, generator=generator)
    return module("clips").LabelledClips(inputs, labels)


def classifier(clips: Any) -> Any:
    small = module("audio_visual_model").small_cnn
    encoders = {side: small(clips.inputs[side]) for side in ("audio", "visual")}
    return module("audio_visual_model").LateFusion(encoders, 64, 3)


@pytest.mark.slow
def test_guided_classifier_learns_and_its_teachers_do_not_move(clips: Any) -> None:
    torch.manual_seed(0)
    steps, generator = module("audio_visual_model"), torch.Generator().manual_seed(0)
    teachers = {side: steps.small_teacher(side, clips, 4, generator, CPU) for side in ("audio", "visual")}
    model = classifier(clips)
    guide = module("audio_visual").Guide(
        teachers, SlotAligner(AlignerConfig(slots=4), model.dim, dict.fromkeys(teachers, 64))
    )
    before = snapshot(*(teacher.module for teacher in teachers.values()))
    recipe = module("fitting").Recipe(steps=24, batch_size=16, lr=3e-3)
    first, last = early_and_late(module("audio_visual").train(model, clips, recipe, 0, guide, CPU, "sga"))
    assert last < first - 0.5
    assert same(before, snapshot(*(teacher.module for teacher in teachers.values())))
    told = module("audio_visual").accuracies(model, clips, CPU)
    assert told["fused"] > 0.8


def test_each_side_answers_for_its_half_of_the_classifier(clips: Any) -> None:
    model = classifier(clips).eval()
    logits = model(clips.inputs).logits
    torch.testing.assert_close(logits["audio"] + logits["visual"], logits["fused"])
    changed = model({**clips.inputs, "visual": clips.inputs["visual"].flip(0)}).logits
    torch.testing.assert_close(changed["audio"], logits["audio"])
    assert not torch.allclose(changed["visual"], logits["visual"])


def test_digit_clips_have_a_picture_and_the_spectrogram_in_order() -> None:
    rng = np.random.default_rng(0)
    clips = draw_clips(rng, split_instances(rng)["train"], 12)
    splits = module("clips").digit_clips({"pretrain": clips, "train": clips, "test": clips}, 11)
    assert (len(splits.train), len(splits.held_out)) == (11, 12)
    assert splits.held_out.labels.tolist() == [k % 10 for k in range(12)]
    audio, visual = splits.train.inputs["audio"], splits.train.inputs["visual"]
    assert (audio.shape, visual.shape) == ((11, 1, 13, 80), (11, 16, 7, 7))
    second, frame, coefficient = 3, 5, 7
    assert audio[2, 0, coefficient, second * 8 + frame] == clips.audio[2, second, frame * 13 + coefficient]
    assert visual[2, 4, 1, 6] == clips.video[2, 5, 1, 6, 4]


def test_audio_visual_command_takes_files_encoders_and_teachers(tmp_path: Path, clips: Any) -> None:
    held_out = np.arange(48) >= 36
    arrays = {side: values.numpy() for side, values in clips.inputs.items()}
    np.savez(tmp_path / "clips.npz", **arrays, labels=clips.labels.numpy(), held_out=held_out)
    own = ["--teacher", "conv=visual:own_modules:conv", "--teacher", "words=audio:own_modules:tokens"]
    (tmp_path / "own_modules.py").write_text(
        "from torch import nn\n"
        "conv = lambda: nn.Conv2d(1, 7, 3)\n"
        "tokens = lambda: nn.Sequential(nn.Flatten(1), nn.Unflatten(1, (4, 9)), nn.Linear(9, 5))\n"
        "wide = lambda: nn.Conv2d(1, 64, 3)\n"
        "bad = lambda: 3\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        lines = command(
            "audio_visual", "--file", tmp_path / "clips.npz", *own, "--encoder", "visual=own_modules:wide",
            "--steps", 3, "--batch-size", 8, "--set", "slots=3", "--to", tmp_path / "models",
        )  # fmt: skip
        with pytest.raises(InputError, match="--teacher: 'own_modules:bad' made a int"):
            command("audio_visual", "--file", tmp_path / "clips.npz", "--teacher", "x=audio:own_modules:bad")
        with pytest.raises(InputError, match=r"--encoder: channels \{'audio': 64, 'visual': 7\}"):
            command("audio_visual", "--file", tmp_path / "clips.npz", "--encoder", "visual=own_modules:conv")
    results = [line for line in lines if "accuracy" in line]
    assert [line.split(":")[0] for line in results] == ["plain", "sga"]
    assert re.search(r"12 held-out clips: fused [\d.]+%, audio [\d.]+%, visual [\d.]+%", results[1])
    assert "conv " in results[1]
    assert (tmp_path / "models" / "sga.safetensors").is_file()

    with pytest.raises(InputError, match=r"clips.npz: no teacher|--file: no teacher"):
        command("audio_visual", "--file", tmp_path / "clips.npz", "--sga")
    with pytest.raises(InputError, match=r"--teacher: cannot read 'x=smell:a:b'"):
        command("audio_visual", "--file", tmp_path / "clips.npz", "--teacher", "x=smell:a:b")


def test_every_option_in_the_readme_exists() -> None:
    text = (EXAMPLES / "README.md").read_text().replace("\\\n", " ")
    commands = re.findall(r"^(?:\w+=\S+ )*python examples/slot_alignment/(\w+)\.py(.*)$", text, re.MULTILINE)
    assert {script for script, _ in commands} == {"vilt", "audio_visual"}
    for script, arguments in commands:
        get_command(app_of(module(script).main)).make_context(script, shlex.split(arguments, comments=True))


def test_the_lines_in_the_readme_make_a_loss() -> None:
    lines = re.findall(
        r"^```python\n(from unicode_cmg.*?)^```", (EXAMPLES / "README.md").read_text(), re.S | re.M
    )
    mask = torch.ones(2, 5, dtype=torch.bool)
    tokens = Tokens(torch.randn(2, 5, 768), mask)
    names = {
        "torch": torch,
        **dict.fromkeys(("text_states", "patch_states"), tokens.values),
        **dict.fromkeys(("text_mask", "patch_mask"), mask),
        "teachers": {"image": tokens, "text": tokens},
        "generator": torch.Generator(),
        "task_loss": torch.zeros(()),
    }
    exec(compile(lines[0], "README.md", "exec"), names)
    assert names["loss"].isfinite()
    assert names["loss"].requires_grad
