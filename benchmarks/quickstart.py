"""The main job on the embedded data: digits, pretraining, TOC, evaluation, report."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Literal

from benchmarks.evaluation.evaluate import evaluate
from benchmarks.report import RESULTS, build_report
from benchmarks.report.run_files import STAGES_FILE
from benchmarks.report.transfer import transfer_tables, transfer_text
from toc import load_codebook, optimize
from toc.outputs import write_outputs
from unicode_cmg.checkpoints import best_device, load_pretrained
from unicode_cmg.config import apply_overrides, load_yaml
from unicode_cmg.data import LabelledClips
from unicode_cmg.data.digits import write_digits
from unicode_cmg.data.labelled import open_events
from unicode_cmg.errors import InputError
from unicode_cmg.files import read_json, write_json
from unicode_cmg.inspect import write_codes
from unicode_cmg.inspect.codes.describe import CODES_FOLDER
from unicode_cmg.training import PretrainConfig, Verdict, fit
from unicode_cmg.training.run_folder import find_start

HEAD_SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class QuickstartResult:
    """What a quickstart leaves.

    Attributes:
        page: `report.html`.
        results: What `results.json` holds.
        table: The transfer table as plain text.
        verdict: Whether pretraining went well.
    """

    page: Path
    results: dict[str, Any]
    table: str
    verdict: Verdict


def quickstart(
    run: str | Path,
    seed: int = 0,
    *,
    resume: Literal["auto", "never"] = "auto",
    settings: tuple[str, ...] = (),
    say: Callable[[str], None] = print,
) -> QuickstartResult:
    """Build the digits, pretrain, refine, evaluate and report, all inside one folder.

    If it is interrupted, call it again with the same folder to resume: data that is there is used,
    pretraining continues from its newest checkpoint, and the short stages after it are repeated.

    Args:
        run: Folder of the run.
        seed: Seed of the data and of pretraining; the heads always use seeds 0, 1 and 2.
        resume: "never" refuses a folder that holds a run.
        settings: Changes to the shipped configuration, such as `training.epochs=2`.
        say: Receives a line when a stage begins and when it ends.

    Raises:
        InputError: The folder holds something else, or the disk is full.
        Interrupted: SIGINT or SIGTERM during pretraining; a checkpoint was written.
    """
    run = Path(run)
    find_start(run, resume)  # refuses before anything is written
    stages = _Stages(run / STAGES_FILE, _command(run, seed, settings), say)
    with stages.of("data"):
        data = _digits(run / "data", seed)
    with stages.of("pretraining"):
        trained = fit(_config(data, seed, settings), run, resume=resume)
    with stages.of("TOC"):
        codebook = load_codebook(trained.model)
        selection = optimize(codebook.vectors, layer=codebook.name)
        write_outputs(run / "toc", codebook, selection)
    with stages.of("evaluation"):
        model = load_pretrained(trained.model, map_location=best_device())
        results = {
            "ave": evaluate(model, "ave", data, seeds=HEAD_SEEDS),
            "ave-toc": evaluate(model, "ave", data, seeds=HEAD_SEEDS, toc=selection, continuous=False),
            "ave-shuffled": evaluate(
                model, "ave", data, seeds=HEAD_SEEDS, permute_codes_seed=0, continuous=False
            ),
        }
        for name, result in results.items():
            write_json(run / "evaluation" / f"{name}.json", result.to_json())
    with stages.of("meaning of the codes"):
        clips = LabelledClips.open(data, "test")
        write_codes(model, clips, run / CODES_FOLDER, events=open_events(data))
    with stages.of("report"):
        page = build_report(run)
    table = transfer_text(transfer_tables(results.values()))
    return QuickstartResult(page, read_json(run / RESULTS), table, trained.verdict)


class _Stages:
    """Says which stage runs, and records in a file how long each took in this process."""

    def __init__(self, file: Path, command: str, say: Callable[[str], None]) -> None:
        self._file, self._say = file, say
        self._record: dict[str, Any] = {"format_version": 1, "command": command, "stages": []}

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        self._say(f"{name} …")
        started = time.perf_counter()
        yield
        seconds = round(time.perf_counter() - started, 3)
        self._record["stages"].append({"name": name, "seconds": seconds})
        write_json(self._file, self._record | {"day": datetime.now(UTC).date().isoformat()})
        self._say(f"{name}: {seconds:.1f} s")


def _command(run: Path, seed: int, settings: tuple[str, ...]) -> str:
    if settings:  # the command line takes none
        return f"quickstart({str(run)!r}, seed={seed}, settings={list(settings)})"
    return f"unicode-cmg quickstart --to {shlex.quote(str(run))} --seed {seed}"


def _digits(root: Path, seed: int) -> Path:
    """The data set under `root`, written unless it is there already."""
    manifest = root / "digits.json"
    if not manifest.exists():
        write_digits(root, recipe="default", seed=seed)
    found = read_json(manifest)
    if (found.get("recipe"), found.get("seed")) != ("default", seed):
        raise InputError(
            f"holds digits of recipe {found.get('recipe')!r} and seed {found.get('seed')!r}",
            where=root,
            expected=f"recipe 'default' and seed {seed}",
            fix="use the same --seed, or another --to",
        )
    return root


def _config(data: Path, seed: int, settings: tuple[str, ...]) -> PretrainConfig:
    """The shipped configuration with the data of this run, its seed, and what the caller changes."""
    with as_file(files("benchmarks") / "quickstart.yaml") as path:
        values = load_yaml(path)
    values["data"] |= {"store": str(data / "pretrain"), "val_store": str(data / "pretrain-val")}
    values["training"]["seed"] = seed
    return PretrainConfig.parse(apply_overrides(values, settings), where="quickstart.yaml")
