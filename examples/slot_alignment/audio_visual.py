"""Train a late-fusion audio-visual classifier without and with slot-guided alignment to frozen teachers.

usage: python examples/slot_alignment/audio_visual.py [--clips 100]
       python examples/slot_alignment/audio_visual.py --file CLIPS.npz --teacher NAME=SIDE:MODULE:CALLABLE ...

SGA paper, sections 5.3 and C.3. The classifier is that of OGM (an encoder for each side, concatenation, a
linear layer) without its modulation of gradients. By default encoders and teachers are small convolutional
networks and the clips are the embedded digits; README.md says how to run the sizes of the paper.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer
from audio_visual_model import (
    SIDES,
    LateFusion,
    Teacher,
    as_tokens,
    made,
    own_teacher,
    small_cnn,
    small_teacher,
    teacher_tokens,
)
from clips import LabelledClips, Splits, clips_of_file, digit_clips
from fitting import Recipe, aligner_config, fit, guidance, kept_slots
from jaxtyping import Int64
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from unicode_cmg.console import run_command
from unicode_cmg.data.digits import build_digits
from unicode_cmg.errors import InputError
from unicode_cmg.files import atomic_file
from unicode_cmg.regularizers.slot_alignment import AlignerConfig, SlotAligner

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
CHUNK = 256


def main(
    steps: Annotated[int, typer.Option(min=1, help="Training steps.")] = 300,
    batch_size: Annotated[int, typer.Option(min=2, help="Clips in a step.")] = 32,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    lr: Annotated[float, typer.Option(help="Learning rate after the warm-up.")] = 1e-3,
    weight_decay: Annotated[float, typer.Option(min=0, help="Weight decay of AdamW.")] = 1e-2,
    warmup: Annotated[float, typer.Option(min=0, max=1, help="Share of the steps the rate rises in.")] = 0.1,
    only: Annotated[bool | None, typer.Option("--sga/--no-sga", help="Only this way; default: both.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Of the alignment: slots=10.")
    ] = None,
    clips: Annotated[int, typer.Option(min=2, max=800, help="Digit clips to train on.")] = 100,
    file: Annotated[Path | None, typer.Option(help="Your clips, as .npz.")] = None,
    encoder: Annotated[
        list[str] | None,
        typer.Option(metavar="SIDE=MODULE:CALLABLE", help="Your encoder of audio or visual."),
    ] = None,
    teacher: Annotated[
        list[str] | None, typer.Option(metavar="NAME=SIDE:MODULE:CALLABLE", help="Your teacher; repeatable.")
    ] = None,
    teacher_steps: Annotated[int, typer.Option(min=0, help="Of small teachers; 0: random ones.")] = 300,
    to: Annotated[Path | None, typer.Option(help="Folder to save the trained classifiers in.")] = None,
) -> None:
    """Train the classifier without and with slot-guided alignment, and test both on held-out clips."""
    config = aligner_config(settings or [], slots=10)
    recipe = Recipe(steps, batch_size, lr, weight_decay, warmup)
    torch.manual_seed(seed)
    splits = digit_clips(build_digits(seed=seed).clips, clips) if file is None else clips_of_file(file)
    model = _classifier(splits, encoder or [])
    ways: dict[str, Guide | None] = {} if only else {"plain": None}
    if only is not False:
        teachers = dict(own_teacher(text, DEVICE) for text in teacher or [])
        ways["sga"] = _guide(config, model, splits, teachers or _small_teachers(splits, teacher_steps, seed))
    for name, guide in ways.items():
        trained = copy.deepcopy(model)  # both ways start from the same weights
        start = time.perf_counter()
        train(trained, splits.train, recipe, seed, guide, DEVICE, title=name)
        seconds = time.perf_counter() - start
        told = accuracies(trained, splits.held_out, DEVICE)
        numbers = ", ".join(f"{reading} {share:.1%}" for reading, share in told.items())
        slots = "" if guide is None else f"; slots kept: {kept(trained, splits.held_out, guide, DEVICE)}"
        about = f"accuracy on {len(splits.held_out)} held-out clips: {numbers}"
        print(f"{name}: {about}; {seconds:.0f} s{slots}", flush=True)
        if to is not None:
            with atomic_file(to / f"{name}.safetensors") as path:
                save_file(trained.state_dict(), path)


def _classifier(splits: Splits, own: Sequence[str]) -> LateFusion:
    """Small encoders, or those of `SIDE=MODULE:CALLABLE`, under a new last layer."""
    example = splits.train.some(slice(2), DEVICE)
    encoders: dict[str, nn.Module] = {}
    for text in own:
        side, _, path = text.partition("=")
        if side not in SIDES:
            raise InputError(
                f"cannot read '{text}'", where="--encoder", expected="audio=MODULE:CALLABLE, or visual="
            )
        encoders[side] = made(path, "--encoder")
    for side in SIDES:
        if side not in encoders:
            encoders[side] = small_cnn(example.inputs[side])
    with torch.no_grad():
        widths = {
            side: as_tokens(encoders[side].to(DEVICE).eval()(example.inputs[side]), side).values.shape[2]
            for side in SIDES
        }
    if len(set(widths.values())) > 1:
        raise InputError(f"channels {widths}", where="--encoder", expected="as many of audio as of visual")
    classes = int(torch.cat([splits.train.labels, splits.held_out.labels]).max()) + 1
    return LateFusion(encoders, widths["audio"], classes).to(DEVICE)


def _small_teachers(splits: Splits, steps: int, seed: int) -> dict[str, Teacher]:
    """One for each side, taught by clips that the classifier never sees."""
    if splits.unimodal is None:
        raise InputError("no teacher", where="--file", fix="give one or more by --teacher, or --no-sga")
    generator = torch.Generator().manual_seed(seed)
    return {side: small_teacher(side, splits.unimodal, steps, generator, DEVICE) for side in SIDES}


def _guide(
    config: AlignerConfig, model: LateFusion, splits: Splits, teachers: Mapping[str, Teacher]
) -> Guide:
    """The teachers, with slots as wide as the classifier's tokens."""
    example = splits.train.some(slice(2), DEVICE)
    dims = {name: told.values.shape[2] for name, told in teacher_tokens(teachers, example).items()}
    return Guide(teachers, SlotAligner(config, model.dim, dims).to(DEVICE))


