"""Ray Data: a function over many items in processes of one or many machines, with results in order."""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from unicode_cmg.errors import InputError, SetupError

Item = TypeVar("Item")
Result = TypeVar("Result")
_MOST_BLOCKS = 4096


def ray_map(
    call: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int | None,
    *,
    gpus: bool = False,
) -> Generator[Result, None, None]:
    """The results of a function for all items, in their order, a few of them in memory at a time.

    A running cluster is used if there is one (the variable RAY_ADDRESS, or the cluster of this machine); else
    processes on this machine are started, and stopped at the end.

    Args:
        call: The function, which is pickled once for each process.
        items: What it is called with, one after the other.
        workers: Processes; by default one for each core of the cluster, or for each GPU.
        gpus: Give a GPU to each process, if the cluster has some.

    Raises:
        InputError: Ray is not installed, or the function has raised it.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        what = f"Ray Data is not installed ({error})"
        raise SetupError(what, where="--engine ray", fix="pip install 'unicode-cmg[ray]'") from None

    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    started = not ray.is_initialized()
    if started:
        local = {} if os.environ.get("RAY_ADDRESS") or workers is None else {"num_cpus": workers}
        ray.init(log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False, **local)
    try:
        resources = ray.cluster_resources()
        count = int(resources.get("GPU", 0)) if gpus else 0
        wanted = workers or count or int(resources.get("CPU", 1))
        rows = [{"item": _pickled(item)} for item in items]
        data = ray.data.from_items(rows, override_num_blocks=min(len(rows), _MOST_BLOCKS) or 1)
        data.context.execution_options.preserve_order = True
        data.context.enable_progress_bars = False
        mapped = data.map(
            _Process,
            fn_constructor_args=(_pickled(call), os.getcwd()),  # noqa: PTH109
            compute=ray.data.ActorPoolStrategy(size=min(wanted, max(1, len(rows)))),
            num_gpus=1 if count else None,
        )
        for row in mapped.iter_rows():
            result, refusal = pickle.loads(row["result"])
            if refusal is not None:
                raise refusal
            yield result
    finally:
        if started:
            ray.shutdown()


def _pickled(value: Any) -> bytes:
    """By cloudpickle, because functions of notebooks and scripts cannot be imported elsewhere."""
    import cloudpickle

    try:
        return bytes(cloudpickle.dumps(value))
    except TypeError:  # a class method that a decorator has wrapped
        return pickle.dumps(value)


class _Process:
    """The function in one process."""

    def __init__(self, call: bytes, folder: str) -> None:
        with suppress(OSError):
            os.chdir(folder)  # paths may be relative to where the command was called
        self._refusal: InputError | None = None
        try:
            self._call = pickle.loads(call)
        except ImportError as error:
            what = f"a package cannot be imported on a machine of the cluster ({error})"
            self._refusal = SetupError(what, where="--engine ray", fix="install it on all machines")

    def __call__(self, row: dict[str, Any]) -> dict[str, bytes]:
        outcome: tuple[Any, InputError | None] = (None, self._refusal)
        if self._refusal is None:
            outcome = self._outcome(row["item"])
        return {"result": pickle.dumps(outcome)}

    def _outcome(self, item: bytes) -> tuple[Any, InputError | None]:
        try:
            return self._call(pickle.loads(item)), None
        except InputError as error:
            return None, error
