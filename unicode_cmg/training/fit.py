"""Pretraining from a configuration to a model on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from unicode_cmg.checkpoints.native import save_pretrained
from unicode_cmg.data.store import FeatureStore
from unicode_cmg.files import write_text
from unicode_cmg.methods import build_method
from unicode_cmg.regularizers import Regularizers
from unicode_cmg.regularizers.attached import columns
from unicode_cmg.training.config import PretrainConfig
from unicode_cmg.training.device import accelerated, reproducible
from unicode_cmg.training.loop import Loop
from unicode_cmg.training.metrics import MetricsLog
from unicode_cmg.training.progress import Progress
from unicode_cmg.training.randomness import preserved, seed_everything
from unicode_cmg.training.run_folder import (
    CONFIG,
    METRICS,
    MODEL,
    TENSORBOARD,
    Resume,
    find_start,
    locked,
    prepare,
)
from unicode_cmg.training.trainer import Trainer
from unicode_cmg.training.validation import check_store, first_view


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Attributes:
        run: Its folder.
        model: The finished model inside it, a native checkpoint.
        steps: Steps trained in all.
        seconds: Time trained, over all processes that continued the run one after another.
        metrics: The log, `metrics.jsonl`.
        last: Its last line with losses.
    """

    run: Path
    model: Path
    steps: int
    seconds: float
    metrics: Path
    last: dict[str, Any]


def fit(
    config: PretrainConfig, run: Path | str, *, resume: Resume = "never", progress: bool | None = None
) -> RunResult:
    """Pretrain a method and write the run's folder (layout in docs/architecture.md).

    On the CPU a run that was interrupted and resumed ends with the same bits, in model, optimizers and
    metrics, as one that was not. The global random states are left as they were found.

    Args:
        config: What to train, on what, and how.
        run: Folder of the run.
        resume: "never" starts anew and refuses a folder that holds a run; "auto" continues the newest
            complete checkpoint of `run`, if there is one; a path continues that checkpoint, or that run's
            newest, in `run`, and drops what `run` holds of later steps.
        progress: True for a bar, False for nothing, None for a bar on a terminal and plain lines elsewhere.

    Raises:
        InputError: Configuration, data or checkpoint do not fit, or the disk is full; what was on disk before
            is intact.
        NonFiniteLoss: A loss or gradient became NaN or infinite; nothing was saved after it.
        Interrupted: SIGINT or SIGTERM arrived; a checkpoint of the last step was written.
    """
    run, training = Path(run), config.training
    with accelerated(training.precision) as accelerator, preserved(), reproducible(training.deterministic):
        start = find_start(run, resume)
        store = FeatureStore.open(config.data.store)
        val_store = None if config.data.val_store is None else FeatureStore.open(config.data.val_store)
        seed_everything(training.seed)
        method = build_method(config.method["name"], config.method_settings, where="method").to(
            accelerator.device
        )
        extra = columns(config.regularizers)
        for data in (store, val_store):
            if data is not None:
                check_store(method, data, accelerator.device, extra)
        regularizers = Regularizers()
        if config.regularizers:
            example = first_view(method, store, accelerator.device, extra)
            regularizers = Regularizers.build(config.regularizers, example, seed=training.seed)
        trainer = Trainer(method, config, accelerator, regularizers.to(accelerator.device))
        loop = Loop(config, run, trainer, accelerator, store, val_store)
        if start is not None:
            loop.restore(start)
        accelerator.wait_for_everyone()  # before the first rank changes what the others still look at
        if not accelerator.is_main_process:
            loop.train(None, Progress(False, total=loop.total, done=loop.step))
            accelerator.wait_for_everyone()
            return RunResult(run, run / MODEL, loop.step, loop.seconds, run / METRICS, {})
        with locked(run):
            tensorboard = run / TENSORBOARD if training.tensorboard else None
            log = MetricsLog(run / METRICS, after_step=loop.step, tensorboard=tensorboard)
            write_text(run / CONFIG, yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
            prepare(run, step=loop.step)
            shown = Progress(progress, total=loop.total, done=loop.step)
            try:
                loop.train(log, shown)
            finally:
                shown.close()
                log.close()
            save_pretrained(method, run / MODEL, extra={"step": loop.step, "data": store.fingerprint})
        accelerator.wait_for_everyone()
        return RunResult(run, run / MODEL, loop.step, loop.seconds, run / METRICS, log.last or {})