@dataclass(frozen=True, eq=False)
class Guide:
    """What slot-guided alignment adds: frozen teachers, and slots that learn with the classifier."""

    teachers: Mapping[str, Teacher]
    aligner: SlotAligner


def train(
    model: LateFusion,
    clips: LabelledClips,
    recipe: Recipe,
    seed: int,
    guide: Guide | None,
    device: torch.device,
    title: str,
) -> list[float]:
    """Train the classifier; with and without a guide it sees the same batches.

    Returns:
        The loss of each step, the terms of the guide included.
    """
    batches, slots = (torch.Generator().manual_seed(2 * seed + k) for k in range(2))

    def objective(chosen: Int64[Tensor, " batch"]) -> dict[str, Tensor]:
        batch = clips.some(chosen, device)
        made = model(batch.inputs)
        terms = {"classes": F.cross_entropy(made.logits["fused"], batch.labels)}
        if guide is None:
            return terms
        return terms | guidance(guide.aligner, teacher_tokens(guide.teachers, batch), made.parts, slots)

    return fit(
        [model] if guide is None else [model, guide.aligner],
        objective,
        samples=len(clips),
        recipe=recipe,
        generator=batches,
        title=title,
    )


@torch.no_grad()
def accuracies(model: LateFusion, clips: LabelledClips, device: torch.device) -> dict[str, float]:
    """Share of clips whose class is told rightly: fused, and by each side alone."""
    model.eval()
    right: dict[str, int] = {}
    for start in range(0, len(clips), CHUNK):
        chunk = clips.some(slice(start, start + CHUNK), device)
        for name, logits in model(chunk.inputs).logits.items():
            right[name] = right.get(name, 0) + int((logits.argmax(1) == chunk.labels).sum())
    return {name: count / len(clips) for name, count in right.items()}


@torch.no_grad()
def kept(model: LateFusion, clips: LabelledClips, guide: Guide, device: torch.device) -> str:
    """How many slots the first clips keep on average, as text."""
    batch = clips.some(slice(CHUNK), device)
    return kept_slots(guide.aligner, teacher_tokens(guide.teachers, batch), model.eval()(batch.inputs).parts)


if __name__ == "__main__":
    run_command(main)
