"""What the features reach without a codebook: linear probes, and ridge regression between modalities.

Everything is trained on the training stamps, its one strength (of the penalty) is chosen on the validation
stamps, and it is measured on the test stamps, all of the same store as the codebooks.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from copy import copy
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from unicode_cmg.data import FeatureStore

Array = NDArray[np.float64]
_PENALTIES = 10.0 ** np.arange(1, 6.1, 0.5)
_INVERSE = 10.0 ** np.arange(-4, 0.1, 1.0)  # of the penalty of a probe


class Features:
    """The features of a store averaged over the valid steps and standardized by the training clips.

    Attributes:
        values: Modality -> `[clips, channels]`, zeros where a clip lacks it.
        there: Modality -> `[clips]` whether it has it.
        columns: Columns of the store as arrays.
    """

    def __init__(self, store: FeatureStore, modalities: Sequence[str]) -> None:
        self.columns = {name: np.array(values) for name, values in store.columns.items()}
        self.there = {m: store.present[m] for m in modalities}
        self.values: dict[str, Array] = {}
        train = self.columns["split"] == "train"
        for m in modalities:
            batch = store.batch(np.arange(len(store)), modalities=[m])
            mask = batch.masks[m].numpy()[..., None]
            mean = (batch.features[m].numpy() * mask).sum(1) / np.maximum(mask.sum(1), 1)
            known = mean[train & self.there[m]].astype(np.float64)
            scaled = (mean - known.mean(0)) / np.maximum(known.std(0), 1e-6)
            self.values[m] = np.where(self.there[m][:, None], scaled, 0.0)

    def only(self, language: str) -> Features:
        """The same with the clips in one language alone."""
        other = copy(self)
        spoken = self.columns["language"] == language
        other.there = {m: there & spoken for m, there in self.there.items()}
        return other

    def rows(self, column: str, split: str, *modalities: str) -> NDArray[np.int64]:
        """Clips of a split by one of the columns that have all of these modalities."""
        chosen = self.columns[column] == split
        for m in modalities:
            chosen = chosen & self.there[m]
        return np.flatnonzero(chosen)


def baselines(features: Features, languages: Sequence[str]) -> dict[str, Any]:
    """All of them, in percent, in the form in which they are saved.

    A linear map cannot tell languages apart, so everything is also fitted for each language alone.

    Returns:
        `together` and `apart`, the latter with a map and a probe for each language and averaged over the test
        clips: `probes`: modality -> accuracy of its own linear probe. `transfer`: `A->B` -> accuracy of the
        probe of A on what ridge regression makes of B. `retrieval`: language -> `A->B` -> R@10 among the B of
        what ridge regression makes of A. Beside them `searched`: language -> stamps that are searched, and
        `majority`: the share of the most frequent class.
    """
    labels, modalities = features.columns["label"], tuple(features.values)
    test = labels[_labelled(features, "test", modalities[0])]
    parts = {language: _fitted(features.only(language), [language]) for language in languages}
    weights = [part["clips"] for part in parts.values()]

    def mean(kind: str, key: str) -> float:
        return float(np.average([part[kind][key] for part in parts.values()], weights=weights))

    one = next(iter(parts.values()))
    return {
        "together": _fitted(features, languages),
        "apart": {
            **{kind: {key: mean(kind, key) for key in one[kind]} for kind in ("probes", "transfer")},
            "retrieval": {language: part["retrieval"][language] for language, part in parts.items()},
        },
        "searched": {each: len(features.rows(f"search_{each}", "test", *modalities)) for each in languages},
        "majority": 100 * max(Counter(test.tolist()).values()) / len(test),
    }


def _fitted(features: Features, languages: Sequence[str]) -> dict[str, Any]:
    """Probes and maps that are fitted on all of these clips."""
    modalities, labels = tuple(features.values), features.columns["label"]
    searches = {language: f"search_{language}" for language in languages}
    probes = {m: _probe(features, m) for m in modalities}
    accuracy, transfer = {}, {}
    retrieval: dict[str, dict[str, float]] = {language: {} for language in languages}
    for m, probe in probes.items():
        test = _labelled(features, "test", m)
        accuracy[m] = _accuracy(probe, features.values[m][test], labels[test])
    for source, target in permutations(modalities, 2):
        weights = _ridge(features, source, target, list(searches.values()))
        for language, column in searches.items():
            rows = features.rows(column, "test", source, target)
            made = features.values[source][rows] @ weights
            retrieval[language][f"{source}->{target}"] = recall(made, features.values[target][rows])
        test = _labelled(features, "test", source)  # what a probe of `target` reads is made of `source`
        made = features.values[source][test] @ weights
        transfer[f"{target}->{source}"] = _accuracy(probes[target], made, labels[test])
    clips = len(_labelled(features, "test", modalities[0]))
    return {"probes": accuracy, "transfer": transfer, "retrieval": retrieval, "clips": clips}


def recall(found: Array, candidates: Array, k: int = 10) -> float:
    """Percent of rows whose own candidate is among the k most similar by cosine."""
    found = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
    candidates = candidates / np.maximum(np.linalg.norm(candidates, axis=1, keepdims=True), 1e-12)
    table = found @ candidates.T
    return 100 * float(np.mean((table > np.diag(table)[:, None]).sum(1) < k))


def _accuracy(probe: LogisticRegression, values: Array, labels: NDArray[np.str_]) -> float:
    return 100 * float(np.mean(probe.predict(values) == labels))


def _labelled(features: Features, split: str, modality: str) -> NDArray[np.int64]:
    rows = features.rows("split", split, modality)
    return rows[features.columns["label"][rows] != ""]


def _probe(features: Features, modality: str) -> LogisticRegression:
    """The classifier with the penalty that is best on validation clips; repeated features count once."""
    train, val = (
        _distinct(features, _labelled(features, split, modality), modality) for split in ("train", "val")
    )
    values, labels = features.values[modality], features.columns["label"]
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for inverse in _INVERSE:
            probe = LogisticRegression(C=inverse, max_iter=200).fit(values[train], labels[train])
            found.append((probe.score(values[val], labels[val]), inverse, probe))
    return max(found, key=lambda each: each[0])[2]


def _distinct(features: Features, rows: NDArray[np.int64], modality: str) -> NDArray[np.int64]:
    first = np.unique(features.values[modality][rows].round(4), axis=0, return_index=True)[1]
    return rows[np.sort(first)]


def _ridge(features: Features, source: str, target: str, searches: Sequence[str]) -> Array:
    """`[source channels, target channels]`, with the penalty of the best mean R@10 on validation clips."""
    train = features.rows("split", "train", source, target)
    x, y = features.values[source][train], features.values[target][train]
    both, cross = x.T @ x, x.T @ y
    level, turn = np.linalg.eigh(both)
    turned = turn.T @ cross
    best, chosen = -1.0, np.zeros_like(cross)
    for penalty in _PENALTIES:
        weights = turn @ (turned / (np.maximum(level, 0) + penalty)[:, None])
        found = []
        for column in searches:
            rows = features.rows(column, "val", source, target)
            if len(rows):
                found.append(recall(features.values[source][rows] @ weights, features.values[target][rows]))
        if np.mean(found) > best:
            best, chosen = float(np.mean(found)), weights
    return chosen
