"""Which file of a folder holds the weights: folders of runs, of the Hugging Face Hub, and of its cache."""

from __future__ import annotations

import re
from pathlib import Path

from toc.arrays import CodebookError

CONFIG, WEIGHTS = "config.json", "model.safetensors"
_CHECKPOINT = (CONFIG, WEIGHTS, "training_state.json", "training_state.safetensors")
_INDEX = ".index.json"
_ENDINGS = (".safetensors", ".bin", ".pth", ".pt", ".ckpt", ".th", ".pkl", ".npz", ".npy")
_BESIDE = re.compile(r"(?:optim|sched|training_|released|rng_|random_states|scaler|trainer|events)")
_SHARD = re.compile(r"-\d+-of-\d+\.")
_VARIANT = re.compile(r"\.(?:fp16|fp32|bf16|non_ema|ema)(?=\.)")


def model_folders(path: Path) -> list[Path]:
    """The folder itself, the model of a run, all its complete checkpoints, or what a cache refers to.

    Checkpoints come newest first, so that one that is damaged can give way to the one before.

    Raises:
        CodebookError: The folder is a cache without a model in it.
    """
    for folder in (path, path / "model"):
        if (folder / CONFIG).is_file():
            return [folder]
    return _step_folders(path) or [_snapshot(path) if (path / "snapshots").is_dir() else path]


def weights_file(folder: Path) -> Path:
    """The file with the weights of a folder, or the index of its shards.

    A whole file goes before shards, `model.safetensors` before others, safetensors before files of torch, and
    full precision before `model.fp16.safetensors`.

    Raises:
        CodebookError: There is none, or several of which none goes before the others.
    """
    try:
        names = sorted(file.name for file in folder.iterdir() if file.is_file())
    except OSError as error:
        raise CodebookError(f"{folder}: cannot be read ({error.strerror})") from None
    found = [
        name
        for name in names
        if name.endswith(_ENDINGS + tuple(end + _INDEX for end in _ENDINGS))
        and not _BESIDE.match(name)
        and not (_SHARD.search(name) and not name.endswith(_INDEX))
    ]
    if not found:
        raise CodebookError(_without_weights(folder, names))
    best = min(map(_rank, found))
    first = [name for name in found if _rank(name) == best]
    if len(first) > 1:
        raise CodebookError(
            f"{folder}: holds several files with weights: {', '.join(first)}; name one of them"
        )
    return folder / first[0]


def _rank(name: str) -> tuple[bool, int, bool, bool]:
    plain = _VARIANT.sub("", name).removesuffix(_INDEX)
    usual = plain.removesuffix(Path(plain).suffix) in ("model", "pytorch_model", "diffusion_pytorch_model")
    ending = next(at for at, end in enumerate(_ENDINGS) if plain.endswith(end))
    return not usual, ending, plain != name.removesuffix(_INDEX), name.endswith(_INDEX)


def _without_weights(folder: Path, names: list[str]) -> str:
    others = [name for name in names if name.endswith((".h5", ".msgpack", ".onnx", ".gguf", ".index"))]
    if others:
        return f"{folder}: holds {others[0]}, which is not read; expected {WEIGHTS} or a file of torch.save"
    parts = sorted(p.parent.name for end in _ENDINGS for p in folder.glob(f"*/*{end}"))
    if parts:
        return f"{folder}: holds no weights; name one of its folders: {', '.join(dict.fromkeys(parts))}"
    shards = [name for name in names if _SHARD.search(name)]
    if shards:
        return f"{folder}: holds shards such as {shards[0]} and no {WEIGHTS}{_INDEX}; download that too"
    if CONFIG in names:
        return f"{folder}: has {CONFIG} but no weights; expected {WEIGHTS} or a file of torch.save"
    return (
        f"{folder}: holds no checkpoint (no {CONFIG}, no weights); expected a model or run folder, or name"
        " the file with the weights"
    )


def _step_folders(run: Path) -> list[Path]:
    """Complete checkpoints of a run, the one with the most steps first; others are what a killed run left."""
    steps = {}
    for folder in run.glob("checkpoints/step-*"):
        match = re.fullmatch(r"step-(\d+)", folder.name)
        if match and all((folder / name).is_file() for name in _CHECKPOINT):
            steps[int(match[1])] = folder
    return [steps[step] for step in sorted(steps, reverse=True)]


def _snapshot(cache: Path) -> Path:
    """The snapshot that a folder `models--user--name` of the Hub's cache refers to as `main`."""
    snapshots = sorted(folder for folder in (cache / "snapshots").iterdir() if folder.is_dir())
    try:
        commit = (cache / "refs" / "main").read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        commit = ""
    named = [folder for folder in snapshots if folder.name == commit]
    if named or len(snapshots) == 1:
        return (named or snapshots)[0]
    if not snapshots:
        raise CodebookError(f"{cache}: a cache of the Hub without a model in it; download the model again")
    raise CodebookError(
        f"{cache}: holds {len(snapshots)} snapshots, and refs/main names none of them; name one, such as"
        f" {snapshots[0]}"
    )
