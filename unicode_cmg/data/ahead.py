"""Reading ahead: threads read the next clips while these are used."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

READERS = min(4, os.cpu_count() or 1)
_AHEAD = 2  # results that wait, beside those that are being made

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int = READERS
) -> Generator[Result, None, None]:
    """`map` in the order of the items, by threads that are a few items ahead.

    Args:
        function: Called in a thread; an error of it is raised in its turn.
        items: Its arguments.
        workers: Number of threads.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="read-ahead") as pool:
        pending: deque[Future[Result]] = deque()
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) >= workers + _AHEAD:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
