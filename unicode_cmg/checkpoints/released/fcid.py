"""Released FCID checkpoints: their tensors under our names, and the configuration read off their sizes."""

from __future__ import annotations

from typing import Any

from unicode_cmg.checkpoints.released.dcid import (
    CODEBOOK,
    FIXED,
    GATED_SUM,
    GENERAL_ENCODER,
    GRID_DECODER,
    GRID_ENCODER,
    Renames,
    below,
    predictors,
    read_audio_and_video,
)
from unicode_cmg.checkpoints.released.layout import ReleasedLayout
from unicode_cmg.checkpoints.released.tensors import Sizes
from unicode_cmg.config import merged

_SHORT = {"video": "v", "audio": "a", "text": "t"}
_FINE = ("video", "audio")
_TOGETHER = "+".join(_FINE)
_GROUPS = {_TOGETHER: "va", "text": "t"}
_CRITICS = {
    "Video_mi_net": "fine.critic.video",
    "Audio_mi_net": "fine.critic.audio",
    "AudioVisual_mi_net": f"coarse.critic.{_TOGETHER}",
    "Text_mi_net": "coarse.critic.text",
}

_RENAMES: Renames = {
    **below("Encoder/Cross_quantizer_coarse.", "codebook.", CODEBOOK),
    **below("Encoder/v_gen_encoder.", "general.video.", GATED_SUM),
    **{
        theirs: ours
        for m, s in _SHORT.items()
        for theirs, ours in below(f"Encoder/{s}_self_att.", f"general.{m}.", GENERAL_ENCODER).items()
    },
    "Encoder/a_spe_encoder.audio_linear.": "fine.specific.audio.linear.",
    **below("Encoder/v_spe_encoder.", "fine.specific.video.", GRID_ENCODER),
    **{f"Encoder/{s}2vat.linear.": f"coarse.project.{group}." for group, s in _GROUPS.items()},
    **{f"Encoder/{s}_gen_encoder.input_linear.": f"coarse.general.{g}.0." for g, s in _GROUPS.items()},
    **{f"Encoder/{s}_spe_encoder.input_linear.": f"coarse.specific.{g}.0." for g, s in _GROUPS.items()},
    **below("CPC/", "fine.cpc.", predictors(_FINE)),
    **{f"{theirs}/": f"{ours}." for theirs, ours in _CRITICS.items()},
    "Decoder/a_fine_decoder.audio_linear.": "fine.decoder.audio.code.",
    "Decoder/a_fine_decoder.audio_rec.": "fine.decoder.audio.linear.",
    **below("Decoder/v_fine_decoder.", "fine.decoder.video.", GRID_DECODER),
    **{f"Decoder/{s}_coarse_decoder.simple_linear.": f"coarse.decoder.{m}.code." for m, s in _SHORT.items()},
    **{f"Decoder/{s}_coarse_decoder.simple_rec.": f"coarse.decoder.{m}.linear." for m, s in _SHORT.items()},
}


def _read(sizes: Sizes) -> dict[str, Any]:
    """Settings that the sizes of the released tensors tell, as in a configuration file."""
    values = read_audio_and_video(
        sizes,
        general="Encoder/a_self_att",
        audio="Encoder/a_spe_encoder.audio_linear",
        video="Encoder/v_spe_encoder",
        codebook="Encoder/Cross_quantizer_coarse",
        critics=_CRITICS,
    )
    values["modalities"]["text"] = {"dim": sizes("Encoder/t_self_att.affine_matrix.weight", 1)}
    return values


FCID = ReleasedLayout(
    title="FCID",
    method="fcid",
    marks=("Encoder/va2vat.",),
    modules=("Encoder", "CPC", *_CRITICS, "Decoder"),
    renames=_RENAMES,
    fixed={
        **merged(FIXED, {"modalities": {"text": {"context": None}}}),
        "fine": _FINE,
        "coarse": ("text",),
        "transformer_layers": 1,
    },
    read=_read,
    ours_alone={"codebook.seeded": True},  # a released codebook lies where training put it
)
