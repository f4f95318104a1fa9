"""Which clips each step sees, and reading them ahead of it."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Int64

from unicode_cmg.batch import FeatureBatch
from unicode_cmg.data.ahead import map_ahead
from unicode_cmg.data.store import FeatureStore
from unicode_cmg.errors import InputError, unknown
from unicode_cmg.ranks import Share
from unicode_cmg.training.config import PretrainConfig
from unicode_cmg.training.presence import Presence
from unicode_cmg.training.randomness import epoch_order, subset


@dataclass(frozen=True)
class BatchPlan:
    """How the clips of each epoch fall into steps and ranks; a function of the seed, without state.

    Attributes:
        clips: Clips to train on.
        batch_size: Clips per step over all ranks.
        drop_last: Leave out the last, smaller batch of an epoch.
        seed: Seed of the order.
        ranks: Processes that share each batch.
        rank: Which of them this one is.
        among: Clips of the data set that those to train on are drawn from; None: all are trained on.
        rows: Where these clips are in the store; None: at its start.
    """

    clips: int
    batch_size: int
    drop_last: bool
    seed: int
    ranks: int = 1
    rank: int = 0
    among: int | None = None
    rows: Int64[np.ndarray, " rows"] | None = None

    @classmethod
    def of(
        cls,
        config: PretrainConfig,
        clips: int,
        *,
        ranks: int = 1,
        rank: int = 0,
        rows: Int64[np.ndarray, " rows"] | None = None,
    ) -> BatchPlan:
        """The plan of a configuration for a store of some clips, or for some of its rows.

        Raises:
            InputError: An epoch would have no step.
        """
        training = config.training
        clips = clips if rows is None else len(rows)
        among = min(clips, config.data.limit or clips)
        clips = max(1, round(among * config.data.fraction))
        plan = cls(clips, training.batch_size, training.drop_last, training.seed, ranks, rank, among, rows)
        if plan.steps_per_epoch == 0:
            raise InputError(
                f"the batch size is {training.batch_size}, but there are {clips} clips",
                where=config.data.store,
                expected=f"a training.batch_size of at least {ranks} and at most {clips}",
                fix="lower training.batch_size, or set training.drop_last to false",
            )
        return plan

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch; none if some rank would have no clip of a full batch."""
        full, rest = divmod(self.clips, self.batch_size)
        if self.batch_size < self.ranks:
            return 0
        return full + (rest > 0 and not self.drop_last)

    def clips_of(self, step: int) -> int:
        """Clips of a step over all ranks."""
        return min(self.batch_size, self.clips - step % self.steps_per_epoch * self.batch_size)

    def indices(self, step: int) -> Int64[np.ndarray, " rows"]:
        """Clips that this rank sees in a step, counted from 0 over all epochs; -1 is a row without a clip."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = epoch_order(self.seed, epoch, self.clips)
        share = Share(self.clips_of(step), self.ranks, self.rank)
        first = position * self.batch_size + share.first
        rows = np.full(share.rows, -1)
        rows[: share.count] = self.all_clips()[order[first : first + share.count]]
        return rows

    def all_clips(self) -> Int64[np.ndarray, " clips"]:
        """The clips that an epoch sees, over all ranks."""
        if self.among is not None and self.clips < self.among:
            chosen = subset(self.seed, self.among, self.clips)
        else:
            chosen = np.arange(self.clips)
        return chosen if self.rows is None else self.rows[chosen]


def rows_of_split(store: FeatureStore, names: Sequence[str]) -> Int64[np.ndarray, " rows"]:
    """The clips whose column `split` has one of these values, in the order of the store.

    Raises:
        InputError: The store has no such column, or no clip has one of the values.
    """
    values = store.columns.get("split")
    if values is None:
        raise InputError(
            "no column 'split', which data.split reads",
            where=store.path,
            expected="a column of the clips with the name of a split",
            fix="import the features with a --labels file that has such a column, or leave data.split out",
        )
    known = sorted(set(values))
    for name in names:
        if name not in known:
            raise unknown("split", name, known, where=f"{store.path}: data.split")
    return np.flatnonzero([value in names for value in values])


def read_ahead(
    store: FeatureStore,
    chunks: Iterable[Int64[np.ndarray, " clips"]],
    modalities: Sequence[str],
    device: torch.device,
    presence: Presence | None = None,
) -> Generator[FeatureBatch, None, None]:
    """Batches of float32 features on `device`; threads read the next ones while this one is used.

    For a GPU they are read as they are stored, into pinned memory, and become float32 there.

    Args:
        store: The features.
        chunks: The clips of each batch; -1 stands for a row without a clip, which has no modality.
        modalities: Which to read.
        device: Where they go.
        presence: What the settings leave out of them; None leaves nothing out.

    Raises:
        InputError: A value in the store is not finite.
    """
    cuda = device.type == "cuda"

    def read(indices: Int64[np.ndarray, " clips"]) -> FeatureBatch:
        batch = store.batch(
            np.maximum(indices, 0), modalities=modalities, dtype=None if cuda else torch.float32, pinned=cuda
        )
        if indices.min(initial=0) < 0:
            clips = torch.from_numpy(indices >= 0).unsqueeze(1)
            batch = replace(batch, masks={m: mask & clips for m, mask in batch.masks.items()})
        return batch if presence is None else presence.reduce(batch, indices)

    with closing(map_ahead(read, chunks)) as batches:
        for batch in batches:
            yield batch.to(device, torch.float32)
