"""Two kinds of faults: of one clip, which is listed and left out, and of the machine, which stops the run."""

from __future__ import annotations

import errno
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unicode_cmg.errors import InputError, SetupError

REFUSED = "refused by its encoder"
NOT_FINITE = "not finite"
_AGAIN = "then run the same command again to resume"
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT)
_OF_THE_SYSTEM = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class MediaError(InputError):
    """Something of a clip that cannot be used: it is listed, and the clip goes on without it.

    Args:
        kind: A few words that several clips have in common, by which they are counted: "truncated".
        reason: What is wrong with this one.
    """

    def __init__(self, kind: str, reason: str) -> None:
        self.kind = kind
        super().__init__(reason)


def setup_error(error: BaseException, where: object) -> SetupError | None:
    """What an exception says about the machine, as one line; None if it is about a clip.

    A missing package, a full disk, too little memory and a GPU that fails are not a property of any clip,
    whichever library or encoder raises them. An exception that was raised `from` such a one counts as well.

    Args:
        error: What was raised.
        where: The encoder or the file at which it was raised.
    """
    cause: BaseException | None = error
    while cause is not None:
        found = _of_machine(cause, where)
        if found is not None:
            return found
        cause = cause.__cause__
    return None


def _of_machine(error: BaseException, where: object) -> SetupError | None:
    torch = sys.modules.get("torch")
    if isinstance(error, SetupError):
        return error
    if isinstance(error, ImportError):
        return SetupError(
            f"a package cannot be imported ({_line(error)})", where=where, fix=f"install it, {_AGAIN}"
        )
    if isinstance(error, MemoryError) or (torch and isinstance(error, torch.OutOfMemoryError)):
        fix = f"set a smaller --batch-size or fewer --workers, {_AGAIN}"
        return SetupError(f"there is not enough memory ({_line(error)})", where=where, fix=fix)
    if torch and isinstance(error, torch.AcceleratorError):
        fix = "run the same command again to resume"
        return SetupError(f"the GPU fails ({_line(error)})", where=where, fix=fix)
    if isinstance(error, OSError) and error.errno in (*_OF_THE_DISK, *_OF_THE_SYSTEM):
        fix = "free some space" if error.errno in _OF_THE_DISK else "raise the limits of the system"
        return SetupError(_line(error), where=where, fix=f"{fix}, {_AGAIN}")
    return None


def refusal(error: Exception) -> MediaError:
    """Why an encoder refuses a clip: its own words, or where in it which exception was raised."""
    if isinstance(error, MediaError):
        return error
    if isinstance(error, InputError):
        return MediaError(REFUSED, str(error))
    return MediaError(REFUSED, f"the encoder fails ({described(error)})")


@contextmanager
def encoder_faults(where: object, what: str) -> Iterator[None]:
    """Turn whatever an encoder raises, while no clip is to blame, into an `InputError`.

    Args:
        where: The encoder.
        what: What happens to it, for the error message: "cannot be loaded".
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        told = InputError(
            f"it {what} ({described(error)})", where=where, fix="fix the encoder or its settings"
        )
        raise setup_error(error, where) or told from error


def described(error: BaseException) -> str:
    """An exception in one line, with the last place outside of installed packages that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    installed = [Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")]
    own = [f for f in frames if not any(Path(f.filename).is_relative_to(path) for path in installed)]
    own = [f for f in own if Path(f.filename).parent != Path(__file__).parent] or frames
    place = f", {Path(own[-1].filename).name} line {own[-1].lineno}" if own else ""
    text = f": {_line(error)}" if str(error) else ""
    return f"{type(error).__name__}{text}{place}"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
