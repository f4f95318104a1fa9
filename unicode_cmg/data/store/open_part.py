"""The part of a store that is being written, in a folder with a hidden name."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, TextIO

import numpy as np
from jaxtyping import Bool

from unicode_cmg._scratch import scratch
from unicode_cmg.data.store.blocks import Block
from unicode_cmg.data.store.part import CLIPS, DESCRIPTION, IDS
from unicode_cmg.data.store.words import tokens_file
from unicode_cmg.files import sync_all, umask

_NO_WORDS = b"[]\n"


class OpenPart:
    """The part that is being written, in a folder with a hidden name.

    Args:
        store: The folder of the store.
        columns: The columns of all its clips.
    """

    def __init__(self, store: Path, columns: tuple[str, ...]) -> None:
        self._columns, self.bytes = columns, 0
        self._held = ExitStack()
        self.folder = self._held.enter_context(scratch(store / "part"))
        self.ids: list[str] = []
        self._features: dict[str, _FeatureFile] = {}
        self._words: dict[str, BinaryIO] = {}
        self._table: TextIO | None = None

    def fits(self, features: Iterable[str], worded: Iterable[str], columns: tuple[str, ...]) -> bool:
        """Whether clips can be added: of the same columns, and of each modality all with words, or none.

        Args:
            features: The modalities that the clips have.
            worded: Those of them that have words.
            columns: Their columns.
        """
        held = [name for name in features if name in self._features]
        return columns == self._columns and all((n in worded) == (n in self._words) for n in held)

    def write(
        self,
        ids: list[str],
        blocks: Mapping[str, Block],
        lines: Mapping[str, list[bytes]],
        columns: Mapping[str, list[str]],
    ) -> None:
        """Append some clips."""
        for name, block in blocks.items():
            if name not in self._features:
                self._features[name] = _FeatureFile(self.folder / f"{name}.npy")
            self._features[name].write(block, before=len(self.ids))
            self.bytes += block.values.nbytes
        for name in lines:
            if name not in self._words:
                self._words[name] = tokens_file(self.folder, name).open("wb")
                self._words[name].writelines([_NO_WORDS] * len(self.ids))
        for name, file in self._words.items():
            file.writelines(lines.get(name, [_NO_WORDS] * len(ids)))
        if columns:
            if self._table is None:
                self._table = (self.folder / CLIPS).open("w", encoding="utf-8", newline="")
                csv.writer(self._table, lineterminator="\n").writerow(["id", *columns])
            csv.writer(self._table, lineterminator="\n").writerows(zip(ids, *columns.values(), strict=True))
        self.ids += ids

    def finish(self) -> None:
        """Write what is known only now: headers, masks, hashes and the description."""
        self._close()
        modalities = {}
        for name, file in self._features.items():
            if file.clips:
                shape, dtype = file.finish(len(self.ids))
                modalities[name] = {"shape": list(shape), "dtype": dtype, "clips": file.clips}
            else:
                file.path.unlink()
        (self.folder / IDS).write_text("\n".join(self.ids) + "\n", encoding="utf-8")
        files = sorted(self.folder.iterdir())
        with ThreadPoolExecutor(4) as pool:
            hashes = dict(zip((file.name for file in files), pool.map(sha256_of, files), strict=True))
        described = {"clips": len(self.ids), "modalities": modalities, "sha256": hashes}
        (self.folder / DESCRIPTION).write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
        self.folder.chmod(0o777 & ~umask())
        sync_all([*self.folder.iterdir(), self.folder])

    def discard(self) -> None:
        """Remove the hidden folder, if it was not renamed."""
        self._close()
        self._held.close()

    def _close(self) -> None:
        for file in (*self._words.values(), *(part.stream for part in self._features.values()), self._table):
            if file is not None:
                file.close()


class _FeatureFile:
    """The features of a modality in a part, appended a block at a time, and their mask."""

    def __init__(self, path: Path) -> None:
        # not through a memory map: on a full disk a write is an error, a store into a map kills the process
        self.path, self.stream, self.clips = path, path.open("wb"), 0
        self._blocks: list[tuple[int, int]] = []  # clips and steps
        self._masks: list[Bool[np.ndarray, "clips time"]] = []
        self._step: tuple[int, ...] = ()
        self._dtype = np.dtype(np.float32)

    def write(self, block: Block, *, before: int) -> None:
        """Append a block; of the `before` clips of the part, those not seen here lack the modality."""
        values, mask = block
        self._step, self._dtype = values.shape[2:], values.dtype
        missed = before - sum(map(len, self._masks))
        if missed:
            self._masks.append(np.zeros((missed, 1), bool))
        self._masks.append(mask)
        if len(values):
            if not self.clips:
                self._write_header(self.stream, 0, values.shape[1])
            self.stream.write(values.reshape(-1).view(np.uint8).data)
            self._blocks.append((len(values), values.shape[1]))
            self.clips += len(values)

    def finish(self, clips: int) -> tuple[tuple[int, ...], str]:
        """Bring all clips to the same T, write header and mask; the shape of a clip and the dtype."""
        lengths = {steps for _, steps in self._blocks}
        steps = max(lengths)
        if len(lengths) > 1:
            self._pad(steps)
        with self.path.open("r+b") as stream:
            self._write_header(stream, self.clips, steps)
        mask = np.zeros((clips, steps), bool)
        start = 0
        for part in self._masks:
            width = min(part.shape[1], steps)
            mask[start : start + len(part), :width] = part[:, :width]
            start += len(part)
        if not mask.all():
            np.save(self.path.with_suffix(".mask.npy"), mask, allow_pickle=False)
        return (steps, *self._step), self._dtype.name

    def _write_header(self, stream: BinaryIO, clips: int, steps: int) -> None:
        """NumPy leaves room for the number of clips to grow, so the header has the same length at the end."""
        header = {
            "descr": self._dtype.str,
            "fortran_order": False,
            "shape": (clips, steps, *self._step),
        }
        np.lib.format.write_array_header_1_0(stream, header)

    def _pad(self, steps: int) -> None:
        """Write the file again with clips of equal length, a clip at a time."""
        target = self.path.with_suffix(".padded")
        with self.path.open("rb") as stream, target.open("wb") as padded:
            self._write_header(padded, self.clips, steps)
            stream.seek(padded.tell())
            one = int(np.prod(self._step)) * self._dtype.itemsize
            for clips, length in self._blocks:
                for _ in range(clips):
                    padded.write(stream.read(length * one))
                    padded.write(bytes((steps - length) * one))
        target.replace(self.path)


def sha256_of(path: Path) -> str:
    """The sha256 of a file, as `sha256sum` prints it."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
