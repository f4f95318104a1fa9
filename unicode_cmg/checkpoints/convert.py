"""Released checkpoints to model folders and back, and the model of a run as a folder of its own."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from unicode_cmg.checkpoints.folders import MODEL_FILES, STATE_FILES, UNUSED_FILE, model_folder
from unicode_cmg.checkpoints.native import load_folder, read_description, save_pretrained
from unicode_cmg.checkpoints.released.file import RELEASED_SUFFIXES, read_released, write_released
from unicode_cmg.checkpoints.released.load import file_of, model_of
from unicode_cmg.checkpoints.sums import SUMS_FILE
from unicode_cmg.errors import InputError


@dataclass(frozen=True)
class Conversion:
    """What was converted.

    Attributes:
        source: The path given.
        target: What was written.
        layout: The layout of the target.
        method: Name of the method.
        modules: Modules whose tensors were carried over, by their names in the released file if there is one.
        fresh: Beginnings of our keys that are not in the released file: their parameters are fresh.
        dropped: Entries of the source that the target has no place for: the states of optimizers.
    """

    source: str
    target: str
    layout: Literal["native", "released"]
    method: str
    modules: tuple[str, ...]
    fresh: tuple[str, ...]
    dropped: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def summary(self) -> str:
        """A few lines for people."""
        lines = [f"{self.target}: {self.method}, {self.layout} layout", f"modules: {', '.join(self.modules)}"]
        if self.fresh:
            state = (
                "fresh parameters" if self.layout == "native" else "not written, their parameters are fresh"
            )
            lines.append(f"{', '.join(self.fresh)}: {state}")
        if self.dropped:
            lines.append(f"{', '.join(self.dropped)}: dropped")
        return "\n".join(lines)


def convert(source: Path | str, target: Path | str) -> Conversion:
    """Convert a released checkpoint to a model folder or a model to a released checkpoint, or copy a model.

    Every tensor keeps its floating type and its bits, also those without effect in the released code; the
    states of optimizers are dropped. What a target path held is replaced at the end, in one step.

    Args:
        source: A released .pt file; or a model folder, a checkpoint of a run, or a run.
        target: A path that ends in .pt or .pth for a released checkpoint; any other path is a model folder.

    Raises:
        InputError: The source is not readable, both are released checkpoints or the same folder, the released
            layout cannot express the model, or the target folder holds other files than a model's.
    """
    source, target = Path(source), Path(target)
    if not source.exists():
        raise InputError("no such file or folder", where=source, fix="check the path")
    to_released = target.suffix in RELEASED_SUFFIXES
    if source.is_dir():
        return _to_released(source, target) if to_released else _copied(source, target)
    if to_released:
        raise InputError(
            "this is a released checkpoint already",
            where=source,
            expected="a model folder to become a .pt file",
            fix="give a folder as target",
        )
    return _to_native(source, target)


def _to_native(source: Path, target: Path) -> Conversion:
    _check_folder(target)
    file = read_released(source)
    model = model_of(file, dtype=None)
    save_pretrained(model, target, extra={"source": source.name})
    fresh = model.origin.fresh if model.origin else ()
    return Conversion(str(source), str(target), "native", model.name, file.modules, fresh, file.dropped)


def _copied(source: Path, target: Path) -> Conversion:
    """The model of a run, of a checkpoint or of a folder without what only training needs."""
    folder = model_folder(source)
    if folder.resolve() == target.resolve():
        raise InputError("this is the model itself", where=target, fix="give another folder as target")
    _check_folder(target)
    model = load_folder(folder, dtype=None)
    extra = {k: v for k, v in (read_description(folder).extra or {}).items() if k != "released"}
    save_pretrained(model, target, extra=extra or None)
    modules = dict.fromkeys(key.partition(".")[0] for key in model.state_dict())
    dropped = tuple(name for name in STATE_FILES if (folder / name).exists())
    return Conversion(str(source), str(target), "native", model.name, tuple(modules), (), dropped)


def _check_folder(target: Path) -> None:
    """Refuse a folder whose other files would be lost."""
    present = {path.name for path in target.iterdir()} if target.is_dir() else set()
    others = sorted(present - {*MODEL_FILES, UNUSED_FILE, SUMS_FILE})
    if others:
        raise InputError(
            f"the folder holds other files ('{others[0]}'), which would be lost",
            where=target,
            expected="a new folder, or one that holds a model only",
        )


def _to_released(source: Path, target: Path) -> Conversion:
    if target.is_dir():
        raise InputError("this is a folder", where=target, expected="a file to write the checkpoint to")
    folder = model_folder(source)
    model = load_folder(folder, dtype=None)
    steps = (read_description(folder).extra or {}).get("step", 0)
    file = file_of(model, target, where=source, steps=steps if isinstance(steps, int) else 0)
    write_released(file)
    fresh = model.origin.fresh if model.origin else ()
    return Conversion(str(source), str(target), "released", model.name, file.modules, fresh, ())
