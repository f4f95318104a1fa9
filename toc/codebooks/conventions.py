"""Codebooks among the tensors of a model: recognised by key and number of axes, named by position."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from toc.codebooks.evidence import Tensors, by_structure, effective
from toc.codebooks.files import Stored


@dataclass(frozen=True)
class Convention:
    """How a library or model stores codebooks.

    Attributes:
        kind: The library or model that stores codebooks so.
        key: A pattern of the whole key; its group `place` is the path to the codebook.
        axes: Numbers of axes that the tensor can have; of three, the first counts codebooks.
        stacked: Whether these are the layers of a residual stack; otherwise they are the heads of one layer.
        usage: Name of a neighbouring tensor with the number of uses of each code. The tensor then holds sums,
            and the codebook is their mean.
    """

    kind: str
    key: re.Pattern[str]
    axes: tuple[int, ...] = (2,)
    stacked: bool = False
    usage: str = ""


@dataclass(frozen=True, eq=False)
class FoundCodebook:
    """A codebook of a file, not read yet.

    Attributes:
        name: A short name such as `layer0`, the layer of a native checkpoint, or the key.
        key: Key of the tensor that holds it; `KEY.0`, `KEY.1`, ... where it holds several.
        kind: Whose way to store codebooks it is, such as `EnCodec`; `array` if it goes by its key.
        codes: Its shape `[H, D]`, its type, and how to read it.
    """

    name: str
    key: str
    kind: str
    codes: Stored

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        values: dict[str, Any] = {
            "name": self.name,
            "shape": list(self.codes.shape),
            "dtype": self.codes.dtype,
            "kind": self.kind,
            "key": self.key,
        }
        return values | ({"refused": self.codes.refused} if self.codes.refused else {})


def _ending(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?P<place>(?:.*\.)?){pattern}")


CONVENTIONS = (
    Convention("vector-quantize-pytorch", _ending(r"_codebook\.embed"), axes=(3,)),
    Convention("EnCodec", _ending(r"_?codebook\.embed")),
    Convention("Mimi", _ending(r"_?codebook\.embed(?:ding)?_sum"), usage="cluster_usage"),
    Convention("DAC", _ending(r"codebook\.weight")),
    Convention("VQGAN", re.compile(r"(?P<place>(?:.*\.)?\w*(?:quantiz|vq)\w*\.)_?embeddings?\.weight")),
    Convention("SimVQ", _ending(r"frozen_codebook")),
    Convention("wav2vec 2.0", _ending(r"(?:codevectors|quantizer\.vars)"), axes=(3,)),
    Convention("released CMG", _ending(r"Cross_quantizer(?:_coarse)?\.embedding"), axes=(2, 3), stacked=True),
)
"""The first that matches applies. The image tokenizers of Chameleon, Emu3 and Janus are stored as VQGAN's."""

_LIKE_CODES = re.compile(r"code_?(?:book|word|vector)|(?:quantiz|vq).*embed|embed.*(?:quantiz|vq)")
_QUANTIZER = re.compile(r"(?<=\w)_(?:residual_)?(?:vector_)?(?:quantizer|quantize|vq)$")
_UNLIKE_CODES = re.compile(r"proj|avg|ema|sum|count|usage|norm|bias|frozen|transform")


def recognise(tensors: Tensors) -> list[FoundCodebook]:
    """The codebooks of a file, in counting order; one that several layers share is listed once.

    They are of a known convention, or told by their neighbours (`toc.codebooks.evidence`).
    """
    parts: list[tuple[str, str, Stored]] = []
    places: list[tuple[tuple[str, ...], str]] = []
    memories = set()
    for key, stored in tensors.items():
        kind, place, stacked, matrices = _read_as(key, tensors)
        if not matrices:
            continue
        if stored.memory is None or stored.memory not in memories:
            single = len(matrices) == 1
            for at, matrix in enumerate(matrices):
                parts.append((key if single else f"{key}.{at}", kind, matrix))
                layer = ("layers", str(at)) if stacked and not single else ()
                places.append(((*place, *layer), "" if single or stacked else f"head{at}"))
        memories.add(stored.memory)
    names = _short_names(places)
    if len(set(names)) < len(names):
        names = [key for key, _, _ in parts]
    found = [FoundCodebook(name, *part) for name, part in zip(names, parts, strict=True)]
    return sorted(found, key=lambda codebook: _counting(codebook.name))


