"""Writing a feature store: clips are added some at a time, and every part of the store is whole or absent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import Bool

from unicode_cmg.data.store.blocks import Block, block_of, clip_ids, one_clip
from unicode_cmg.data.store.open_part import OpenPart
from unicode_cmg.data.store.part import INDEX, NAME, Part, part_folders
from unicode_cmg.data.store.words import words_line
from unicode_cmg.errors import InputError, at_least
from unicode_cmg.files import check_replaceable, disk_errors, read_json, sync_all, write_json

FORMAT_VERSION = 2
PART_BYTES = 512 << 20
MODELS = "models"
"""The key of the source of a store whose value is for people, and may differ from writer to writer."""


class StoreWriter:
    """Adds clips to a feature store, a new one or one that exists, in memory that does not grow.

    Several writers, in one or in several processes, can add to the same store at the same time. If one is
    killed, the parts that it has finished stay; what it had of the next one is lost. To resume, leave out
    the clips that are `in` the writer.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> with StoreWriter(f"{folder.name}/store", source={"extractor": "mine"}) as writer:
    ...     writer.add("a", {"audio": np.zeros((10, 128), np.float32)}, columns={"label": "dog"})
    ...     writer.add("b", {"image": np.zeros((1, 512), np.float32)})
    ...     "a" in writer
    True
    >>> folder.cleanup()

    Args:
        path: The folder of the store.
        source: A note on the origin of the features, such as the extractor and its settings. All writers of
            a store must agree on it, except for what is under the key `models`; None: do not look at what the
            store says.
        part_bytes: A part is finished when its features have so many bytes, or by `flush`.
        first_part: Number of the first part. Parts are read in the order of their numbers, so writers that
            start at 0, 1000, 2000 … make the same order of clips whichever is faster.

    Raises:
        InputError: The folder holds something else, or features of another source.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        source: Mapping[str, Any] | None = None,
        part_bytes: int = PART_BYTES,
        first_part: int = 0,
    ) -> None:
        at_least("StoreWriter", 1, part_bytes=part_bytes)
        at_least("StoreWriter", 0, first_part=first_part)
        self.path = Path(path)
        self.where = str(path)  # what messages call the store
        self._check_folder()
        self._source, self._part_bytes, self._next = source, part_bytes, first_part
        self._seen: set[Path] = set()
        self._ids: set[str] = set()
        self._shapes: dict[str, tuple[tuple[int, ...], str]] = {}
        self._open: OpenPart | None = None
        if (self.path / INDEX).is_file():
            self._check_source()
        self._look_for_parts()

    def __contains__(self, clip: object) -> bool:
        """Whether a clip is in the store, or was added by this writer."""
        return clip in self._ids

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that the clips have so far."""
        return tuple(self._shapes)

    def add(
        self,
        clip: str,
        features: Mapping[str, Any],
        *,
        masks: Mapping[str, Any] | None = None,
        tokens: Mapping[str, Sequence[str]] | None = None,
        columns: Mapping[str, Any] | None = None,
    ) -> None:
        """Add one clip.

        Args:
            clip: Its id.
            features: Modality -> `[T, ...]` floats of any T; modalities that are not named are absent.
            masks: Modality -> `[T]`, True where a step is valid.
            tokens: Modality -> the words, one for each valid step.
            columns: What else is known of it, such as its label and split.

        Raises:
            InputError: As `write`.
        """
        self.write(
            [clip],
            {name: one_clip(values, self._place_of(name)) for name, values in features.items()},
            masks={name: np.asarray(mask)[None] for name, mask in (masks or {}).items()},
            tokens={name: [words] for name, words in (tokens or {}).items()},
            columns={name: [value] for name, value in (columns or {}).items()},
        )

    def write(
        self,
        ids: Iterable[Any],
        features: Mapping[str, Any],
        *,
        masks: Mapping[str, Any] | None = None,
        tokens: Mapping[str, Iterable[Sequence[str]]] | None = None,
        columns: Mapping[str, Iterable[Any]] | None = None,
    ) -> None:
        """Add some clips; nothing of them is added if one of them is refused.

        Args:
            ids: The n clip ids.
            features: Modality -> `[n, T, ...]` floats. T may differ from one call to the next.
            masks: Modality -> `[n, T]`, True where a step is valid, or `[n]`, True for a clip that has the
                modality. A row without a True says that the clip lacks it.
            tokens: Modality -> for each clip the words of its valid steps.
            columns: Name -> n values, such as labels and splits; None is an unknown value.

        Raises:
            InputError: An id occurs twice or is in the store already; shape, type, mask or words do not fit;
                a value is not finite; a clip has no modality at all; the disk is full.
        """
        listed = clip_ids(ids, self.where)
        self._check_new(listed)
        masks, tokens, columns = dict(masks or {}), dict(tokens or {}), dict(columns or {})
        for what, named in (("a mask", masks), ("words", tokens)):
            for name in named:
                if name not in features:
                    raise InputError(f"{what} for '{name}', which has no features", where=self.where)
        blocks = {
            name: self._block(name, values, masks.get(name), listed) for name, values in features.items()
        }
        having = np.zeros(len(listed), bool)
        for block in blocks.values():
            having |= block.mask.any(axis=1)
        if not having.all():
            clip = listed[int(np.flatnonzero(~having)[0])]
            raise InputError(
                f"clip '{clip}' has no valid step in any modality", where=self.where, fix="drop it"
            )
        lines = {name: self._lines(name, given, blocks[name].mask, listed) for name, given in tokens.items()}
        values = {name: self._texts(name, given, len(listed)) for name, given in columns.items()}
        if self._open is not None and not self._open.fits(blocks, lines, tuple(values)):
            self.flush()
        with disk_errors(Path(self.where)):
            if self._open is None:
                self.begin()
                self._open = OpenPart(self.path, tuple(values))
            self._open.write(listed, blocks, lines, values)
        self._ids.update(listed)
        for name, block in blocks.items():
            self._shapes[name] = (block.values.shape[2:], block.values.dtype.name)
        if self._open.bytes >= self._part_bytes:
            self.flush()

    def flush(self) -> None:
        """Finish the part that is being written; the next clip begins another one.

        Raises:
            InputError: The disk is full, or another writer has added one of these clips.
        """
        part, self._open = self._open, None
        if part is None:
            return
        try:
            with disk_errors(Path(self.where)):
                part.finish()
                self._ids.difference_update(part.ids)
                self._look_for_parts()
                self._check_new(part.ids)
                self._seen.add(self._place(part.folder))
                self._ids.update(part.ids)
        finally:
            part.discard()

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the last part; after an error drop it."""
        if kind is None:
            self.flush()
        elif self._open is not None:
            self._open.discard()
            self._open = None

    def begin(self) -> None:
        """Make the folder, if there is none; the first clip does so too.

        Raises:
            InputError: The folder is of another source, or cannot be written.
        """
        with disk_errors(Path(self.where)):
            self.path.mkdir(parents=True, exist_ok=True)
            if not (self.path / INDEX).is_file():
                source = {"source": dict(self._source)} if self._source else {}
                write_json(self.path / INDEX, {"format_version": FORMAT_VERSION, **source})
        self._check_source()  # another writer may have been first

    def _check_folder(self) -> None:
        """Refuse a folder of something else; that another writer has just begun is no reason."""
        begun = self.path.is_dir() and all(entry.name.startswith(".") for entry in self.path.iterdir())
        if not begun:
            check_replaceable(self.path, INDEX)

    def _place(self, folder: Path) -> Path:
        """Rename a finished part to the first number that no other writer has taken."""
        while True:
            target = self.path / f"part-{self._next:05d}"
            self._next += 1
            try:
                folder.rename(target)
            except OSError:
                if not target.exists():
                    raise
            else:
                sync_all([self.path])
                return target

    def _look_for_parts(self) -> None:
        """Take note of what other writers have finished."""
        if not self.path.is_dir():
            return
        for number, folder in part_folders(self.path):
            if folder in self._seen:
                continue
            part = Part.open(folder)
            self._check_new(part.ids)
            self._seen.add(folder)
            self._ids.update(part.ids)
            for name, entry in part.modalities.items():
                self._shapes.setdefault(name, (entry.shape[1:], entry.dtype))
            if number == self._next:
                self._next += 1

    def _check_source(self) -> None:
        found = read_json(self.path / INDEX)
        version = found.get("format_version") if isinstance(found, dict) else None
        if version != FORMAT_VERSION:
            raise InputError(
                f"'format_version' is {version!r}",
                where=self.path / INDEX,
                expected=f"{FORMAT_VERSION}",
                fix="write to another folder",
            )
        if self._source and _compared(found.get("source", {})) != _compared(self._source):
            raise InputError(
                f"the features are of another source, {found.get('source')}",
                where=self.where,
                expected=f"{dict(self._source)}",
                fix="write to another folder",
            )

    def _check_new(self, ids: Sequence[str]) -> None:
        new: set[str] = set()
        for clip in ids:
            if clip in new or clip in self._ids:
                raise InputError(
                    f"the clip id '{clip}' occurs twice", where=self.where, fix="make ids unique"
                )
            new.add(clip)

    def _place_of(self, name: str, what: str = "features") -> str:
        kind = {"features": "modality", "mask": "mask of", "words": "words of"}[what]
        return f"{self.where}: {kind} '{name}'"

    def _block(self, name: str, values: Any, mask: Any, ids: Sequence[str]) -> Block:
        if not re.fullmatch(NAME, name):
            expected = "letters, digits, '_' and '-', because it names a file"
            raise InputError(f"the modality name '{name}'", where=self.where, expected=expected)
        block = block_of(values, mask, ids, lambda what: self._place_of(name, what))
        step, dtype = block.values.shape[2:], block.values.dtype.name
        known, known_dtype = self._shapes.get(name, (step, dtype))
        if (step, dtype) != (known, known_dtype):
            raise InputError(
                f"steps of {list(step)} {dtype} in clip '{ids[0]}'",
                where=self._place_of(name),
                expected=f"{list(known)} {known_dtype}, as in the clips before",
            )
        return block

    def _lines(
        self, name: str, tokens: Iterable[Sequence[str]], mask: Bool[np.ndarray, "clips time"], ids: list[str]
    ) -> list[bytes]:
        where = self._place_of(name, "words")
        given, steps = list(tokens), mask.sum(axis=1)
        if len(given) != len(ids):
            raise InputError(
                f"words for {len(given)} clips", where=where, expected=f"{len(ids)}, as many as ids"
            )
        return [
            words_line(words, int(count), clip, where)
            for words, count, clip in zip(given, steps, ids, strict=True)
        ]

    def _texts(self, name: str, values: Iterable[Any], clips: int) -> list[str]:
        where = f"{self.where}: column '{name}'"
        if name == "id" or not name.strip() or len(name.splitlines()) != 1:
            raise InputError("the name of the column", where=where, expected="one line of text, not 'id'")
        texts = [_text(value) for value in values]
        if len(texts) != clips:
            raise InputError(f"{len(texts)} values", where=where, expected=f"{clips}, as many as ids")
        return texts


def _compared(source: Any) -> Any:
    return {k: v for k, v in source.items() if k != MODELS} if isinstance(source, Mapping) else source


def _text(value: Any) -> str:
    """A value of `clips.csv`: empty if it is not known; several are separated by ';'."""
    if isinstance(value, (list, tuple, np.ndarray)):
        return ";".join(_text(one) for one in value)
    if value is None or value != value:
        return ""
    return str(value).encode("utf-8", "replace").decode()
