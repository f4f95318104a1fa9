"""A configuration that fits a feature store, with comments: what `unicode-cmg init` prints."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from unicode_cmg.batch import can_name_module
from unicode_cmg.data.splits import spelled
from unicode_cmg.data.store import FeatureStore
from unicode_cmg.errors import InputError, unknown
from unicode_cmg.training.batches import rows_of_split
from unicode_cmg.training.config import PretrainConfig

METHODS = ("dcid", "hdcid", "fcid")
_MANY = 10_000  # clips from which on the papers' sizes are used
_FEW = 1_000  # clips, or groups of clips, below which dropout is strong
_STEPS = 1200  # of a run on few clips
_REPEATS = {False: 300, True: 50}  # epochs at most; clips of a single step are learned by heart sooner
_SHORT = 1500  # steps up to which averages over 100 of them are too slow
_WIDE = 256  # channels from which on features are taken for those of a large network
_WORDS = ("text", "words", "word", "caption", "captions", "transcript", "prompt", "prompts")


def fitted_config(path: Path | str, method: str | None = None) -> str:
    """A YAML file that `pretrain` runs on a store as it is.

    Widths, grids and steps are those of the store. The run takes about 1200 steps, but not more than 300
    epochs, or 50 if clips have one step; a tenth of them is the warm-up. Other settings are those of the
    quickstart for small stores, and those of the papers from 10 000 clips on.

    Args:
        path: Folder of the feature store.
        method: Name of a method; by default DCID, or FCID where modalities differ in their number of steps.

    Raises:
        InputError: The folder is no store, or no such method can be trained on it.
    """
    store = FeatureStore.open(path)
    _check(store)
    steps = {m: shape[0] for m, shape in store.modalities.items()}
    if method is None:
        method = "dcid" if len(set(steps.values())) == 1 else "fcid"
    if method not in METHODS:
        raise unknown("method", method, METHODS, where="--method")
    if method != "fcid" and len(set(steps.values())) > 1:
        listed = ", ".join(f"{m} {n}" for m, n in steps.items())
        raise InputError(
            f"the modalities differ in their number of steps ({listed})",
            where=store.path,
            expected=f"the same number for '{method}'",
            fix="use --method fcid, or bring them to common steps when you import them",
        )
    text = "\n".join(_lines(store, str(path), method, steps)) + "\n"
    PretrainConfig.parse(yaml.safe_load(text), where=f"configuration for {path}")
    return text


def _check(store: FeatureStore) -> None:
    """Refuse what no method can be trained on."""
    where = store.path
    for name in store.modalities:
        if not can_name_module(name):
            raise InputError(
                f"'{name}' cannot name a modality of a method",
                where=where,
                fix="write the store with another name",
            )
        if len(store.modalities[name]) not in (2, 4):
            shape = list(store.modalities[name])
            expected = "[time, channels] or [time, height, width, channels]"
            raise InputError(f"clips of '{name}' are {shape}", where=where, expected=expected)
        if not store.present[name].any():
            raise InputError(f"no clip has '{name}'", where=where, fix="write the store without it")
    if len(store.modalities) < 2:
        fix = "import another with it: data import SOURCE --modality NAME=PATH --modality OTHER=PATH"
        raise InputError("a single modality", where=where, expected="two modalities or more", fix=fix)
    if len(store) < 2:
        raise InputError("a single clip", where=where, expected="clips to tell apart, a hundred or more")


def _lines(store: FeatureStore, path: str, method: str, steps: Mapping[str, int]) -> Iterable[str]:
    known = spelled(set(store.columns.get("split", ())))
    splits = sorted(name for name, split in known.items() if split == "train")
    splits = [name for name in store.columns.get("split", ()) if name == "pretrain"] or splits
    rows = rows_of_split(store, splits[:1]) if splits else range(len(store))
    clips, groups = len(rows), store.columns.get("group")
    independent = clips if groups is None else len({groups[row] or row for row in rows})  # "": of no group
    many = clips >= _MANY
    batch = min(80, max(16, clips // 4), clips)
    each = math.ceil(clips / batch)
    batch = math.ceil(clips / each)  # so that the last one is hardly smaller
    single = max(steps.values()) == 1
    epochs = min(_REPEATS[single], max(5, math.ceil(_STEPS / each)))
    total = epochs * each
    grids = any(len(shape) == 4 for shape in store.modalities.values())  # whose networks grow with the square
    wide = not grids and max(shape[-1] for shape in store.modalities.values()) >= _WIDE
    dim = 256 if many or wide else 64
    choices = sum(int(store.valid_steps(m).sum()) for m in store.modalities)
    codes = 400 if many else min(400, max(8, clips)) if single else min(100, max(8, choices // 20))
    seen = f"the {clips} clips it has" + (f" in split '{splits[0]}'" if splits else "")
    yield f"# {method} on {_comment(path)}, written by `unicode-cmg init` for {seen}."
    yield "#"
    yield "# run:  unicode-cmg pretrain THIS_FILE --to runs/mine"
    yield "# All settings with their defaults are in docs/reference/configuration.md."
    yield "method:"
    yield f"  name: {method}"
    yield f"  dim: {dim}  # width of a code"
    yield f"  num_codes: {codes}  # at most; a good run uses most of them"
    yield "  heads: 4"
    yield "  transformer_layers: 1"
    yield f"  feedforward: {4 * dim}"
    yield f"  critic_hidden: {dim}"
    if independent < _FEW and not many:
        told = "few" if independent == clips else f"of {independent} groups"
        yield f"  dropout: 0.5  # strong, because the clips are {told}"
        yield "  input_dropout: 0.5"
    elif not many and method != "fcid":
        yield "  dropout: 0.3"
        yield "  input_dropout: 0.2"
    if grids:
        yield f"  pooling_dim: {64 if many else 32}"
    if method == "hdcid":
        yield f"  warm_start_epochs: {max(1, epochs // 5)}  # of {epochs}: then the second code layer joins"
    fine, coarse = _roles(steps) if method == "fcid" else (tuple(steps), ())
    if method == "fcid":
        yield f"  fine: {_inline(list(fine))}  # aligned step by step"
        yield f"  coarse: {_inline(list(coarse))}  # aligned clip by clip"
    yield "  modalities:"
    for name, shape in store.modalities.items():
        settings = _modality(store, name, shape, dim, fcid=method == "fcid", coarse=name in coarse)
        yield f"    {_inline(name)}: {_inline(settings)}  # {_told(store, name)}"
    yield "  codebook:"
    yield f"    own_weight: {round(1 / len(steps), 4)}  # the modalities pull each code alike"
    if method != "fcid" and not single:
        yield "    separation: 0.5  # closer codewords become one; 0.25 transfers better on hard data"
    yield "    init: data"
    quick = single and total <= _SHORT
    if quick:
        yield f"    decay: 0.95  # the averages have {total} steps to settle"
    yield f"    revive_after: {12 if quick else 40}  # steps"
    yield "data:"
    yield f"  store: {_inline(path)}"
    if splits:
        yield f"  split: {_inline(splits[:1])}  # clips of other splits are never seen"
    yield "  # val_store: a store of other clips, on which the losses are measured after each epoch"
    yield "optimizer:"
    yield "  lr: 0.001"
    yield "  schedule: cosine"
    yield f"  warmup_steps: {min(100, total // 10)}  # of {total} steps"
    yield "  clip_norm: 0.5"
    yield "training:"
    yield f"  epochs: {epochs}  # of {each} steps"
    yield f"  batch_size: {batch}  # clips; CPC tells those of a batch apart"
    yield "  seed: 0"
    yield f"  log_every: {min(10, max(1, total // 60))}"
    yield f"  checkpoint_every: {max(50, total // 6)}"


def _roles(steps: Mapping[str, int]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Fine and coarse modalities of FCID: fine are those that share the number of steps most of them have."""
    shared = max(set(steps.values()), key=lambda n: (n > 1, list(steps.values()).count(n), n))
    fine = tuple(m for m, n in steps.items() if n == shared)
    if len(fine) == len(steps) > 2:  # as in the paper, where text is the coarse one
        fine = tuple(m for m in fine if m.lower() not in _WORDS)
    if len(fine) < 2 or shared == 1:
        return (), tuple(steps)
    return fine, tuple(m for m in steps if m not in fine)


