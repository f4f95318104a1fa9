"""What all commands share: reading of lists, printing of results, errors and signals as exit codes."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from types import FrameType
from typing import Any

import typer

from unicode_cmg.errors import InputError, RankLost, printable
from unicode_cmg.files import DISK_ERRORS


def app_of(command: Callable[..., None]) -> typer.Typer:
    """A function as a command line."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(command)
    return app


def run_command(command: Callable[..., None]) -> None:
    """Run a function with the arguments in `sys.argv` and exit as `run` says."""
    module = sys.modules["__main__"].__spec__
    name = sys.argv[0] if module is None else f"python -m {module.name.removesuffix('.__main__')}"
    sys.exit(run(app_of(command), name, sys.argv[1:]))


def run(app: typer.Typer, name: str, arguments: list[str]) -> int:
    """Run one command of an application and return its exit code; faults of ours are raised.

    0: done; 2: the user's input is wrong, and one line on stderr says what, where and how to fix it; 130 or
    143: stopped by Ctrl-C or SIGTERM; 141: the reader of our output has gone.
    """
    command = typer.main.get_command(app)
    try:
        with command.make_context(name, arguments) as context:
            command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as left:
        return left.exit_code
    except KeyboardInterrupt as stopped:
        if _is_heard():
            _complain(str(stopped) or "interrupted")
        return 128 + getattr(stopped, "signal", signal.SIGINT)
    except BrokenPipeError:
        # what is still buffered must not fail once more when Python flushes it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except RankLost as lost:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun sends it to all that are left
        if _is_heard():
            _complain(f"error: {lost}")
        return 1
    except Exception as error:
        message, heard = _message_for_user(error, name), _is_heard()
        if message is None and heard:
            raise
        if message is not None and heard:
            _complain(message)
        return 1 if message is None else 2
    return 0


def _is_heard() -> bool:
    """Whether this process says what went wrong: of the ranks of a job, the first that wants to."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return True
    from unicode_cmg.ranks import first_to_tell

    return first_to_tell()


def main(app: typer.Typer, name: str) -> None:
    """Run the command in `sys.argv`, or answer a shell that asks for completions, and exit."""
    if f"_{name}_complete".replace("-", "_").upper() in os.environ:
        app(prog_name=name)
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(run(app, name, sys.argv[1:]))


def say(line: str) -> None:
    """Print a line of progress on stderr; of several ranks the first."""
    if os.environ.get("RANK", "0") == "0":
        _complain(line)


def _complain(line: str) -> None:
    """Print a line on stderr, on whichever rank."""
    print(printable(line), file=sys.stderr, flush=True)


def show(text: str) -> None:
    """Print text for people on stdout."""
    print(printable(text), flush=True)


def finish(result: Mapping[str, Any], text: str, as_json: bool) -> None:
    """Print the result of a command on stdout, as JSON or as text for people; of several ranks the first."""
    if os.environ.get("RANK", "0") != "0":
        return
    show(json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False) if as_json else text)


def names_in(text: str) -> list[str]:
    """The names in a text such as "audio, video"."""
    return [name for part in text.split(",") if (name := part.strip())]


def pairs_in(texts: Iterable[str], option: str) -> dict[str, str]:
    """Names and values of an option that is repeated, such as "audio=KEY".

    Raises:
        InputError: One has no name or value, or a name is given twice.
    """
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (equals and name.strip() and value.strip()):
            raise InputError(f"'{text}'", where=option, expected="NAME=VALUE")
        if name.strip() in pairs:
            raise InputError(f"'{name.strip()}' is given twice", where=option)
        pairs[name.strip()] = value.strip()
    return pairs


def seeds_in(text: str) -> tuple[int, ...]:
    """The seeds in a text such as "0,1,2".

    Raises:
        InputError: It holds something else, or a seed twice.
    """
    parts = [part.strip() for part in text.split(",")]
    seeds = tuple(int(part) for part in parts if part.isdecimal())
    if len(set(seeds)) < len(parts):
        raise InputError(
            f"cannot read '{text}'", where="--seeds", expected="different whole numbers such as 0,1,2"
        )
    return seeds


_NO_MEMORY = ("can't allocate memory", "out of memory", "Storage size calculation overflowed")
"""How torch words a failed allocation: a RuntimeError like any other."""


class _Terminated(KeyboardInterrupt):
    """SIGTERM outside of training, which catches it first and saves a checkpoint."""

    signal = signal.SIGTERM


def _terminate(number: int, frame: FrameType | None) -> None:
    raise _Terminated


def _message_for_user(error: Exception, name: str) -> str | None:
    """What to print, or None if the fault is ours."""
    if isinstance(error, InputError):
        text = str(error)
    elif isinstance(error, typer.TyperException):
        context = getattr(error, "ctx", None)
        if context is not None and error.message == context.get_help():  # no arguments: the help
            return error.message
        command = context.command_path if context is not None else name
        text = f"{error.format_message().rstrip('.')}; see '{command} --help'"
    elif isinstance(error, OSError) and error.errno in DISK_ERRORS:
        text = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    elif isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY):
        text = f"there is not enough memory for this ({(str(error) or 'no size given').splitlines()[0]})"
    else:
        return None
    return "error: " + " ".join(text.split())
