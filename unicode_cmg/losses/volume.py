"""GRAM: the modalities of one clip should span a small volume, those of different clips a large one."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from unicode_cmg.errors import InputError, positive, unknown
from unicode_cmg.losses._masked import at_least_float32, cleared, contrast
from unicode_cmg.ranks import gather, real

_SMALLEST = 1e-6  # a determinant of float32 products of unit vectors is not known better than this


def gram_loss(
    vectors: Mapping[str, Float[Tensor, "batch dim"]],
    anchor: str,
    *,
    temperature: float = 0.07,
    mask: Bool[Tensor, " batch"] | None = None,
) -> Float[Tensor, ""]:
    """Contrast of volumes between the clips of a batch.

    `(L_D2A + L_A2D) / 2` of "Gramian Multimodal Representation Learning and Alignment" (Cicchetti, Grassucci,
    Sigillo, Comminiello, ICLR 2025).

    `V_ij` is the volume that the anchor of clip i spans with the other modalities of clip j (`span_volumes`).
    The positive is the clip itself, the scores are `-V_ij / temperature`; L_A2D compares the clips j for one
    anchor, L_D2A the anchors i for one clip. With two modalities the anchor makes no difference.

    The released code starts from the same temperature but learns it, and smooths the labels by 0.1; neither
    is done here. The paper's matching of data and anchors by a classifier is not part of this loss. Computed
    in float32 or better under autocast.

    Args:
        vectors: Modality -> `[B, D]`, one row a clip, of two modalities or more; any length but 0.
        anchor: The modality that is exchanged between clips.
        temperature: Divides the volumes.
        mask: True where a clip has all modalities; the others are neither positives nor negatives.

    Raises:
        InputError: The anchor is not among the modalities, there are fewer than two or more than D of them,
            or the temperature is not positive.
    """
    if anchor not in vectors:
        raise unknown("anchor", anchor, vectors, where="gram_loss")
    positive("gram_loss", temperature=temperature)
    width = vectors[anchor].shape[-1]
    if not 2 <= len(vectors) <= width:
        raise InputError(
            f"{len(vectors)} modalities with vectors of width {width}",
            where="gram_loss",
            expected="at least 2 modalities, and no more than the width, or there is no volume",
        )
    with torch.autocast(vectors[anchor].device.type, enabled=False):
        x = torch.stack([vectors[anchor], *(x for m, x in vectors.items() if m != anchor)])
        if mask is not None:
            x = cleared(x, mask.expand(x.shape[:2]))
        mask = real(mask, x[0, :, 0])
        x = gather(x.flatten(0, 1)).view(len(x), -1, width)
        mask = None if mask is None else gather(mask)
        scores = span_volumes(x[0], x[1:]) / -temperature
        return (contrast(scores, mask, dim=-1) + contrast(scores, mask, dim=-2)) / 2


def span_volumes(
    anchors: Float[Tensor, "anchors dim"], others: Float[Tensor, "modalities clips dim"]
) -> Float[Tensor, "anchors clips"]:
    """Volume of the parallelotope that an anchor and the vectors of a clip span, for all pairs of them.

    `sqrt(det G)`, where G holds the inner products of all these vectors at unit length (the GRAM paper's Gram
    matrix): 1 if they are orthogonal, 0 if one is a combination of the others, so that opposite vectors are
    as near as equal ones. The sine of the angle if there are two.

    A determinant below 1e-6 counts as 1e-6: there it is no more than rounding, and the root has no finite
    slope at 0. Vectors that nearly coincide thus have volume 0.001 and are drawn no closer. The released code
    takes the root of the absolute value, whose gradient is infinite for equal vectors.

    Args:
        anchors: `[A, D]`.
        others: `[M - 1, B, D]`, the other modalities of B clips.
    """
    a, x = (functional.normalize(at_least_float32(v), dim=-1) for v in (anchors, others))
    own = torch.einsum("mcd,ncd->cmn", x, x).expand(len(a), -1, -1, -1)
    cross = torch.einsum("ad,mcd->acm", a, x).unsqueeze(-1)
    top = torch.cat([torch.ones_like(cross[:, :, :1]), cross], 2)
    gram = torch.cat([top, torch.cat([cross.mT, own], 2)], 3)
    determinants: Tensor = torch.linalg.det(gram)
    return determinants.clamp(min=_SMALLEST).sqrt()