def _read_as(key: str, tensors: Tensors) -> tuple[str, tuple[str, ...], bool, list[Stored]]:
    """Kind, place, whether the codebooks are layers of a stack, and the codebooks of one tensor."""
    stored = tensors[key]
    for convention in CONVENTIONS:
        match = convention.key.fullmatch(key)
        if not match or not stored.floating or len(stored.shape) not in convention.axes:
            continue
        place = tuple(match["place"].rstrip(".").split(".")) if match["place"] else ()
        if not convention.usage:
            return convention.kind, place, convention.stacked, effective(key, tensors)
        usage = tensors.get(f"{key.rpartition('.')[0]}.{convention.usage}")
        if usage is not None and usage.shape == stored.shape[:1]:
            read = partial(_mean, stored, usage)
            return convention.kind, place, False, [Stored(stored.shape, stored.dtype, read)]
    kind = by_structure(key, tensors)
    words = tuple(key.removesuffix(".weight").split("."))
    if kind and words[-1].isdigit():
        return kind, words, False, effective(key, tensors)
    return kind, words[:-1], False, effective(key, tensors) if kind else []


def _mean(sums: Stored, usage: Stored) -> Float[np.ndarray, "codes dim"]:
    return mean_of_sums(sums.read(), usage.read())


def looks_like_codes(key: str, stored: Stored) -> bool:
    """Whether a tensor of no known convention may hold codebooks: real numbers under a typical name."""
    last = ".".join(key.lower().split(".")[-2:])
    return (
        stored.floating
        and len(stored.shape) in (2, 3)
        and stored.shape[-2] >= 2
        and _LIKE_CODES.search(key.lower()) is not None
        and _UNLIKE_CODES.search(last) is None
    )


def mean_of_sums(
    sums: Float[np.ndarray, "codes dim"], usage: Shaped[np.ndarray, " codes"]
) -> Float[np.ndarray, "codes dim"]:
    """The codebook of Mimi, which stores the sum of the vectors assigned to each code and its number of uses.

    Computed as in `MimiEuclideanCodebook` of transformers: numbers of uses below 1e-5 count as 1e-5. Half
    precision is converted to float32 first.
    """
    kind = np.promote_types(sums.dtype, np.float32)
    return np.asarray(sums.astype(kind) / np.maximum(usage.astype(kind), kind.type(1e-5))[:, None])


def by_key(key: str, tensors: Tensors) -> list[FoundCodebook]:
    """A tensor under its key; the matrices of one with three axes as `KEY.0`, `KEY.1`, ..."""
    stored = tensors[key]
    if len(stored.shape) not in (2, 3) or key.endswith(".weight"):
        return [FoundCodebook(key, key, "array", stored)]
    parts = effective(key, tensors)
    keys = [key] if len(stored.shape) == 2 else [f"{key}.{at}" for at in range(len(parts))]
    return [FoundCodebook(k, k, "array", matrix) for k, matrix in zip(keys, parts, strict=True)]


def _short_names(places: Sequence[tuple[tuple[str, ...], str]]) -> list[str]:
    """A name for each codebook of a file.

    A codebook is `layerN` if the model keeps it at position N of a list, and `layer0` if it is in no list. If
    there are several such lists, or several quantizers, the name begins with the words that tell them apart:
    `semantic.0`, `acoustic.0`; the groups of a grouped quantizer are `group0.0`, `group0.1`, ...

    Args:
        places: For each codebook, the words of the path to it, such as `("quantizer", "layers", "3")`, and
            its head in the layer, such as `head1`, which is empty if there is only one.
    """
    split = [_split(place) for place, _ in places]
    common = set.intersection(*(set(owner) for owner, _ in split)) if split else set()
    names = []
    for (owner, position), (_, head) in zip(split, places, strict=True):
        label = ".".join(_QUANTIZER.sub("", word) for word in owner if word not in common)
        words = (label, position, head) if label else (position or "0", head)
        name = ".".join(filter(None, words))
        names.append(f"layer{name}" if name[0].isdigit() else name)
    whole = [".".join(filter(None, (*place, head))) for place, head in places]
    return names if len(set(names)) == len(names) else whole


def _split(place: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """The owner of the list that contains a codebook, and its position in the list, which may be empty."""
    words = list(place)
    position = words.pop() if words and words[-1].isdigit() else ""
    if position and words and not words[-1].isdigit():
        words.pop()  # the name of the list: layers, quantizers, ...
    for at in range(1, len(words)):
        if words[at - 1] == "rvqs" and words[at].isdigit():  # GroupedResidualVQ
            words[at] = f"group{words[at]}"
    return tuple(words), position


def _counting(name: str) -> list[tuple[int, str]]:
    """Orders `layer2` before `layer10`, which files that sort their keys do not."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
