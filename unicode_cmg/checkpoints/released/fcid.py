"""Released FCID checkpoints: their tensors under our names, and the configuration read off their sizes."""

from __future__ import annotations

from typing import Any

from unicode_cmg.checkpoints.released.dcid import (
    FIXED,
    Renames,
    gated_sum,
    general_encoder,
    grid_decoder,
    grid_encoder,
    predictors,
)
from unicode_cmg.checkpoints.released.layout import ReleasedLayout
from unicode_cmg.checkpoints.released.tensors import Sizes

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

_RENAMES: Renames = (
    ("Encoder/Cross_quantizer_coarse.unactivated_count", "codebook.idle"),
    ("Encoder/Cross_quantizer_coarse.", "codebook."),
    *gated_sum("Encoder/v_gen_encoder.", "general.video."),
    *(pair for m, s in _SHORT.items() for pair in general_encoder(f"Encoder/{s}_self_att.", f"general.{m}.")),
    ("Encoder/a_spe_encoder.audio_linear.", "fine.specific.audio.linear."),
    *grid_encoder("Encoder/v_spe_encoder.", "fine.specific.video."),
    *((f"Encoder/{s}2vat.linear.", f"coarse.project.{group}.") for group, s in _GROUPS.items()),
    *((f"Encoder/{s}_gen_encoder.input_linear.", f"coarse.general.{g}.0.") for g, s in _GROUPS.items()),
    *((f"Encoder/{s}_spe_encoder.input_linear.", f"coarse.specific.{g}.0.") for g, s in _GROUPS.items()),
    *predictors("CPC/", "fine.cpc.", _FINE),
    *((f"{theirs}/", f"{ours}.") for theirs, ours in _CRITICS.items()),
    ("Decoder/a_fine_decoder.audio_linear.", "fine.decoder.audio.code."),
    ("Decoder/a_fine_decoder.audio_rec.", "fine.decoder.audio.linear."),
    *grid_decoder("Decoder/v_fine_decoder.", "fine.decoder.video."),
    *((f"Decoder/{s}_coarse_decoder.simple_linear.", f"coarse.decoder.{m}.code.") for m, s in _SHORT.items()),
    *((f"Decoder/{s}_coarse_decoder.simple_rec.", f"coarse.decoder.{m}.linear.") for m, s in _SHORT.items()),
)


def _read(sizes: Sizes) -> dict[str, Any]:
    """Settings that the sizes of the released tensors tell, as in a configuration file."""
    critic = next((net for net in _CRITICS if sizes.has(net)), None)
    return {
        "dim": sizes("Encoder/a_self_att.affine_matrix.weight", 0),
        "num_codes": sizes("Encoder/Cross_quantizer_coarse.ema_count", 0),
        "feedforward": sizes("Encoder/a_self_att.encoder.layers.0.linear1.weight", 0),
        **({} if critic is None else {"critic_hidden": 2 * sizes(f"{critic}/p_mu.0.weight", 0)}),
        "modalities": {
            "audio": {
                "dim": sizes("Encoder/a_self_att.affine_matrix.weight", 1),
                "specific_dim": sizes("Encoder/a_spe_encoder.audio_linear.weight", 0),
            },
            "video": {
                "dim": sizes("Encoder/v_spe_encoder.conv_stack.0.weight", 1),
                "specific_dim": sizes("Encoder/v_spe_encoder.conv_stack.2.weight", 0),
                "summary_dim": sizes("Encoder/v_spe_encoder.feed_forward.2.weight", 0),
            },
            "text": {"dim": sizes("Encoder/t_self_att.affine_matrix.weight", 1)},
        },
    }


FCID = ReleasedLayout(
    title="FCID",
    method="fcid",
    marks=("Encoder/va2vat.",),
    modules=("Encoder", "CPC", *_CRITICS, "Decoder"),
    renames=_RENAMES,
    fixed={
        **FIXED,
        "modalities.text.context": None,
        "fine": _FINE,
        "coarse": ("text",),
        "transformer_layers": 1,
    },
    read=_read,
    ours_alone={"codebook.seeded": True},  # a released codebook lies where training put it
)
