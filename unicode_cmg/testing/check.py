"""One check of a method: its name, what relies on it, and how to keep it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from unicode_cmg.testing.subject import CheckFailure, Skipped, Subject


@dataclass(frozen=True)
class Check:
    """One promise of a method.

    Attributes:
        name: Its name.
        why: What relies on it.
        fix: How to keep it.
        run: Raises `CheckFailure` or `Skipped`.
    """

    name: str
    why: str
    fix: str
    run: Callable[[Subject], None]

    def failure(self, subject: Subject) -> str | None:
        """What is wrong with a method, why that matters and how to fix it; None if nothing is.

        Raises:
            Skipped: The check does not apply.
        """
        try:
            with torch.random.fork_rng(devices=[]):
                self.run(subject)
        except Skipped:
            raise
        except CheckFailure as error:
            found = str(error)
        except Exception as error:  # whatever somebody's method raises
            found = f"{type(error).__name__}: {error}".splitlines()[0]
        else:
            return None
        return f"{found}. Why it matters: {self.why}. How to fix it: {self.fix}."


CHECKS: dict[str, Check] = {}
"""Name -> check, in the order in which they run."""


def check(*, why: str, fix: str) -> Callable[[Callable[[Subject], None]], Callable[[Subject], None]]:
    """Make a function a check of its name.

    Args:
        why: What relies on it, as a clause.
        fix: How to keep it, as a command.
    """

    def register(run: Callable[[Subject], None]) -> Callable[[Subject], None]:
        CHECKS[run.__name__] = Check(run.__name__, why, fix, run)
        return run

    return register
