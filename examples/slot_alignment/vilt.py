"""Train ViLT on image-caption pairs without and with slot-guided alignment to a frozen ViT and a frozen BERT.

usage: python examples/slot_alignment/vilt.py [--steps 600] [--vilt NAME --vit NAME --bert NAME ...]

SGA paper, sections 5.2 and C.2. Without names of pretrained models everything is small, random at first and
trained on scenes that are drawn on the spot; README.md says how to run the sizes of the paper.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from fitting import Recipe, aligner_config, frozen
from pair_file import PairFile
from scenes import WORDS, draw_scenes
from transformers import BertModel, ViTModel
from vilt_model import ViltForPretraining, load, load_tokenizer, tiny_vilt
from vilt_teachers import Teachers, tiny_bert, tiny_vit
from vilt_training import Guide, Task, kept, retrieve, train
from words import word_tokenizer

from unicode_cmg.console import run_command
from unicode_cmg.errors import InputError
from unicode_cmg.regularizers.slot_alignment import SlotAligner

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def main(
    steps: Annotated[int, typer.Option(min=1, help="Training steps.")] = 600,
    batch_size: Annotated[int, typer.Option(min=2, help="Pairs in a step.")] = 32,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    lr: Annotated[float, typer.Option(help="Learning rate after the warm-up.")] = 1e-3,
    weight_decay: Annotated[float, typer.Option(min=0, help="Weight decay of AdamW.")] = 1e-2,
    warmup: Annotated[float, typer.Option(min=0, max=1, help="Share of the steps the rate rises in.")] = 0.1,
    only: Annotated[bool | None, typer.Option("--sga/--no-sga", help="Only this way; default: both.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Of the alignment: slots=20.")
    ] = None,
    vilt: Annotated[str | None, typer.Option(help="Pretrained ViLT, on the Hub or in a folder.")] = None,
    vit: Annotated[str | None, typer.Option(help="Pretrained ViT, likewise.")] = None,
    bert: Annotated[str | None, typer.Option(help="Pretrained BERT, likewise.")] = None,
    train_pairs: Annotated[Path | None, typer.Option(help="JSONL of pairs to train on.")] = None,
    test_pairs: Annotated[Path | None, typer.Option(help="JSONL of pairs to search in.")] = None,
    scenes: Annotated[int, typer.Option(min=2, help="Scenes to draw and train on.")] = 2000,
    held_out: Annotated[int, typer.Option(min=1, max=300, help="Scenes to draw and search in.")] = 64,
    teacher_steps: Annotated[int, typer.Option(min=0, help="Of small teachers; 0: random ones.")] = 300,
    to: Annotated[Path | None, typer.Option(help="Folder to save the trained ViLT in.")] = None,
) -> None:
    """Train ViLT without and with slot-guided alignment, and search among held-out pairs."""
    config = aligner_config(settings or [], slots=20)
    recipe = Recipe(steps, batch_size, lr, weight_decay, warmup)
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    tokenizer = word_tokenizer(WORDS) if vilt is None else load_tokenizer(vilt, "--vilt")
    model: Any = tiny_vilt(len(tokenizer)) if vilt is None else load(ViltForPretraining, vilt, "--vilt")
    size = model.image_size
    if train_pairs is not None and test_pairs is not None:
        _need_pretrained(vilt=vilt, vit=vit, bert=bert)
        task = Task(PairFile(train_pairs, size), PairFile(test_pairs, size), tokenizer, DEVICE)
    elif train_pairs is None and test_pairs is None:
        searched = draw_scenes(held_out, generator, distinct=True, size=size)
        drawn = draw_scenes(scenes, generator, unlike=searched.captions, size=size)
        task = Task(drawn, searched, tokenizer, DEVICE)
    else:
        raise InputError("one of two files", where="--train-pairs, --test-pairs", fix="give both")

    ways: dict[str, Guide | None] = {} if only else {"plain": None}
    if only is not False:
        unlike = task.held_out.captions
        teachers = Teachers(
            tiny_vit(teacher_steps, unlike, generator) if vit is None else _frozen(ViTModel, vit, "--vit"),
            *_bert(bert, teacher_steps, unlike, generator),
        ).to(DEVICE)
        ways["sga"] = Guide(teachers, SlotAligner(config, model.config.hidden_size, teachers.dims).to(DEVICE))
    for name, guide in ways.items():
        trained = copy.deepcopy(model).to(DEVICE)  # both ways start from the same weights
        print(_run(name, trained, task, recipe, seed, guide), flush=True)
        if to is not None:
            trained.save_pretrained(to / name)
            tokenizer.save_pretrained(to / name)


def _run(
    name: str, model: ViltForPretraining, task: Task, recipe: Recipe, seed: int, guide: Guide | None
) -> str:
    """Train and search; the outcome as text."""
    start = time.perf_counter()
    train(model, task, recipe, seed, guide, title=name)
    seconds = time.perf_counter() - start
    found = retrieve(model, task)
    slots = "" if guide is None else f"; slots kept: {kept(model, task, guide)}"
    return (
        f"{name}: R@1 among {len(task.held_out.captions)} held-out pairs: text {found.text:.1%}, image"
        f" {found.image:.1%}; {seconds:.0f} s{slots}"
    )


def _bert(name: str | None, steps: int, unlike: Sequence[str], generator: torch.Generator) -> tuple[Any, Any]:
    """The teacher of captions, and the tokenizer it reads them by."""
    if name is not None:
        return _frozen(BertModel, name, "--bert"), load_tokenizer(name, "--bert")
    tokenizer = word_tokenizer(WORDS)
    return tiny_bert(tokenizer, steps, unlike, generator), tokenizer


def _frozen(kind: Any, name: str, option: str) -> Any:
    return frozen(load(kind, name, option, add_pooling_layer=False))


def _need_pretrained(**names: str | None) -> None:
    """Small models know only the words of the drawn scenes."""
    missing = [f"--{option}" for option, name in names.items() if name is None]
    if missing:
        raise InputError(
            "the small models know only the words of the drawn scenes",
            where="--train-pairs",
            fix=f"give {' and '.join(missing)} too",
        )


if __name__ == "__main__":
    run_command(main)
