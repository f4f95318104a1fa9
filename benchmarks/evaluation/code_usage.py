"""Who uses which code, for what: the bridge from numbers to meaning."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int64
from pydantic import Field

from benchmarks.evaluation.clip_codes import EncodedClips, encode_clips
from benchmarks.evaluation.layers import resolve_layers
from benchmarks.tasks.ave import AVETask
from unicode_cmg.config import Config
from unicode_cmg.data.layouts.ave import AVEData
from unicode_cmg.errors import InputError
from unicode_cmg.model import Model

_EXAMPLES = 4
_NO_CODE = -1


class Agreement(Config):
    """Whether two modalities choose the same code, or at least a similar one, where the event of a clip is.

    Agreement on the codes of silence and of an empty picture says nothing, so background seconds are left
    out. The expected values are those of two modalities with the same habits but blind to each other: a
    collapsed codebook agrees always, and is expected to. Modalities may well choose different codes that lie
    side by side in the codebook; heads then transfer all the same, and only the cosine shows why.
    """

    modalities: tuple[str, str]
    clips: float = Field(description="Share of clips whose most frequent code is the same.")
    clips_expected: float
    steps: float | None = Field(
        description="Share of seconds with the same code; none for text, which has none."
    )
    steps_expected: float | None
    cosine: float = Field(description="Mean cosine similarity of the average codewords of the same clip.")
    cosine_expected: float = Field(description="The same for different clips.")


class CodeUsage(Config):
    """Use of one code layer by the clips of one split.

    Steps of audio and video are seconds and carry the label of their second; steps of text are words about
    the whole clip and carry the label of the clip, as does the one code of a model that has one for a clip.
    """

    layer: str
    split: str
    classes: tuple[str, ...] = Field(description="The last column, background, is not among them.")
    num_codes: int
    clips: int
    counts: dict[str, tuple[int, ...]] = Field(description="Modality -> `[H]` valid steps on each code.")
    contingency: dict[str, tuple[tuple[int, ...], ...]] = Field(
        description="Modality -> `[H][C + 1]` valid steps on each code by class, background last."
    )
    purity: tuple[float | None, ...] = Field(
        description="`[H]` share of the most frequent class (or background) among all steps on a code."
    )
    mean_purity: dict[str, float] = Field(
        description="Modality -> share of its steps that bear the most frequent class its code has in it."
    )
    agreement: tuple[Agreement, ...]
    examples: dict[str, dict[int, tuple[tuple[int, int], ...]]] = Field(
        description="Modality -> code -> a few `(row, step)`, each of another clip."
    )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, values: Any, *, where: object = "code usage") -> CodeUsage:
        """The inverse of `to_json`.

        Raises:
            InputError: A key is missing, unknown or of the wrong type.
        """
        return cls.parse(values, where=where)


def code_usage(
    model: Model, data: AVEData | str | Path, split: str = "val", layer: str | None = None
) -> CodeUsage:
    """Encode the clips of a split and count.

    Args:
        model: A pretrained method.
        data: Data in the AVE layout, or its folder.
        split: `"train"`, `"val"` or `"test"`.
        layer: Which code layer; the first by default.

    Raises:
        InputError: The data is damaged or does not fit the model, or a name is unknown.
    """
    data = AVETask.read(Path(data)).data if isinstance(data, (str, Path)) else data
    known = model.code_layers()
    (layer,) = resolve_layers([next(iter(known)) if layer is None else layer], known)
    if split not in data.order:
        raise InputError(f"no split '{split}'", where=data.folder, expected=f"one of {', '.join(data.order)}")
    modalities = [m for m in model.modalities if m in data.modalities]
    if not modalities:
        raise InputError(
            f"the data has {', '.join(data.modalities)}, the model {', '.join(model.modalities)}",
            where=data.folder,
            expected="a common modality",
        )
    rows = np.sort(data.order[split])
    encoded = {m: encode_clips(model, m, rows, data.features, data.mask, layers=(layer,)) for m in modalities}
    codes = {m: _codes(clips) for m, clips in encoded.items()}
    labels = {m: _labels(data, m, rows, codes[m].shape[1]) for m in modalities}
    num_codes, classes = known[layer], len(data.classes)
    contingency = {m: _contingency(codes[m], labels[m], num_codes, classes + 1) for m in modalities}
    vectors = _vectors(encoded.values(), num_codes)
    together = sum(contingency.values(), np.zeros((num_codes, classes + 1), dtype=np.int64))
    return CodeUsage(
        layer=layer,
        split=split,
        classes=data.classes,
        num_codes=num_codes,
        clips=len(rows),
        counts={m: tuple(table.sum(axis=1).tolist()) for m, table in contingency.items()},
        contingency={m: tuple(map(tuple, table.tolist())) for m, table in contingency.items()},
        purity=tuple(float(t.max() / t.sum()) if t.any() else None for t in together),
        mean_purity={m: float(table.max(axis=1).sum() / table.sum()) for m, table in contingency.items()},
        agreement=tuple(
            _agreement(a, b, codes, labels, classes, vectors) for a, b in combinations(modalities, 2)
        ),
        examples={m: _examples(codes[m], labels[m] != classes, rows) for m in modalities},
    )


def _codes(clips: EncodedClips) -> Int64[np.ndarray, "clips time"]:
    """The code of each step; `_NO_CODE` where there is no step."""
    codes: Int64[np.ndarray, "clips time"] = clips.used[0][clips.indices[..., 0]].cpu().numpy()
    codes[~clips.mask.cpu().numpy()] = _NO_CODE
    return codes


def _vectors(encoded: Iterable[EncodedClips], num_codes: int) -> Float[np.ndarray, "codes dim"]:
    """The vectors of the codes in use; zero for those that are not, which nothing looks up."""
    tables = [(clips.used[0].cpu().numpy(), clips.tables[0].double().cpu().numpy()) for clips in encoded]
    vectors = np.zeros((num_codes, tables[0][1].shape[1]))
    for used, table in tables:
        vectors[used] = table
    return vectors


def _labels(
    data: AVEData, modality: str, rows: Int64[np.ndarray, " clips"], steps: int
) -> Int64[np.ndarray, "clips time"]:
    """The class of each step, background last; words and codes of whole clips have the class of the clip."""
    seconds = data.segment_labels(rows)
    if modality == "text" or steps != seconds.shape[1]:
        return np.repeat(data.clip_labels(rows)[:, None], steps, axis=1)
    return np.asarray(seconds.argmax(axis=-1), dtype=np.int64)


def _contingency(
    codes: Int64[np.ndarray, "clips time"],
    labels: Int64[np.ndarray, "clips time"],
    num_codes: int,
    columns: int,
) -> Int64[np.ndarray, "codes columns"]:
    valid = codes != _NO_CODE
    cells = np.bincount(codes[valid] * columns + labels[valid], minlength=num_codes * columns)
    return cells.reshape(num_codes, columns).astype(np.int64)


def _agreement(
    a: str,
    b: str,
    codes: dict[str, Int64[np.ndarray, "clips time"]],
    labels: dict[str, Int64[np.ndarray, "clips time"]],
    background: int,
    vectors: Float[np.ndarray, "codes dim"],
) -> Agreement:
    events = {m: (codes[m] != _NO_CODE) & (labels[m] != background) for m in (a, b)}
    steps = steps_expected = None
    if "text" not in (a, b):
        both = events[a] & events[b]
        steps, steps_expected = _same(codes[a][both], codes[b][both])
    modal = {m: _most_frequent(codes[m], events[m]) for m in (a, b)}
    known = (modal[a] != _NO_CODE) & (modal[b] != _NO_CODE)
    clips, clips_expected = _same(modal[a][known], modal[b][known])
    cosine, cosine_expected = _cosine(*(_average(codes[m][known], events[m][known], vectors) for m in (a, b)))
    return Agreement(
        modalities=(a, b),
        clips=clips,
        clips_expected=clips_expected,
        steps=steps,
        steps_expected=steps_expected,
        cosine=cosine,
        cosine_expected=cosine_expected,
    )


def _same(x: Int64[np.ndarray, " n"], y: Int64[np.ndarray, " n"]) -> tuple[float, float]:
    """Share of equal pairs, and the share to expect if each were drawn from its own values independently."""
    size = int(max(x.max(initial=0), y.max(initial=0))) + 1
    n = max(len(x), 1)
    expected = (np.bincount(x, minlength=size) / n) @ (np.bincount(y, minlength=size) / n)
    return float((x == y).sum() / n), float(expected)


def _average(
    codes: Int64[np.ndarray, "clips time"],
    valid: Bool[np.ndarray, "clips time"],
    vectors: Float[np.ndarray, "codes dim"],
) -> Float[np.ndarray, "clips dim"]:
    """Direction of the average codeword of each clip, as a unit vector."""
    average = (vectors[codes] * valid[..., None]).sum(axis=1)
    norms = np.linalg.norm(average, axis=1, keepdims=True)
    return np.asarray(np.divide(average, norms, out=np.zeros_like(average), where=norms > 0))


def _cosine(x: Float[np.ndarray, "clips dim"], y: Float[np.ndarray, "clips dim"]) -> tuple[float, float]:
    """Mean cosine of the rows of x with the same rows of y, and with all other rows."""
    same, count = float((x * y).sum()), len(x)
    other = float(x.sum(axis=0) @ y.sum(axis=0)) - same
    return same / max(count, 1), other / max(count * (count - 1), 1)


def _most_frequent(
    codes: Int64[np.ndarray, "clips time"], valid: Bool[np.ndarray, "clips time"]
) -> Int64[np.ndarray, " clips"]:
    """The most frequent code of each clip, the smallest of equals; `_NO_CODE` without a valid step."""
    repeats = ((codes[:, :, None] == codes[:, None, :]) & valid[:, None, :]).sum(axis=2) * valid
    candidates = np.where(repeats == repeats.max(axis=1, keepdims=True), codes, np.iinfo(np.int64).max)
    return np.where(valid.any(axis=1), candidates.min(axis=1), _NO_CODE)


def _examples(
    codes: Int64[np.ndarray, "clips time"],
    events: Bool[np.ndarray, "clips time"],
    rows: Int64[np.ndarray, " clips"],
) -> dict[int, tuple[tuple[int, int], ...]]:
    """A few places of each code, among events where it occurs in any."""
    examples = {}
    for code in np.unique(codes[codes != _NO_CODE]).tolist():
        here = codes == code
        here = here & events if (here & events).any() else here
        clips = np.flatnonzero(here.any(axis=1))
        spread = clips[np.unique(np.linspace(0, len(clips) - 1, _EXAMPLES).astype(np.int64))]
        examples[code] = tuple((int(rows[clip]), int(here[clip].argmax())) for clip in spread)
    return examples
