"""Train ViLT on image-caption pairs without and with slot-guided alignment to a frozen ViT and a frozen BERT.

usage: python examples/slot_alignment/vilt.py [--steps 600] [--vilt NAME --vit NAME --bert NAME ...]

SGA paper, sections 5.2 and C.2. Without names of pretrained models everything is small, random at first and
trained on scenes that are drawn on the spot; README.md says how to run the sizes of the paper.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from fitting import Recipe, aligner_config, fit, frozen, guidance, kept_slots
from jaxtyping import Float, Int64
from pairs import WORDS, PairFile, Pairs, draw_scenes
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoTokenizer, BertModel, ViTModel
from vilt_model import WEIGHTS, Teachers, ViltForPretraining, load, tiny_bert, tiny_vilt, tiny_vit
from words import Words, hide, word_loss, word_tokenizer, write

from benchmarks.evaluation.ranking import Ranking, rank
from unicode_cmg.console import run_command
from unicode_cmg.errors import InputError
from unicode_cmg.regularizers.slot_alignment import SlotAligner, Tokens

CAPTIONS_AT_ONCE = 512
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
    tokenizer = word_tokenizer(WORDS) if vilt is None else load(AutoTokenizer, vilt, "--vilt")
    model: Any = (
        tiny_vilt(len(tokenizer)) if vilt is None else load(ViltForPretraining, vilt, "--vilt", **WEIGHTS)
    )
    size = model.image_size
    if train_pairs is not None and test_pairs is not None:
        names = {"--vilt": vilt, "--vit": vit, "--bert": bert}
        if missing := [option for option, name in names.items() if name is None]:
            raise InputError(
                "the small models know only the words of the drawn scenes",
                where="--train-pairs",
                fix=f"give {' and '.join(missing)} too",
            )
        task = Task(PairFile(train_pairs, size), PairFile(test_pairs, size), tokenizer, DEVICE)
    elif train_pairs is None and test_pairs is None:
        searched = draw_scenes(held_out, generator, distinct=True, size=size)
        drawn = draw_scenes(scenes, generator, unlike=searched.captions, size=size)
        task = Task(drawn, searched, tokenizer, DEVICE)
    else:
        raise InputError("one of two files", where="--train-pairs, --test-pairs", fix="give both")

    ways: dict[str, Guide | None] = {} if only else {"plain": None}
    if only is not False:
        unlike, weights = task.held_out.captions, {**WEIGHTS, "add_pooling_layer": False}
        words = word_tokenizer(WORDS) if bert is None else load(AutoTokenizer, bert, "--bert")
        vit_teacher: Any = (
            tiny_vit(teacher_steps, unlike, generator)
            if vit is None
            else load(ViTModel, vit, "--vit", **weights)
        )
        bert_teacher: Any = (
            tiny_bert(words, teacher_steps, unlike, generator)
            if bert is None
            else load(BertModel, bert, "--bert", **weights)
        )
        teachers = Teachers(frozen(vit_teacher), frozen(bert_teacher), words).to(DEVICE)
        ways["sga"] = Guide(teachers, SlotAligner(config, model.config.hidden_size, teachers.dims).to(DEVICE))
    for name, guide in ways.items():
        trained = copy.deepcopy(model).to(DEVICE)  # both ways start from the same weights
        start = time.perf_counter()
        train(trained, task, recipe, seed, guide, title=name)
        seconds = time.perf_counter() - start
        found = {what: recalls(ranking) for what, ranking in retrieve(trained, task).items()}
        slots = "" if guide is None else f"; slots kept: {kept(trained, task, guide)}"
        about = f"{len(task.held_out.captions)} held-out pairs: text {found['text']}, image {found['image']}"
        print(f"{name}: {about}; {seconds:.0f} s{slots}", flush=True)
        if to is not None:
            trained.save_pretrained(to / name)
            tokenizer.save_pretrained(to / name)


@dataclass(frozen=True, eq=False)
class Task:
    """What ViLT is trained and tested on.

    Attributes:
        train: Pairs to train on.
        held_out: Pairs to search in.
        tokenizer: What ViLT reads captions by.
        device: Where models and batches are.
    """

    train: Pairs
    held_out: Pairs
    tokenizer: Any
    device: torch.device


@dataclass(frozen=True, eq=False)
class Guide:
    """What slot-guided alignment adds: the frozen teachers, and the slots that are trained with ViLT."""

    teachers: Teachers
    aligner: SlotAligner


def train(
    model: ViltForPretraining, task: Task, recipe: Recipe, seed: int, guide: Guide | None, title: str
) -> list[float]:
    """Train ViLT; with and without a guide it sees the same batches.

    Returns:
        The loss of each step, the terms of the guide included.
    """
    batches, gaps, slots = (torch.Generator().manual_seed(3 * seed + k) for k in range(3))
    torch.manual_seed(seed)  # ViLT shuffles its patches

    def objective(chosen: Int64[Tensor, " batch"]) -> dict[str, Tensor]:
        captions = [task.train.captions[i] for i in chosen.tolist()]
        words = write(task.tokenizer, captions, model.config.max_position_embeddings).to(task.device)
        images = task.train.images(chosen.tolist()).to(task.device)
        shown = task.train.image_of[chosen].to(task.device)
        terms, parts = own_terms(model, words, images, task.tokenizer.mask_token_id, gaps, shown)
        if guide is None:
            return terms
        told = guide.teachers.tokens(images, captions)
        return terms | guidance(guide.aligner, told, parts, slots)

    return fit(
        [model] if guide is None else [model, guide.aligner],
        objective,
        samples=len(task.train.captions),
        recipe=recipe,
        generator=batches,
        title=title,
    )


def own_terms(
    model: ViltForPretraining,
    words: Words,
    images: Float[Tensor, "batch 3 size size"],
    mask_id: int,
    generator: torch.Generator,
    image_of: Int64[Tensor, " batch"] | None = None,
) -> tuple[dict[str, Tensor], dict[str, Tokens]]:
    """The two losses that ViLT is pretrained by, in one forward pass.

    Image-text matching tells the caption of each image from that of another image of the batch; masked
    language modelling fills in words that are hidden from the caption. Another caption of the same image, if
    `image_of` has the same number for both pairs, counts as a match.

    Returns:
        The losses, and the tokens of the true pairs by modality: `H^(m)` of the SGA paper, eq. 4.
    """
    count = len(images)
    others = words[torch.arange(count, device=images.device).roll(1)]
    gaps, hidden = hide(words, mask_id, generator)
    fused = model.fuse(Words.concatenate([words, others, gaps]), images.repeat(3, 1, 1, 1))
    right = (words.ids == others.ids).all(1)
    if image_of is not None:
        right |= image_of == image_of.roll(1)
    matches = torch.cat([torch.ones_like(fused.match[:count]), right.float()])
    terms = {
        "matching": F.binary_cross_entropy_with_logits(fused.match[: 2 * count], matches),
        "words": word_loss(model.mlm_score(fused.text.values[2 * count :][hidden]), words, hidden),
    }
    parts = {"text": fused.text, "image": fused.image}
    return terms, {name: Tokens(part.values[:count], part.mask[:count]) for name, part in parts.items()}


@torch.no_grad()
def retrieve(model: ViltForPretraining, task: Task) -> dict[str, Ranking]:
    """Match every caption of the held-out pairs with every image, without training on any of them.

    Returns:
        `text`: for each image, where the best of its captions stands among all captions; `image`: for each
        caption, where its image stands among all images. Equal scores count with their share.
    """
    model.eval()
    pairs, longest = task.held_out, model.config.max_position_embeddings
    words = write(task.tokenizer, pairs.captions, longest).to(task.device)
    blocks = [words[start : start + CAPTIONS_AT_ONCE] for start in range(0, len(words.ids), CAPTIONS_AT_ONCE)]
    images = pairs.image_of.unique()
    rows = []
    for number in images:
        first = int((pairs.image_of == number).nonzero()[0])
        image = pairs.images([first]).to(task.device)
        fused = [model.fuse(block, image.expand(len(block.ids), -1, -1, -1)) for block in blocks]
        rows.append(torch.cat([block.match.cpu() for block in fused]))
    scores = torch.stack(rows)
    return {
        "text": rank(lambda some: scores[some], images, pairs.image_of),
        "image": rank(lambda some: scores.T[some], pairs.image_of, images),
    }


def recalls(ranking: Ranking) -> str:
    """The percentages of queries with a right answer among the first 1, 5 and 10."""
    return " ".join(f"R@{k} {ranking.within(k).mean():.1%}" for k in (1, 5, 10))


@torch.no_grad()
def kept(model: ViltForPretraining, task: Task, guide: Guide) -> str:
    """How many slots the first held-out pairs keep on average, as text."""
    model.eval()
    shown = range(min(len(task.held_out.captions), 64))
    captions = [task.held_out.captions[i] for i in shown]
    images = task.held_out.images(shown).to(task.device)
    words = write(task.tokenizer, captions, model.config.max_position_embeddings).to(task.device)
    fused = model.fuse(words, images)
    told = guide.teachers.tokens(images, captions)
    return kept_slots(guide.aligner, told, {"text": fused.text, "image": fused.image})


if __name__ == "__main__":
    run_command(main)
