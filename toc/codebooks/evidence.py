"""What the tensors around a table tell: that it is a codebook, which axis counts codes, what is looked up.

A name alone does not tell that a tensor is a codebook, nor what is done with it before a look-up. Its
neighbours do: moving averages have one number of uses per code, affine parameters move the table, a linear
map beside a frozen table makes the codes of SimVQ.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Shaped

from toc.arrays import CodebookError
from toc.codebooks.files import Stored

Values = Shaped[np.ndarray, "..."]

_COUNTS = re.compile(
    r"_?(?:ema_)?(?:cluster_(?:size|usage|count)s?|(?:code_|ema_|embed_)?(?:counts?|usage)|N)|\w+_(?:elem|count)"
)
_SUMS = re.compile(r"\w*(?:avg|sum|_ema|ema_\w*|mean|variance|grad)")
_PROJECTION = re.compile(r"proj|linear|conv|head|mlp|transform|norm|bias|attn|bridge|lora|dense|fc\d?$")
_QUANTIZER = re.compile(r"quantiz|code_?(?:book|word|vector)|(?:^|_)r?vqs?(?:_|$|vae|\d)")
_TABLE = re.compile(r"embed|emb$|code|table|dictionary|quantiz|vq|book|^\d+$|^weight$")


class Tensors(dict[str, Stored]):
    """The tensors of a file by their keys, with their neighbours at hand.

    Attributes:
        beside: Owner -> last word of the key -> tensor, for all tensors of one module.
        modules: Every beginning of a key that ends before a dot.
    """

    def __init__(self, tensors: Mapping[str, Stored]) -> None:
        super().__init__(tensors)
        self.beside: dict[str, dict[str, Stored]] = {}
        self.modules: set[str] = set()
        for key, stored in tensors.items():
            owner, _, leaf = key.rpartition(".")
            self.beside.setdefault(owner, {})[leaf] = stored
            while owner and owner not in self.modules:
                self.modules.add(owner)
                owner = owner.rpartition(".")[0]


def by_structure(key: str, tensors: Tensors) -> str:
    """In what way the neighbours of a tensor tell that it is a codebook; empty if they do not.

    Either one number of uses per code lies beside it (and it is not the sum that goes with them), or it is a
    table without a bias, such as that of an `nn.Embedding`, in a module named after a quantizer.
    """
    stored, words = tensors[key], key.split(".")
    leaf = words[-1]
    if not stored.floating or len(stored.shape) not in (2, 3) or min(stored.shape) < 1:
        return ""
    if leaf != "weight" and _SUMS.fullmatch(leaf.lower()):
        return ""
    if leaf != "weight" and counts_of(key, tensors) is not None:
        return "moving averages"
    if leaf == "weight":
        words = words[:-1]
        if len(stored.shape) != 2 or f"{'.'.join(words)}.bias" in tensors:
            return ""
    names = [word.lower() for word in words]
    named = [word for word in names if not word.isdigit()]
    if leaf != "weight" and not (names[-1].isdigit() and len(stored.shape) == 2):
        return ""
    if not named or any(_PROJECTION.search(word) for word in named[-2:]) or not _TABLE.search(named[-1]):
        return ""
    return "table of a quantizer" if any(map(_QUANTIZER.search, named)) else ""


def counts_of(key: str, tensors: Tensors) -> Stored | None:
    """The numbers of uses of the codes of a table, which lie beside it; None if there are none."""
    shape = tensors[key].shape
    owner = key.rpartition(".")[0]
    for other, stored in tensors.beside[owner].items():
        length = stored.shape[-1] if stored.shape else 0
        flat = len(stored.shape) == 1 or (len(stored.shape) == 2 and len(shape) == 3)
        if flat and length > 1 and _COUNTS.fullmatch(other) and length in (*shape[-2:], shape[-2] - 1):
            return stored
    return None


def effective(key: str, tensors: Tensors) -> list[Stored]:
    """The tables that codes are looked up in: `[H, D]` each, composed of a tensor and its neighbours.

    A table that cannot be composed is a `Stored` whose `read` says why.
    """
    stored = _composed(key, tensors)
    if stored.refused:
        return [stored if len(stored.shape) == 2 else _refused(stored.matrices()[0], stored.refused)]
    counts = counts_of(key, tensors)
    if counts is not None and not key.endswith(".weight"):
        stored = _oriented(key, stored, counts, tensors)
    elif key.endswith(".weight"):
        stored = _of_embedding(stored, counts)
    if len(stored.shape) == 2:
        return [stored]
    return _groups(key, stored, tensors) or stored.matrices()


def _derived(stored: Stored, shape: tuple[int, ...], read: Callable[[], Values]) -> Stored:
    dtype = "float32" if stored.dtype == "bfloat16" else stored.dtype
    return Stored(shape, dtype, read, stored.memory)


def _refused(stored: Stored, why: str) -> Stored:
    def read() -> Values:
        raise CodebookError(why)

    return Stored(stored.shape, stored.dtype, read, stored.memory, why)


def _composed(key: str, tensors: Tensors) -> Stored:
    """The table after what the module does to it before each look-up."""
    stored, (owner, _, leaf) = tensors[key], key.rpartition(".")
    at = f"{owner}." if owner else ""
    layer = re.fullmatch(r"(.*?)layers\.(\d+)\._codebook\.", at)
    if layer and int(layer[2]) > 0 and f"{layer[1]}mlps" in tensors.modules:
        return _refused(
            stored, "an implicit neural codebook (QINCo): its codes depend on the layers before it"
        )
    if f"{at}vq_bridge" in tensors.modules:
        return _refused(
            stored, "a codebook behind a network (vq_bridge), which a file of tensors does not tell"
        )
    if leaf == "implicit_codebook" or f"{at}_levels" in tensors:
        return _refused(
            stored, "the fixed grid of a quantizer by finite scalars (FSQ), which has no codebook"
        )
    mask = tensors.get(f"{at}mask")
    if leaf == "codebook" and mask is not None and not mask.floating and mask.shape == stored.shape[1:]:
        return _refused(
            stored, "the fixed corners of a quantizer without look-up (LFQ), which has no codebook"
        )
    if f"{at}codebook_mean" in tensors and f"{at}codebook_variance" in tensors:
        return _affine(stored, at, tensors)
    parent = f"{owner.rpartition('.')[0]}." if "." in owner else ""
    maps = [f"{at}code_transform"] if leaf == "frozen_codebook" else []
    if leaf == "weight":
        maps += [f"{owner}_proj", f"{parent}embedding_proj", f"{parent}codebook_proj"]
    for name in maps:
        if name in tensors.modules:
            return _mapped(stored, name, tensors)
    return stored


def _affine(stored: Stored, at: str, tensors: Tensors) -> Stored:
    """`affine_param` of vector-quantize-pytorch: codes are moved to the mean and spread of the data."""
    names = [f"{at}{name}" for name in ("codebook_mean", "codebook_variance", "batch_mean", "batch_variance")]
    if not all(name in tensors for name in names):
        return _refused(stored, "a codebook with affine parameters that were never trained (no batch_mean)")

    def read() -> Values:
        mean, variance, batch_mean, batch_variance = (tensors[name].read() for name in names)
        scale = np.sqrt(np.maximum(batch_variance, 1e-5)) / np.sqrt(np.maximum(variance, 1e-5))
        return np.asarray((stored.read() - mean) * scale + batch_mean)

    return _derived(stored, stored.shape, read)


def _mapped(stored: Stored, name: str, tensors: Tensors) -> Stored:
    """SimVQ: the codes are a linear map of a frozen table."""
    weight, bias = tensors.get(f"{name}.weight"), tensors.get(f"{name}.bias")
    linear = weight is not None and len(weight.shape) == 2 and weight.shape[1] == stored.shape[-1]
    if weight is None or not linear or tensors.beside[name].keys() - {"weight", "bias"}:
        return _refused(stored, f"codes behind a network ('{name}', as in SimVQ) that is not one linear map")

    def read() -> Values:
        codes = stored.read() @ weight.read().T
        return np.asarray(codes if bias is None else codes + bias.read())

    return _derived(stored, (*stored.shape[:-1], weight.shape[0]), read)


def _oriented(key: str, stored: Stored, counts: Stored, tensors: Tensors) -> Stored:
    """The table with the axis that counts codes first, and without a row that has no number of uses."""
    length, (rows, columns) = counts.shape[-1], stored.shape[-2:]
    turned = (*stored.shape[:-2], columns, rows)
    if length == rows - 1 and length != columns:
        return _derived(
            stored, (*stored.shape[:-2], length, columns), lambda: _without_padding(stored.read())
        )
    if length == rows and length != columns:
        return stored
    if length == columns and length != rows:
        return _derived(stored, turned, lambda: np.ascontiguousarray(np.swapaxes(stored.read(), -1, -2)))
    owner = key.rpartition(".")[0]
    sums = [
        s for name, s in tensors.beside[owner].items() if _SUMS.fullmatch(name) and s.shape == stored.shape
    ]
    if len(sums) != 1 or counts.shape[:-1] != stored.shape[:-2]:
        return stored

    def read() -> Values:
        """Of a square table: turned if it is the sums over the numbers of uses by columns and not by rows."""
        codes, total, uses = stored.read(), sums[0].read(), np.maximum(counts.read(), 1e-5)
        by_row = np.abs(total / uses[..., :, None] - codes).mean()
        by_column = np.abs(total / uses[..., None, :] - codes).mean()
        turned = by_column < 0.1 * np.abs(codes).mean() < by_row
        return np.ascontiguousarray(np.swapaxes(codes, -1, -2)) if turned else codes

    return _derived(stored, stored.shape, read)


def _of_embedding(stored: Stored, counts: Stored | None) -> Stored:
    """The table of an `nn.Embedding` without its padding row, which is zero and the first or the last one."""
    rows = stored.shape[0]
    if counts is not None and counts.shape[-1] == rows:
        return stored
    if counts is not None and counts.shape[-1] == rows - 1:
        return _derived(stored, (rows - 1, *stored.shape[1:]), lambda: _without_padding(stored.read()))

    def read() -> Values:
        values = stored.read()
        zero = np.flatnonzero(~values.any(axis=1))
        return _without_padding(values) if len(zero) == 1 and zero[0] in (0, rows - 1) else values

    return _derived(stored, stored.shape, read)


def _without_padding(values: Values) -> Values:
    """All rows but one: the first if it is zero and the last is not, else the last."""
    first = not values[..., 0, :].any() and values[..., -1, :].any()
    return values[..., 1:, :] if first else values[..., :-1, :]


def _groups(key: str, stored: Stored, tensors: Tensors) -> list[Stored]:
    """The groups of wav2vec 2.0, which lie one after the other in `codevectors [1, groups * codes, dim]`.

    How many there are is told by the layer behind them, whose input is one code of each group.
    """
    owner, _, leaf = key.rpartition(".")
    if leaf not in ("codevectors", "vars") or stored.shape[0] != 1:
        return []
    _, rows, dim = stored.shape
    outer = owner.rpartition(".")[0]
    behind = tensors.get(f"{outer}.project_q.weight" if outer else "project_q.weight")
    groups = behind.shape[1] // dim if behind is not None and len(behind.shape) == 2 else 0
    if groups < 1 or rows % groups or behind is None or behind.shape[1] != groups * dim:
        why = "the codes of several groups, and no 'project_q.weight' tells how many groups there are"
        return [_refused(Stored((rows, dim), stored.dtype, stored.read), why)]
    size = rows // groups
    return [
        _derived(stored, (size, dim), lambda at=at: stored.read()[0, at * size : (at + 1) * size])  # type: ignore[misc]
        for at in range(groups)
    ]
