"""The loop over steps: logging, validation, checkpoints, and leaving when asked to."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from unicode_cmg.checkpoints.folders import checkpoint_folder
from unicode_cmg.checkpoints.native import WEIGHTS_FILE, write_model
from unicode_cmg.checkpoints.tensors import load_exactly, read_tensors
from unicode_cmg.data.store import FeatureStore
from unicode_cmg.errors import InputError
from unicode_cmg.files import atomic_directory
from unicode_cmg.regularizers.attached import columns
from unicode_cmg.training import randomness
from unicode_cmg.training.batches import BatchPlan, read_ahead
from unicode_cmg.training.config import PretrainConfig
from unicode_cmg.training.errors import Interrupted
from unicode_cmg.training.metrics import MetricsLog
from unicode_cmg.training.progress import Progress
from unicode_cmg.training.run_folder import check_unchanged, prune
from unicode_cmg.training.schedule import learning_rate
from unicode_cmg.training.signals import StopRequest
from unicode_cmg.training.state import (
    REGULARIZERS,
    TrainingState,
    above,
    below,
    optimizer_tensors,
    read_state,
    restore_optimizer,
    write_state,
)
from unicode_cmg.training.trainer import Trainer
from unicode_cmg.training.validation import validation_losses
from unicode_cmg.training.window import Window


class Loop:
    """Trains from wherever the state stands to the end of the last epoch.

    Args:
        config: The run's configuration.
        run: The run's folder.
        trainer: Method and optimizers.
        accelerator: Device, precision and ranks.
        store: Training data.
        val_store: Held-out data, or None.

    Attributes:
        step: Steps done.
        total: Steps of the whole run.
    """

    def __init__(
        self,
        config: PretrainConfig,
        run: Path,
        trainer: Trainer,
        accelerator: Accelerator,
        store: FeatureStore,
        val_store: FeatureStore | None,
    ) -> None:
        self.step = 0
        self._config, self._run, self._trainer, self._accelerator = config, run, trainer, accelerator
        self._store, self._val_store = store, val_store
        self._plan = BatchPlan.of(
            config, len(store), ranks=accelerator.num_processes, rank=accelerator.process_index
        )
        self.total = config.training.epochs * self._plan.steps_per_epoch
        self._columns = columns(config.regularizers)
        self._window = Window()
        self._trained_before, self._started = 0.0, time.monotonic()

    @property
    def seconds(self) -> float:
        """Time trained, over all processes that continued the run one after another."""
        return self._trained_before + time.monotonic() - self._started

    def restore(self, folder: Path) -> None:
        """Take model, optimizers, random states and position from a checkpoint.

        Raises:
            InputError: The run had other settings or other data, or a file is damaged.
        """
        state, tensors = read_state(folder)
        before = PretrainConfig.parse(
            state.config, where=folder
        )  # settings it did not know have their defaults
        check_unchanged(before.model_dump(mode="json"), self._config.model_dump(mode="json"), where=folder)
        if state.data != self._store.fingerprint:
            raise InputError(
                "the data changed since the run was started",
                where=self._store.path,
                fix="resume with the same feature store, or start a new run with another --to",
            )
        load_exactly(self._trainer.method, read_tensors(folder / WEIGHTS_FILE), where=folder / WEIGHTS_FILE)
        load_exactly(self._trainer.regularizers, below(REGULARIZERS, tensors), where=folder)
        for name, optimizer in self._trainer.optimizers.items():
            restore_optimizer(name, optimizer, tensors, where=folder)
        if self._accelerator.scaler is not None and state.scaler is not None:
            self._accelerator.scaler.load_state_dict(state.scaler)
        self._window.restore(below("window/", tensors), state.window, self._accelerator.device)
        randomness.restore(below("random/", tensors), state.random)
        self.step, self._trained_before = state.step, state.seconds
        self._trainer.guard.checkpoint = folder

    def train(self, log: MetricsLog | None, progress: Progress) -> None:
        """Run the remaining steps.

        Args:
            log: Where the metrics go; None on ranks that write nothing.
            progress: What to show meanwhile.

        Raises:
            Interrupted: SIGINT or SIGTERM arrived; a checkpoint was written.
            NonFiniteLoss: A loss or gradient became NaN or infinite.
        """
        training, plan = self._config.training, self._plan
        read = tuple(dict.fromkeys((*self._trainer.method.modalities, *self._columns)))
        chunks = (plan.indices(step) for step in range(self.step, self.total))
        self._started = time.monotonic()
        with (
            StopRequest() as stop,
            closing(read_ahead(self._store, chunks, read, self._accelerator.device)) as batches,
        ):
            for batch in batches:
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
                    step=self.step,
                    epoch=epoch,
                    lr=rate,
                    statistics=logged or ended,
                    share=self.step / self.total,
                )
                self._window.add(result.values)
                progress.advance()
                if result.statistics is not None:
                    entry = self._entry(rate, result.statistics)
                    progress.report(entry)
                    if log is not None:
                        log.write(entry)
                if self._val_store is not None and self.step % plan.steps_per_epoch == 0:
                    entry = self._validation_entry(self._val_store)
                    if log is not None:
                        log.write(entry)
                signal = self._stop_signal(stop, logged)
                if ended or signal or self.step % training.checkpoint_every == 0:
                    checkpoint = self._save()
                    if signal and not ended:
                        raise Interrupted(signal, step=self.step, checkpoint=checkpoint)

    def _entry(self, rate: float, statistics: dict[str, float]) -> dict[str, Any]:
        """The log line of this step; closes the window."""
        self._trainer.guard.check()
        means = self._accelerator.reduce(self._window.means(), reduction="mean")
        return {**self._position(), "lr": rate, **self._window.close(means), "codebook": statistics}

    def _validation_entry(self, store: FeatureStore) -> dict[str, Any]:
        losses = validation_losses(
            self._trainer.method,
            self._trainer.regularizers,
            store,
            self._config,
            self._accelerator,
            self._columns,
        )
        return {**self._position(), "validation": losses}

    def _position(self) -> dict[str, Any]:
        """The epoch of a line counts from 1 and is the one its step belongs to."""
        epoch = (self.step - 1) // self._plan.steps_per_epoch + 1
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
            state, tensors = self._state()
            with atomic_directory(folder) as scratch:
                write_model(self._trainer.method, scratch, extra={"step": self.step, "data": state.data})
                write_state(scratch, state, tensors)
            prune(self._run, self._config.training.keep_checkpoints)
        self._accelerator.wait_for_everyone()
        self._trainer.guard.checkpoint = folder
        return folder

    def _state(self) -> tuple[TrainingState, dict[str, torch.Tensor]]:
        epoch, batch = divmod(self.step, self._plan.steps_per_epoch)
        random_tensors, random_values = randomness.capture()
        window_tensors, window_values = self._window.state()
        scaler = self._accelerator.scaler
        tensors = {
            **above("random/", random_tensors),
            **above("window/", window_tensors),
            **above(REGULARIZERS, self._trainer.regularizers.state_dict()),
        }
        for name, optimizer in self._trainer.optimizers.items():
            tensors |= optimizer_tensors(name, optimizer)
        state = TrainingState(
            step=self.step,
            epoch=epoch,
            batch=batch,
            seconds=self.seconds,
            config=self._config.model_dump(mode="json"),
            data=self._store.fingerprint,
            random=random_values,
            window=window_values,
            scaler=None if scaler is None else scaler.state_dict(),
        )
        return state, tensors
