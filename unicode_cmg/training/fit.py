"""Pretraining from a configuration to a model on disk, and the regularizers of a run read back."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from unicode_cmg.checkpoints.folders import STATE_FILES, whole_checkpoint
from unicode_cmg.checkpoints.native import save_pretrained
from unicode_cmg.checkpoints.tensors import load_exactly
from unicode_cmg.data.store import FeatureStore
from unicode_cmg.errors import InputError
from unicode_cmg.files import write_text
from unicode_cmg.methods import method_class
from unicode_cmg.methods.base import Method
from unicode_cmg.model import evaluating
from unicode_cmg.progress import Progress
from unicode_cmg.regularizers import Regularizers, check_trusted, columns
from unicode_cmg.training.config import PretrainConfig
from unicode_cmg.training.diagnosis import Callback, Verdict, read_verdict
from unicode_cmg.training.diagnosis.watch import Watch, model_figures, sample_findings
from unicode_cmg.training.loop import Loop
from unicode_cmg.training.metrics import MetricsLog
from unicode_cmg.training.process import accelerated, reproducible
from unicode_cmg.training.randomness import preserved, seed_everything
from unicode_cmg.training.run_folder import (
    CONFIG,
    DATA,
    METRICS,
    MODEL,
    TENSORBOARD,
    Resume,
    find_start,
    locked,
    prepare,
    read_state,
)
from unicode_cmg.training.trainer import Trainer


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
        verdict: Whether it went well, and if not, what to try.
    """

    run: Path
    model: Path
    steps: int
    seconds: float
    metrics: Path
    last: dict[str, Any]
    verdict: Verdict

    def __repr__(self) -> str:
        return (
            f"RunResult({str(self.run)!r}: {self.steps} steps in {self.seconds:.0f} s; {self.verdict.text})"
        )


