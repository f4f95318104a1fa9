"""From a trained model and clips to what each code of a code layer stands for."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from unicode_cmg.batch import FeatureBatch
from unicode_cmg.checkpoints.tensors import state_fingerprint
from unicode_cmg.codebook.usage import perplexity_of_counts
from unicode_cmg.data.labelled import Clips, LabelledClips, classes_of
from unicode_cmg.data.layouts.avvp import EventClips, clip_id
from unicode_cmg.encoding import CodeBatch, common_modalities, iterate_codes, layer_codes
from unicode_cmg.encoding.stream import encode_batches
from unicode_cmg.errors import InputError, unknown
from unicode_cmg.files import atomic_file, check_writable, csv_cell
from unicode_cmg.inspect.codes.classes import ClassCounter
from unicode_cmg.inspect.codes.codes_json import (
    CodeByClass,
    CodeEntry,
    DescribedCodes,
    EventReadings,
    LabelledSteps,
    ModalityUse,
    NearStep,
    SimilarCode,
    WordCount,
)
from unicode_cmg.inspect.codes.nearest import NearestSteps, WordCounter, similar_codes, words_at
from unicode_cmg.inspect.codes.readings import read_own
from unicode_cmg.inspect.codes.specific import probe_specific
from unicode_cmg.inspect.codes.usage import KINDS, UNUSED, Sharing, UsageCounter, sharing_of
from unicode_cmg.model import Model

CODES_FOLDER, CODES_JSON, CODES_TABLE, CODES_PICTURE = "codes", "codes.json", "codes.csv", "codes.png"
_MOST_WORDS = 8
_DIGITS = 4  # of distances and cosines


def codes_folder(checkpoint: Path) -> Path:
    """Where the codes of a run are written, and where the report looks for them.

    Raises:
        InputError: `checkpoint` is not the folder of a run.
    """
    if not (checkpoint / "config.yaml").is_file():
        raise InputError(
            "this is no folder of a run", where=checkpoint, fix="say with --to which folder to write"
        )
    return checkpoint / CODES_FOLDER


def describe_codes(
    model: Model,
    clips: Clips,
    *,
    code_layer: str | None = None,
    modalities: Sequence[str] | None = None,
    level: str | None = None,
    raw: bool = False,
    nearest: int = 5,
    events: EventClips | None = None,
    progress: bool | None = False,
) -> DescribedCodes:
    """Who uses which code (FCID paper, section 5.2, figures 6 and 7), and what lies near it.

    The clips are streamed; memory does not grow with their number, but for a few numbers a step if they have
    labels. A code layer without a codebook is streamed twice, first to see which codes occur and what their
    vectors are.

    Args:
        model: A trained method.
        clips: A feature store, or `LabelledClips`, with at least one modality of the model.
        code_layer: One of `model.code_layers()`; the first by default.
        modalities: Which to look at; by default all that model and clips have in common.
        level: How fine the codes are, of a model that offers a choice.
        raw: Take a code's shares of raw counts. By default they are corrected for the number of steps of each
            modality: if all had as many, which part of the code's uses would be whose.
        nearest: How many steps to list for each code and modality, and how many similar codes.
        events: Clips with several classes of events, to see which one the code of a second names; of the
            split of `clips`.
        progress: True for a bar, False for nothing, None for a bar on a terminal and plain lines elsewhere.

    Raises:
        InputError: A name is unknown, or features and model do not fit.
    """
    layers = model.code_layers()
    name = next(iter(layers)) if code_layer is None else code_layer
    if name not in layers:
        raise unknown("code layer", name, layers)
    names = common_modalities(model, clips, modalities)

    def stream() -> Iterator[CodeBatch]:
        return iterate_codes(model, clips, modalities=names, level=level, progress=progress)

    seen = _SeenCodes(_code_layer(model, name, stream()), clips, names, nearest)
    for batch in stream():
        seen.add(batch)
    split = clips.split if isinstance(clips, LabelledClips) else "test"
    position = list(layers).index(name)
    return DescribedCodes(
        method=model.name,
        checkpoint=state_fingerprint(model),
        features=clips.fingerprint,
        clips=len(clips),
        code_layer=name,
        level=level,
        num_codes=layers[name],
        merged=model.merged.get(name),
        shares="raw" if raw else "per step",
        events=None if events is None else _read_events(model, events, split, position, level),
        specific=probe_specific(model, clips, code_layer=position, modalities=names, level=level),
        **seen.described(nearest, raw),
    )


def _read_events(
    model: Model, events: EventClips, split: str, code_layer: int, level: str | None
) -> EventReadings:
    """Which class the codes of seconds name where a clip has several."""
    readings = {}
    for modality in (m for m in model.modalities if m in events.rows):
        clips = events.rows[modality]
        rows = np.array([i for i, clip in enumerate(clips) if clip.filename in events.splits[split]])

        def read(some: Int64[np.ndarray, " batch"], modality: str = modality) -> FeatureBatch:
            return FeatureBatch.of({modality: torch.from_numpy(events.features(modality, some))})

        files = {modality: events.feature_folders[modality]}
        batches = encode_batches(model, rows.astype(np.int64), read, files=files, level=level)
        codes = [batch.encodings[modality].indices[..., code_layer].cpu().numpy() for batch in batches]
        if codes and codes[0].shape[1] == events.labels[modality].shape[1]:  # not one code for a clip
            present = events.labels[modality][rows, :, :-1] > 0
            found = read_own(np.concatenate(codes), present, [clip_id(clips[row].filename) for row in rows])
            if found is not None:
                readings[modality] = found
    return EventReadings(split=split, classes=events.classes, readings=readings)


@dataclass(frozen=True)
class _CodeLayer:
    """The codes of one code layer that are looked at: all of a codebook, else those that occur.

    Attributes:
        position: Its place in `Encoding.indices`.
        num_codes: H, how many codes the code layer has.
        numbers: `[U]` the codes looked at, ascending.
        vectors: `[U, D]` their codewords.
    """

    position: int
    num_codes: int
    numbers: Int64[Tensor, " codes"]
    vectors: Float[Tensor, "codes dim"]


def _code_layer(model: Model, name: str, batches: Iterable[CodeBatch]) -> _CodeLayer:
    """The code layer of that name; `batches` are only asked for where it has no codebook."""
    sizes = model.code_layers()
    position, codebook = list(sizes).index(name), model.codebooks().get(name)
    if codebook is not None:
        every = torch.arange(sizes[name], device=codebook.device)
        return _CodeLayer(position, sizes[name], every, codebook.detach())
    seen: dict[int, Tensor] = {}  # each code, with the vector it had where it was first seen
    for batch in batches:
        for modality, encoding in batch.encodings.items():
            mask = batch.masks[modality]
            vectors = layer_codes(encoding, position)[mask]
            numbers, first = np.unique(encoding.indices[..., position][mask].cpu().numpy(), return_index=True)
            for number, row in zip(numbers.tolist(), first.tolist(), strict=True):
                seen.setdefault(number, vectors[row])
    ordered = sorted(seen)
    stacked = torch.stack([seen[number] for number in ordered])
    return _CodeLayer(position, sizes[name], torch.tensor(ordered, device=stacked.device), stacked)


class _SeenCodes:
    """What is gathered while the codes of the clips pass by."""

    def __init__(self, layer: _CodeLayer, clips: Clips, names: Sequence[str], nearest: int) -> None:
        self._layer, self._clips = layer, clips
        known = classes_of(clips)
        self._by_class = None if known is None else ClassCounter(known, clips.ids, names)
        # the steps of a sentence are its words, which happen at no particular moment
        self._worded = [
            m for m in names if m in clips.tokenized or (m == "text" and isinstance(clips, LabelledClips))
        ]
        self._usage, self._in_events, self._in_background = (
            UsageCounter(names, layer.vectors, self._worded) for _ in range(3)
        )
        self._near = {m: NearestSteps(layer.vectors, nearest) for m in names}
        self._words = {m: WordCounter(clips, m, len(layer.numbers)) for m in names if m in clips.tokenized}
        self._steps: dict[str, int] = {}

    def add(self, batch: CodeBatch) -> None:
        """Take note of the next clips; codes are counted by their positions in `_CodeLayer.numbers`."""
        at, numbers = self._layer.position, self._layer.numbers
        codes = {
            m: torch.searchsorted(numbers, encoding.indices[..., at].contiguous())
            for m, encoding in batch.encodings.items()
        }
        self._usage.add(codes, batch.masks)
        if self._by_class is not None:
            events = {m: self._by_class.add(m, batch.rows, x, batch.masks[m]) for m, x in codes.items()}
            self._in_events.add(codes, events)
            others = {m: x if m in self._worded else batch.masks[m] & ~x for m, x in events.items()}
            self._in_background.add(codes, others)
        for m, encoding in batch.encodings.items():
            mask = batch.masks[m]
            self._steps[m] = mask.shape[1]
            clip, step = mask.nonzero(as_tuple=True)
            rows = torch.from_numpy(batch.rows).to(mask.device)[clip]
            keys = rows
            if m in self._words:
                words = self._words[m].add(codes[m].cpu().numpy(), mask.cpu().numpy())
                keys = rows if words is None else torch.from_numpy(words).to(mask.device)
            quantized = encoding.unquantized.chunk(encoding.indices.shape[-1], dim=-1)[at]
            self._near[m].add(rows * mask.shape[1] + step, keys, quantized[mask], codes[m][mask])

    def described(self, similar: int, raw: bool) -> dict[str, Any]:
        """The fields of the record that come from the codes."""
        counts = {m: n.numpy() for m, n in self._usage.counts().items()}
        sharing = sharing_of(counts, raw=raw)
        kinds = {kind: sharing.kinds.count(kind) for kind in KINDS}
        kinds[UNUSED] += self._layer.num_codes - len(self._layer.numbers)
        by_code: Sequence[CodeByClass | None] = [None] * len(sharing.kinds)
        purity, labels = dict[str, float](), None
        if self._by_class is not None:
            by_code, purity = self._by_class.result(len(by_code))
            known = self._by_class.known
            quiet = known.seconds is not None
            labels = LabelledSteps(
                split=known.split,
                classes=known.names,
                background=quiet,
                agreement=(self._in_events if quiet else self._usage).agreement(),
                background_agreement=self._in_background.agreement() if quiet else (),
                readings=self._by_class.readings(),
            )
        return {
            "kinds": kinds,
            "modalities": {m: _use(n, sharing, purity.get(m)) for m, n in counts.items()},
            "agreement": self._usage.agreement(),
            "labels": labels,
            "codes": self._entries(sharing, similar, by_code),
        }

    def _entries(
        self, sharing: Sharing, similar: int, by_code: Sequence[CodeByClass | None]
    ) -> tuple[CodeEntry, ...]:
        """One for each code of the code layer, in their order."""
        counts = {m: n.tolist() for m, n in self._usage.counts().items()}
        near = {m: self._near_steps(m) for m in self._near}
        others, cosines = (values.tolist() for values in similar_codes(self._layer.vectors, similar))
        numbers = self._layer.numbers.tolist()
        return tuple(
            CodeEntry(
                code=number,
                kind=sharing.kinds[u],
                counts={m: n[u] for m, n in counts.items()},
                shares=dict(zip(counts, sharing.parts[u].round(_DIGITS).tolist(), strict=True)),
                nearest={m: steps[u] for m, steps in near.items()},
                words={
                    m: tuple(WordCount(word=word, steps=n) for word, n in counter.telling(u, _MOST_WORDS))
                    for m, counter in self._words.items()
                },
                similar=tuple(
                    SimilarCode(code=numbers[other], cosine=round(cosine, _DIGITS))
                    for other, cosine in zip(others[u], cosines[u], strict=True)
                ),
                by_class=by_code[u],
            )
            for u, number in enumerate(numbers)
        )

    def _near_steps(self, modality: str) -> list[tuple[NearStep, ...]]:
        """The steps near each codeword, with their words."""
        near, steps, ids = self._near[modality], self._steps[modality], self._clips.ids
        numbers, distances, chose = (values.T.tolist() for values in (near.number, near.distance, near.chose))
        places = {divmod(number, steps) for column in numbers for number in column if number >= 0}
        words = words_at(self._clips, modality, places, steps) if modality in self._words else {}
        return [
            tuple(
                NearStep(
                    clip=ids[number // steps],
                    step=number % steps,
                    distance=round(distance, _DIGITS),
                    chosen=chosen,
                    word=words.get(divmod(number, steps)),
                )
                for number, distance, chosen in zip(*column, strict=True)
                if number >= 0
            )
            for column in zip(numbers, distances, chose, strict=True)
        ]


def _use(counts: Int64[np.ndarray, " codes"], sharing: Sharing, purity: float | None) -> ModalityUse:
    steps, kinds = int(counts.sum()), np.array(sharing.kinds)
    return ModalityUse(
        steps=steps,
        codes=int((counts > 0).sum()),
        perplexity=float(perplexity_of_counts(torch.from_numpy(counts))),
        kinds={kind: float(counts[kinds == kind].sum() / steps) for kind in KINDS if kind != UNUSED},
        purity=purity,
    )


def write_codes(model: Model, clips: Clips, to: str | Path, **options: Any) -> DescribedCodes:
    """Describe the codes of a model, and write `codes.json`, `codes.csv` and `codes.png`.

    docs/guide/codes.md describes the columns. Earlier files are replaced once all three new
    ones are complete, and not at all otherwise.

    Args:
        model: A trained method.
        clips: A feature store, or `LabelledClips`, with at least one modality of the model.
        to: The folder to write; the report looks into the folder `codes` of a run.
        options: Of `describe_codes`.

    Raises:
        InputError: As `describe_codes`; or the folder cannot be written.
    """
    from unicode_cmg.inspect.codes.picture import draw_codes  # matplotlib takes a second to import

    to = Path(to)
    if to.exists() and not to.is_dir():
        raise InputError("this is a file", where=to, expected="a folder to write")
    for name in (CODES_JSON, CODES_TABLE, CODES_PICTURE):
        if (to / name).is_dir():
            raise InputError("this is a folder", where=to / name, expected="a file to write")
        check_writable(to / name)
    codes = describe_codes(model, clips, **options)
    with ExitStack() as files:
        text, table, picture = (
            files.enter_context(atomic_file(to / name)) for name in (CODES_JSON, CODES_TABLE, CODES_PICTURE)
        )
        values = json.dumps(codes.to_json(), indent=1, ensure_ascii=False, allow_nan=False)
        text.write_text(f"{values}\n", "utf-8")
        with table.open("w", encoding="utf-8", newline="") as stream:
            rows = codes.rows()
            writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows({key: csv_cell(value) for key, value in row.items()} for row in rows)
        draw_codes(codes, picture)
    return codes
