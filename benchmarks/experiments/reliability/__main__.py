"""The command: python -m benchmarks.experiments.reliability."""

from __future__ import annotations

import contextlib
import io
import resource
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks.experiments.reliability.attacks import attacks, try_attack
from benchmarks.experiments.reliability.damage import Outcome, try_damage
from benchmarks.experiments.reliability.faults import try_full_disk, try_kill, writers
from benchmarks.experiments.reliability.readers import write_whole
from benchmarks.markdown import markdown_table
from unicode_cmg.console import finish, run_command

_LIMITS = (0, 100, 3000)


def reliability(
    damages: Annotated[int, typer.Option(min=0, help="Damaged files, by consecutive seeds.")] = 1040,
    kills: Annotated[int, typer.Option(min=0, help="Kills of each kind of writer.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="First seed.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Damage files, attack, kill writers and fill the disk, and count what survives.

    The exit code is 2 if something does not.
    """
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        found = run(Path(folder), damages=damages, kills=kills, seed=seed)
    failures = [failure for row in found["rows"] for failure in row["failures"]]
    lines = [[row["what"], str(row["tried"]), str(row["survived"])] for row in found["rows"]]
    text = markdown_table(["what", "tried", "survived"], lines)
    finish(found, f"{text}\npeak memory: {found['peak_mb']} MB\n" + "\n".join(failures), as_json)
    if failures:
        raise typer.Exit(2)


def run(folder: Path, *, damages: int, kills: int, seed: int = 0) -> dict[str, Any]:
    """Try everything in an empty folder; rows of what was tried and survived, and the peak of the memory."""
    whole = folder / "whole"
    write_whole(whole)
    outcomes = try_damage(whole, folder / "damaged", damages, seed)
    rows = _damage_rows(outcomes)
    attacked = {}
    for name, attack in attacks().items():
        shutil.copytree(whole, folder / "attacked")
        attacked[name] = try_attack(attack, folder / "attacked")
        shutil.rmtree(folder / "attacked")
    rows.append(_row("attacks", attacked.items(), lambda result: result in ("read", "refused")))
    for what, attempt, numbers in (
        ("killed", try_kill, range(seed, seed + kills)),
        ("disk full", try_full_disk, _LIMITS),
    ):
        for name in writers():
            results = []
            for number in numbers:
                results.append((f"{name}, {number}", attempt(name, whole, folder / "faults", number)))
                shutil.rmtree(folder / "faults")
            rows.append(_row(f"{what}: {name}", results, lambda result: result == "survived"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {"rows": rows, "peak_mb": peak}


def _damage_rows(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    tried: Counter[str] = Counter()
    failures: dict[str, list[str]] = {}
    for outcome in outcomes:
        tried[outcome.reader] += 1
        if not outcome.survived:
            failures.setdefault(outcome.reader, []).append(
                f"seed {outcome.seed}: {outcome.file}: {outcome.result}"
            )
    return [
        {
            "what": f"damaged: {reader}",
            "tried": count,
            "survived": count - len(failures.get(reader, ())),
            "failures": failures.get(reader, []),
        }
        for reader, count in sorted(tried.items())
    ]


def _row(what: str, results: Iterable[tuple[str, str]], harmless: Callable[[str], bool]) -> dict[str, Any]:
    known = list(results)
    failures = [f"{what}: {name}: {result}" for name, result in known if not harmless(result)]
    return {"what": what, "tried": len(known), "survived": len(known) - len(failures), "failures": failures}


if __name__ == "__main__":
    run_command(reliability)