def fit(
    config: PretrainConfig,
    run: Path | str,
    *,
    resume: Resume = "auto",
    progress: bool | None = None,
    callbacks: Sequence[Callback] = (),
    trust_code: bool = False,
) -> RunResult:
    """Pretrain a method and write the run's folder (layout in docs/reference/files.md).

    On the CPU a run that was interrupted and resumed ends with the same bits, in model, optimizers and
    metrics, as one that was not. The global random states are left as they were found.

    Args:
        config: What to train, on what, and how.
        run: Folder of the run.
        resume: "auto" continues the newest complete checkpoint of `run`, if there is one; "never" starts
            anew and refuses a folder that holds a run; a path continues that checkpoint, or that run's
            newest, in `run`, and drops what `run` holds of later steps.
        progress: True for a bar, False for nothing, None for a bar on a terminal and plain lines elsewhere.
        callbacks: Who is told of log lines, of findings such as codes without use, and of the verdict.
        trust_code: Whether to import and run what the configuration names as `package.module:callable`.

    Raises:
        InputError: Configuration, data or checkpoint do not fit, the disk is full, or the configuration names
            code that is not trusted; what was on disk before is intact.
        NonFiniteLoss: A loss or gradient became NaN or infinite; nothing was saved after it.
        Interrupted: SIGINT or SIGTERM arrived; a checkpoint of the last step was written.
    """
    run, training = Path(run), config.training
    check_trusted(config.regularizers, trust_code, where="the configuration")
    with (
        accelerated(training.precision) as accelerator,
        preserved(),
        reproducible(training.deterministic),
        locked(run) if accelerator.is_main_process else nullcontext(),
    ):
        start = _agreed_start(run, resume, accelerator)
        store = FeatureStore.open(config.data.store)
        val_store = None if config.data.val_store is None else FeatureStore.open(config.data.val_store)
        seed_everything(training.seed)
        method = method_class(config.method.name)(config.method.settings).to(accelerator.device)
        regularizers = _fresh_regularizers(config, method, store)
        if val_store is not None:
            _check_store(method, val_store, columns(config.regularizers))
        trainer = Trainer(method, config, accelerator, regularizers.to(accelerator.device))
        read = tuple(dict.fromkeys((*method.modalities, *columns(config.regularizers))))
        loop = Loop(config, run, trainer, accelerator, store, val_store, read)
        if start is None:
            trainer.objective.check(store, accelerator, read)
            method.fit_inputs(loop.sample())
        else:
            loop.restore(start)
        accelerator.wait_for_everyone()  # before the first rank changes what the others still look at
        if not accelerator.is_main_process:
            loop.train(None, Progress(False, total=loop.total, unit="step"))
            accelerator.wait_for_everyone()
            given = read_verdict(run) or Verdict(step=loop.step, steps=loop.total)
            return RunResult(run, run / MODEL, loop.step, loop.seconds, run / METRICS, {}, given)
        clips = loop.plan.all_clips()
        features = sample_findings(config, method, store, clips)  # refuses NaN before anything is written
        tensorboard = run / TENSORBOARD if training.tensorboard else None
        log = MetricsLog(run / METRICS, after_step=loop.step, tensorboard=tensorboard)
        if loop.step < loop.total or not (run / CONFIG).is_file():  # else it tells how the run was trained
            write_text(run / CONFIG, yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
        prepare(run, step=loop.step)
        loop.counts.write(run / DATA)
        shown = Progress(progress, total=loop.total, unit="step", done=loop.step)
        shown.say(loop.counts.summary())
        if loop.step > loop.total:
            shown.say(
                f"the run has {loop.step} steps, the configuration asks for {loop.total}: nothing to train"
            )
        watch = Watch(loop.course(), run, callbacks, shown.say)
        watch.start(features, log.kept)
        try:
            loop.train(log, shown, watch)
        finally:
            shown.close()
            log.close()
        save_pretrained(method, run / MODEL, extra={"step": loop.step, "data": store.fingerprint})
        verdict = watch.end(model_figures(config, method, store, clips, accelerator.device))
        accelerator.wait_for_everyone()
        return RunResult(run, run / MODEL, loop.step, loop.seconds, run / METRICS, log.last or {}, verdict)


def load_regularizers(
    path: Path | str, store: FeatureStore, *, trust_code: bool = False
) -> tuple[Method[Any], Regularizers]:
    """A method and the regularizers it was trained with, both in evaluation mode, on the CPU.

    Args:
        path: The folder of a run, whose newest checkpoint is taken, or one of its checkpoints.
        store: Features of the kind the run was trained on; they tell the regularizers their shapes.
        trust_code: Whether to import and run what the run's configuration names as `package.module:callable`.

    Raises:
        InputError: There is no checkpoint of a run here, the run had no regularizers, a file is damaged,
            the store lacks what they read, or the run names code that is not trusted.
    """
    path = Path(path)
    folder = path if all((path / name).is_file() for name in STATE_FILES) else whole_checkpoint(path)
    if folder is None:
        raise InputError(
            "there is no checkpoint of a run here",
            where=path,
            expected="the folder of a run, or one of its checkpoints",
            fix="regularizers stay with the run they were trained in; its exported model does not hold them",
        )
    state, groups = read_state(folder)
    config = PretrainConfig.parse(state.config, where=folder)
    if not config.regularizers:
        raise InputError("the run was trained without regularizers", where=path)
    check_trusted(config.regularizers, trust_code, where=folder)
    method: Method[Any] = Method.from_pretrained(folder)
    regularizers = _fresh_regularizers(config, method, store)
    load_exactly(regularizers, groups["regularizers"], where=folder)
    return method, regularizers.eval()


def _agreed_start(run: Path, resume: Resume, accelerator: Accelerator) -> Path | None:
    """What `find_start` finds, which only the first rank may look for: it holds the lock."""
    found: list[Any] = [None]
    if accelerator.is_main_process:
        found = [find_start(run, resume)]
    if accelerator.num_processes > 1:
        broadcast_object_list(found)
    start: Path | None = found[0]
    return start


def _fresh_regularizers(config: PretrainConfig, method: Method[Any], store: FeatureStore) -> Regularizers:
    """The regularizers of a configuration, untrained, once the store is known to fit them and the method."""
    extra = columns(config.regularizers)
    _check_store(method, store, extra)
    if not config.regularizers:
        return Regularizers()
    with evaluating(method), preserved():
        batch = store.batch([0], modalities=dict.fromkeys((*method.modalities, *extra))).to(_device(method))
        own = batch.only(method.modalities)
        example = method.view(own, method.represent(own)).with_columns(batch)
    return Regularizers.build(config.regularizers, example, seed=config.training.seed)


def _check_store(method: Method[Any], store: FeatureStore, extra: Sequence[str]) -> None:
    """Pass one clip through the encoders, so that a store that does not fit is found before training.

    Args:
        method: The method.
        store: The data.
        extra: Columns that regularizers read beside the method's modalities.

    Raises:
        InputError: The store lacks a modality of the method or a column, or its features have another shape.
    """
    has = f"the store has {', '.join(store.modalities)}"
    for column in extra:
        if column not in store.modalities:
            raise InputError(f"no column '{column}', which a regularizer reads", where=store.path, fix=has)
    for modality in method.modalities:
        if modality not in store.modalities:
            raise InputError(
                f"no modality '{modality}', which the method is configured for",
                where=store.path,
                expected=f"the modalities {', '.join(method.modalities)}",
                fix=has,
            )
    try:
        with evaluating(method), preserved():
            method.represent(store.batch([0], modalities=method.modalities).to(_device(method)))
    except InputError as error:
        where = store.path if error.where is None else f"{store.path}: {error.where}"
        raise InputError(error.what, where=where, expected=error.expected, fix=error.fix) from None


def _device(method: Method[Any]) -> torch.device:
    return next(method.parameters()).device
