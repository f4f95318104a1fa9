"""Seeded damage to every file that is read: each is to be read or refused in one line, soon."""

from __future__ import annotations

import re
import shutil
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import numpy as np

from benchmarks.experiments.reliability.readers import REPORT, readers
from toc import CodebookError
from unicode_cmg.errors import InputError

SECONDS = 10
"""A reader that takes longer hangs."""

_REPORT_EVERY = 200
_TOKEN = re.compile(rb'-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|"[^"\n]*"|true|false|null')
_VALUES = (
    *(b"1" * 40, b"-1", b"0", b"0.5", b"NaN", b"1e999", b"99999999999", b"9223372036854775807"),
    *(b"null", b"true", b"[]", b"{}", b'""', b'"x"', b"[" * 3000, b'{"a": ' * 3000),
    *(rb'"\ud800"', b'"\x1b[2J"', b"&a [*a]", b"2001-99-99"),
)


class Outcome(NamedTuple):
    """What a reader made of a damaged file.

    Attributes:
        seed: Seed of the damage.
        reader: Name of the reader.
        file: The damaged file.
        result: "read", "refused", or what is wrong: a traceback, a hang, or a message of several lines.
    """

    seed: int
    reader: str
    file: str
    result: str

    @property
    def survived(self) -> bool:
        """Whether nothing is wrong."""
        return self.result in ("read", "refused")


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """The content of a file with one damage of many kinds."""
    size = len(content)
    at, end = sorted(rng.integers(0, size + 1, 2).tolist())
    kind = int(rng.integers(0, 10))
    if kind == 0 and size:  # one bit
        flipped = bytearray(content)
        flipped[at % size] ^= 1 << int(rng.integers(8))
        return bytes(flipped)
    if kind == 1 and size:  # some bytes
        changed = np.frombuffer(content, np.uint8).copy()
        changed[rng.integers(0, size, 8)] = rng.integers(0, 256, 8)
        return changed.tobytes()
    if kind == 2:
        return content[:at]
    if kind == 3:
        return content[:at] + bytes(end - at) + content[end:]
    if kind == 4:
        return content[:at] + content[at:end] * 2 + content[end:]
    if kind == 5:
        return content[:at] + content[end:]
    found = list(_TOKEN.finditer(content[:20_000]))
    if not found:
        return b""
    token = found[int(rng.integers(len(found)))]
    return content[: token.start()] + _VALUES[int(rng.integers(len(_VALUES)))] + content[token.end() :]


def try_damage(whole: Path, scratch: Path, count: int, first: int = 0) -> Iterator[Outcome]:
    """Damage one file after the other, by consecutive seeds, and read it.

    Args:
        whole: Folder of the whole files.
        scratch: Folder for copies; it must not exist.
        count: How many damages.
        first: The first seed.
    """
    shutil.copytree(whole, scratch)
    known = [(name, reader) for name, reader in readers().items() if name != REPORT]
    for seed in range(first, first + count):
        rng = np.random.default_rng(seed)
        name, reader = known[seed % len(known)]
        if seed % _REPORT_EVERY == 0:
            name, reader = REPORT, readers()[REPORT]
        file = reader.files[int(rng.integers(len(reader.files)))]
        (scratch / file).write_bytes(damaged((whole / file).read_bytes(), rng))
        before = sorted(scratch.rglob("*"))
        result = read_safely(reader.read, scratch)
        if result == "refused" and len(after := sorted(scratch.rglob("*"))) > len(before):
            result = f"a refused file left {set(after) - set(before)}"
        yield Outcome(seed, name, file, result)
        for path in (file, "model/SHA256SUMS"):
            shutil.copyfile(whole / path, scratch / path)


def read_safely(read: Callable[[Path], object], folder: Path) -> str:
    """Run a reader: "read", "refused", or what is wrong with the way it failed."""
    try:
        with _alarm():
            read(folder)
    except (InputError, CodebookError) as error:
        text = str(error)
        return "refused" if len(text.splitlines()) == 1 and len(text) < 2000 else f"message: {text[:300]!r}"
    except _Hang:
        return f"longer than {SECONDS} s"
    except Exception as error:  # the very thing that is looked for
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {str(error)[:200]} ({Path(place.filename).name}:{place.lineno})"
    return "read"


class _Hang(BaseException):
    """The time is up."""


@contextmanager
def _alarm() -> Iterator[None]:
    def ring(number: int, frame: FrameType | None) -> None:
        raise _Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def timed(outcomes: Iterator[Outcome]) -> tuple[list[Outcome], float]:
    """All outcomes, and the seconds they took."""
    started = time.monotonic()
    return list(outcomes), time.monotonic() - started
