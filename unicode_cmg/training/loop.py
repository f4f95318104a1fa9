"""The loop over steps: logging, validation, checkpoints, and leaving when asked to."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from unicode_cmg.batch import FeatureBatch
from unicode_cmg.checkpoints.folders import WEIGHTS_FILE, checkpoint_folder
from unicode_cmg.checkpoints.native import write_model
from unicode_cmg.checkpoints.sums import write_sums
from unicode_cmg.checkpoints.tensors import load_exactly, read_tensors
from unicode_cmg.data.store import FeatureStore
from unicode_cmg.errors import InputError
from unicode_cmg.files import atomic_directory
from unicode_cmg.progress import Progress
from unicode_cmg.training import randomness
from unicode_cmg.training.batches import BatchPlan, read_ahead, rows_of_split
from unicode_cmg.training.config import PretrainConfig
from unicode_cmg.training.diagnosis.before import Course
from unicode_cmg.training.diagnosis.watch import Watch, course_of
from unicode_cmg.training.metrics import MetricsLog, Window
from unicode_cmg.training.optimizers import learning_rate
from unicode_cmg.training.presence import Presence
from unicode_cmg.training.process import Interrupted, StopRequest
from unicode_cmg.training.run_folder import (
    TensorGroups,
    TrainingState,
    check_unchanged,
    prune,
    read_state,
    write_state,
)
from unicode_cmg.training.tally import Tally
from unicode_cmg.training.trainer import Trainer

_SAMPLE = 4096  # clips that statistics of the features are taken from


class Loop:
    """Trains from wherever the state stands to the end of the last epoch.

    Args:
        config: The run's configuration.
        run: The run's folder.
        trainer: Method and optimizers.
        accelerator: Device, precision and ranks.
        store: Training data.
        val_store: Held-out data, or None.
        columns: What to read of both: the method's modalities, and what regularizers read beside them.

    Attributes:
        plan: Which clips each step sees.
        step: Steps done.
        total: Steps of the whole run.
        counts: How many of the clips to train on have each modality.

    Raises:
        InputError: No clip to train on has one of the modalities, or `data.unpaired` is wrong.
    """

    def __init__(
        self,
        config: PretrainConfig,
        run: Path,
        trainer: Trainer,
        accelerator: Accelerator,
        store: FeatureStore,
        val_store: FeatureStore | None,
        columns: Sequence[str],
    ) -> None:
        self.step = 0
        self._config, self._run, self._trainer, self._accelerator = config, run, trainer, accelerator
        self._store, self._val_store, self._columns = store, val_store, columns
        self.plan = BatchPlan.of(
            config,
            len(store),
            ranks=accelerator.num_processes,
            rank=accelerator.process_index,
            rows=None if config.data.split is None else rows_of_split(store, config.data.split),
        )
        self.total = config.training.epochs * self.plan.steps_per_epoch
        present = {m: store.present[m] for m in trainer.method.modalities}
        self._presence = Presence(present, config.data, seed=config.training.seed)
        self.counts = self._presence.counts(self.plan.all_clips())
        self.counts.check(store.path)
        self._window, self._tally = Window(), Tally()
        self._trained_before, self._started = 0.0, time.monotonic()
        self._waited, self._logged = 0.0, self._started

    @property
    def seconds(self) -> float:
        """Time trained, over all processes that continued the run one after another."""
        return self._trained_before + time.monotonic() - self._started

    def sample(self) -> Iterator[FeatureBatch]:
        """Clips to train on, spread evenly over the data set: all of them, or some thousands of more.

        Equal on every rank. Modalities that the settings leave out are absent, as in training.
        """
        clips = self.plan.all_clips()
        chosen = clips[np.linspace(0, len(clips) - 1, min(len(clips), _SAMPLE)).round().astype(np.int64)]
        chunks = (chosen[first : first + 256] for first in range(0, len(chosen), 256))
        device = self._accelerator.device
        with closing(read_ahead(self._store, chunks, self._columns, device, self._presence)) as batches:
            yield from batches

    def restore(self, folder: Path) -> None:
        """Take model, optimizers, random states and position from a checkpoint.

        Raises:
            InputError: The run had other settings or other data, or a file is damaged.
        """
        state, groups = read_state(folder)
        # settings it did not know have their defaults
        before = PretrainConfig.parse(state.config, where=folder)
        check_unchanged(before.model_dump(mode="json"), self._config.model_dump(mode="json"), where=folder)
        if state.data != self._store.fingerprint:
            raise InputError(
                "the data changed since the run was started",
                where=self._store.path,
                fix="resume with the same feature store, or start a new run with another --to",
            )
        try:
            load_exactly(
                self._trainer.method, read_tensors(folder / WEIGHTS_FILE), where=folder / WEIGHTS_FILE
            )
            load_exactly(self._trainer.regularizers, groups["regularizers"], where=folder)
            self._trainer.optimizers.restore(groups, where=folder)
            if self._accelerator.scaler is not None and state.scaler is not None:
                self._accelerator.scaler.load_state_dict(state.scaler)
            self._window.restore(groups["window"], state.window, self._accelerator.device)
            self._tally.restore(groups["tally"], self._accelerator.device)
            randomness.restore(groups["random"], state.random)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
            # a state that somebody put together fails wherever it does not fit
            raise InputError(f"its state cannot be restored ({error})", where=folder) from None
        self.step, self._trained_before = state.step, state.seconds
        self._trainer.guard.checkpoint = folder

    def course(self) -> Course:
        """What is known of the run before its first step."""
        objective = self._trainer.objective
        return course_of(self._config, self._trainer.method, self.plan, self._store, objective.weight_of)

    def train(self, log: MetricsLog | None, progress: Progress, watch: Watch | None = None) -> None:
        """Run the remaining steps.

        Args:
            log: Where the metrics go; None on ranks that write nothing.
            progress: What to show meanwhile.
            watch: What reads the log; None on ranks that write nothing.

        Raises:
            Interrupted: SIGINT or SIGTERM arrived; a checkpoint was written.
            NonFiniteLoss: A loss or gradient became NaN or infinite.
        """
        training, plan = self._config.training, self.plan
        chunks = (plan.indices(step) for step in range(self.step, self.total))
        self._started = self._logged = time.monotonic()
        with (
            StopRequest() as stop,
            closing(
                read_ahead(self._store, chunks, self._columns, self._accelerator.device, self._presence)
            ) as batches,
        ):
            asked = time.monotonic()
            for batch in batches:
                self._waited += time.monotonic() - asked
                rate = learning_rate(
                    self._config.optimizer,
                    step=self.step,
                    steps_per_epoch=plan.steps_per_epoch,
                    total_steps=self.total,
                )
                epoch = self.step // plan.steps_per_epoch
                self.step += 1
                ended, logged = self.step == self.total, self.step % training.log_every == 0
                result = self._trainer.step(
                    batch,
                    clips=plan.clips_of(self.step - 1),
                    step=self.step,
                    epoch=epoch,
                    lr=rate,
                    statistics=logged or ended,
                    share=self.step / self.total,
                )
                self._window.add(result.values)
                self._tally.add(result.chosen)
                progress.advance()
                if result.statistics is not None:
                    entry = self._entry(rate, result.statistics)
                    position = f"step {self.step}/{self.total}, epoch {epoch + 1}, {self.seconds:.0f} s"
                    progress.report(position, _figures(entry))
                    if log is not None and watch is not None:
                        watch.read(log.write(entry))
                if self._val_store is not None and self.step % plan.steps_per_epoch == 0:
                    losses = self._trainer.objective.validate(
                        self._val_store, self._accelerator, self._columns
                    )
                    if log is not None and watch is not None:
                        watch.read(log.write({**self._position(), "validation": losses}))
                signal = self._stop_signal(stop, logged)
                if ended or signal or self.step % training.checkpoint_every == 0:
                    checkpoint = self._save()
                    if signal and not ended:
                        raise Interrupted(signal, step=self.step, checkpoint=checkpoint)
                asked = time.monotonic()

    def _entry(self, rate: float, statistics: dict[str, float]) -> dict[str, Any]:
        """The log line of this step; closes the window."""
        self._trainer.guard.check()
        means = self._accelerator.reduce(self._window.means(), reduction="mean")
        codebook = {**statistics, **self._tally.unused()}
        now, waited = time.monotonic(), self._waited
        wait = round(waited / max(now - self._logged, 1e-9), 4)
        self._logged, self._waited = now, 0.0
        losses = self._window.close(means)
        return {**self._position(), "data_wait": wait, "lr": rate, **losses, "codebook": codebook}

    def _position(self) -> dict[str, Any]:
        """The epoch of a line counts from 1 and is the one its step belongs to."""
        epoch = (self.step - 1) // self.plan.steps_per_epoch + 1
        return {"step": self.step, "epoch": epoch, "seconds": round(self.seconds, 3)}

    def _stop_signal(self, stop: StopRequest, logged: bool) -> int | None:
        """The signal to leave on. Several ranks compare notes at log steps, so that all leave together."""
        if self._accelerator.num_processes == 1:
            return stop.received
        if not logged:
            return None
        received = torch.tensor(float(stop.received or 0), device=self._accelerator.device)
        return int(self._accelerator.gather(received).max()) or None

    def _save(self) -> Path:
        """Write a checkpoint, then remove the oldest ones beyond those to keep."""
        self._trainer.guard.check()
        folder = checkpoint_folder(self._run, self.step)
        if self._accelerator.is_main_process:
            state, groups = self._state()
            with atomic_directory(folder) as scratch:
                write_model(self._trainer.method, scratch, extra={"step": self.step, "data": state.data})
                write_state(scratch, state, groups)
                write_sums(scratch)
            prune(self._run, self._config.training.keep_checkpoints)
        self._accelerator.wait_for_everyone()
        self._trainer.guard.checkpoint = folder
        return folder

    def _state(self) -> tuple[TrainingState, TensorGroups]:
        random_tensors, random_values = randomness.capture()
        window_tensors, window_values = self._window.state()
        scaler = self._accelerator.scaler
        state = TrainingState(
            step=self.step,
            seconds=self.seconds,
            config=self._config.model_dump(mode="json"),
            data=self._store.fingerprint,
            random=random_values,
            window=window_values,
            scaler=None if scaler is None else scaler.state_dict(),
        )
        return state, {
            "random": random_tensors,
            "window": window_tensors,
            "tally": self._tally.state(),
            "regularizers": self._trainer.regularizers.state_dict(),
            **self._trainer.optimizers.state(),
        }


def _figures(entry: dict[str, Any]) -> str:
    """Total loss, the sum of each kind of term, and how many codes of each code layer are in use."""
    kinds: dict[str, float] = {}
    for term, value in entry["loss"].items():
        kind = term.split("/")[0]
        kinds[kind] = kinds.get(kind, 0.0) + value
    losses = [f"{kind} {value:.4g}" for kind, value in kinds.items()]
    codes = [f"{key} {value:.4g}" for key, value in entry["codebook"].items() if key.endswith("/active")]
    return ", ".join((*losses, *codes))