def _modality(
    store: FeatureStore, name: str, shape: tuple[int, ...], dim: int, *, fcid: bool, coarse: bool
) -> dict[str, Any]:
    """Settings of one modality."""
    channels = shape[-1]
    settings: dict[str, Any] = {"dim": channels}
    if len(shape) == 4:
        settings["grid"] = list(shape[1:3])
        if not coarse and channels > 512:  # the default is 4 x dim
            settings["specific_dim"] = 2048
    words = shape[0] > 1 and (name in store.tokenized or name.lower() in _WORDS)
    if words and len(shape) == 2:
        settings["context"] = dim  # an LSTM reads the words in their order
    if shape[0] > 1 and not fcid:  # a second is coded by itself and its neighbours; words are not seconds
        settings |= {"aligned": False} if words else {"window": 1}
    return settings


def _told(store: FeatureStore, name: str) -> str:
    """Steps of a modality, and how many clips have it."""
    count = store.valid_steps(name)[store.present[name]]
    low, high = int(count.min()), int(count.max())
    told = f"{low} to {high} steps" if low < high else f"{high} step{'s' if high > 1 else ''}"
    there = int(store.present[name].sum())
    return told if there == len(store) else f"{told}; {there} of {len(store)} clips have it"


def _inline(value: Any) -> str:
    """A value as YAML has it on one line."""
    if isinstance(value, str) and not value.isprintable():
        return json.dumps(value)
    text = yaml.safe_dump(value, default_flow_style=True, width=math.inf, allow_unicode=True, sort_keys=False)
    return text.removesuffix("...\n").strip()


def _comment(text: str) -> str:
    """Printable characters only, so that a comment stays one."""
    return "".join(character if character.isprintable() else "?" for character in text)
