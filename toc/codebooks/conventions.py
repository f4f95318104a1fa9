"""How libraries store their codebooks: recognised by the end of a key and the number of axes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float, Shaped

from toc.codebooks.stored import Stored, matrices


@dataclass(frozen=True)
class Convention:
    """One way to store codebooks.

    Attributes:
        kind: Whose way it is.
        key: A pattern of the whole key; its group `place` leads to the codebook.
        axes: Numbers of axes that the tensor can have; of three, the first counts codebooks.
        stacked: Whether these are the layers of a residual stack; else they are the heads of one layer.
        usage: Name of a tensor beside it: how often each code was used. The tensor then holds sums, and the
            codebook is their mean.
    """

    kind: str
    key: re.Pattern[str]
    axes: tuple[int, ...] = (2,)
    stacked: bool = False
    usage: str = ""


@dataclass(frozen=True, eq=False)
class Recognised:
    """A codebook that a convention found.

    Attributes:
        key: Key of its tensor; `KEY.0`, `KEY.1`, ... where the tensor holds several.
        kind: Whose way to store codebooks it is.
        place: Words that lead to it in the model, such as `("quantizer", "layers", "3")`.
        head: Which head of its layer, such as `head1`; empty where there is one.
        codes: The codebook, not read yet.
    """

    key: str
    kind: str
    place: tuple[str, ...]
    head: str
    codes: Stored


def _ending(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?P<place>(?:.*\.)?){pattern}")


CONVENTIONS = (
    Convention("vector-quantize-pytorch", _ending(r"_codebook\.embed"), axes=(3,)),
    Convention("EnCodec", _ending(r"_?codebook\.embed")),
    Convention("Mimi", _ending(r"_?codebook\.embed(?:ding)?_sum"), usage="cluster_usage"),
    Convention("DAC", _ending(r"codebook\.weight")),
    Convention("VQGAN", re.compile(r"(?P<place>(?:.*\.)?\w*(?:quantiz|vq)\w*\.)_?embeddings?\.weight")),
    Convention("released CMG", _ending(r"Cross_quantizer(?:_coarse)?\.embedding"), axes=(2, 3), stacked=True),
)
"""The first that fits counts. The image tokenizers of Chameleon, Emu3 and Janus are stored as VQGAN's."""

_LIKE_CODES = re.compile(r"code_?(?:book|word|vector)|(?:quantiz|vq).*embed|embed.*(?:quantiz|vq)")
_UNLIKE_CODES = re.compile(r"proj|avg|ema|sum|count|usage|norm|bias|frozen|transform")


def recognise(tensors: Mapping[str, Stored]) -> list[Recognised]:
    """The codebooks of known conventions, in the order of the file; one that layers share counts once."""
    found: list[Recognised] = []
    memories = set()
    for key, stored in tensors.items():
        for convention in CONVENTIONS:
            match = convention.key.fullmatch(key)
            codes = _codes(convention, key, tensors) if match else None
            if match and codes is not None:
                if stored.memory is None or stored.memory not in memories:
                    found += _parts(convention, key, match["place"], codes)
                memories.add(stored.memory)
                break
    return found


def looks_like_codes(key: str, stored: Stored) -> bool:
    """Whether a tensor of no known convention may be a codebook, or several: real, and named like one."""
    last = ".".join(key.lower().split(".")[-2:])
    return (
        stored.floating
        and len(stored.shape) in (2, 3)
        and stored.shape[-2] >= 2
        and _LIKE_CODES.search(key.lower()) is not None
        and _UNLIKE_CODES.search(last) is None
    )


def _codes(convention: Convention, key: str, tensors: Mapping[str, Stored]) -> Stored | None:
    """The codebook of a tensor whose key fits; None where the tensor does not."""
    stored = tensors[key]
    if not stored.floating or len(stored.shape) not in convention.axes:
        return None
    if not convention.usage:
        return stored
    usage = tensors.get(f"{key.rpartition('.')[0]}.{convention.usage}")
    if usage is None or usage.shape != stored.shape[:1]:
        return None
    return Stored(stored.shape, stored.dtype, partial(_mean, stored, usage))


def _mean(sums: Stored, usage: Stored) -> Float[np.ndarray, "codes dim"]:
    return mean_of_sums(sums.read(), usage.read())


def mean_of_sums(
    sums: Float[np.ndarray, "codes dim"], usage: Shaped[np.ndarray, " codes"]
) -> Float[np.ndarray, "codes dim"]:
    """The codebook of Mimi, which keeps the sum of what each code was given, and how often it was used.

    As `MimiEuclideanCodebook` of transformers computes it: a code used less than 1e-5 times counts as used so
    often. Half precision is widened to float32 first.
    """
    kind = np.promote_types(sums.dtype, np.float32)
    return np.asarray(sums.astype(kind) / np.maximum(usage.astype(kind), kind.type(1e-5))[:, None])


def _parts(convention: Convention, key: str, leading: str, codes: Stored) -> Iterator[Recognised]:
    place = tuple(leading.rstrip(".").split(".")) if leading else ()
    if len(codes.shape) == 2:
        yield Recognised(key, convention.kind, place, "", codes)
        return
    if codes.shape[0] == 1:
        yield Recognised(key, convention.kind, place, "", matrices(codes)[0])
        return
    for at, matrix in enumerate(matrices(codes)):
        deeper, head = (("layers", str(at)), "") if convention.stacked else ((), f"head{at}")
        yield Recognised(f"{key}.{at}", convention.kind, (*place, *deeper), head, matrix)
