"""Released FCID checkpoints: their tensors under our names, and the configuration read off their sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from unicode_cmg.methods.fcid.config import FCIDConfig
from unicode_cmg.methods.released import ReleasedLayout, Sizes

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
_BLOCK, _UNBLOCK = "conv_stack.5.stack.0.res_block", "inverse_conv_block.1.stack.0.res_block"

_RENAMES = (
    ("Encoder/Cross_quantizer_coarse.unactivated_count", "codebook.idle"),
    ("Encoder/Cross_quantizer_coarse.", "codebook."),
    ("Encoder/v_gen_encoder.se_layer.0.", "general.video.pool.gate.squeeze."),
    ("Encoder/v_gen_encoder.se_layer.2.", "general.video.pool.gate.excite."),
    *((f"Encoder/{s}_self_att.affine_matrix.", f"general.{m}.temporal.project.") for m, s in _SHORT.items()),
    *(
        (f"Encoder/{s}_self_att.encoder.layers.", f"general.{m}.temporal.encoder.layers.")
        for m, s in _SHORT.items()
    ),
    ("Encoder/a_spe_encoder.audio_linear.", "fine.specific.audio.linear."),
    ("Encoder/v_spe_encoder.conv_stack.0.", "fine.specific.video.grid.conv1."),
    ("Encoder/v_spe_encoder.conv_stack.2.", "fine.specific.video.grid.conv2."),
    ("Encoder/v_spe_encoder.conv_stack.4.", "fine.specific.video.grid.conv3."),
    (f"Encoder/v_spe_encoder.{_BLOCK}.1.", "fine.specific.video.grid.residual.conv1."),
    (f"Encoder/v_spe_encoder.{_BLOCK}.3.", "fine.specific.video.grid.residual.conv2."),
    ("Encoder/v_spe_encoder.feed_forward.", "fine.specific.video.summary."),
    *((f"Encoder/{s}2vat.linear.", f"coarse.project.{group}.") for group, s in _GROUPS.items()),
    *((f"Encoder/{s}_gen_encoder.input_linear.", f"coarse.general.{g}.0.") for g, s in _GROUPS.items()),
    *((f"Encoder/{s}_spe_encoder.input_linear.", f"coarse.specific.{g}.0.") for g, s in _GROUPS.items()),
    *((f"CPC/{m}_ar_lstm.", f"fine.cpc.contexts.{m}.") for m in _FINE),
    *((f"CPC/{m}_predictors.", f"fine.cpc.predictors.{m}.") for m in _FINE),
    *((f"{theirs}/", f"{ours}.") for theirs, ours in _CRITICS.items()),
    ("Decoder/a_fine_decoder.audio_linear.", "fine.decoder.audio.code."),
    ("Decoder/a_fine_decoder.audio_rec.", "fine.decoder.audio.linear."),
    ("Decoder/v_fine_decoder.video_linear.", "fine.decoder.video.code."),
    ("Decoder/v_fine_decoder.inverse_conv_block.0.", "fine.decoder.video.grid.deconv1."),
    (f"Decoder/v_fine_decoder.{_UNBLOCK}.1.", "fine.decoder.video.grid.residual.conv1."),
    (f"Decoder/v_fine_decoder.{_UNBLOCK}.3.", "fine.decoder.video.grid.residual.conv2."),
    ("Decoder/v_fine_decoder.inverse_conv_block.2.", "fine.decoder.video.grid.deconv2."),
    ("Decoder/v_fine_decoder.inverse_conv_block.4.", "fine.decoder.video.grid.deconv3."),
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


LAYOUT = ReleasedLayout(
    title="FCID",
    method="fcid",
    marks=("Encoder/va2vat.",),
    modules=("Encoder", "CPC", *_CRITICS, "Decoder"),
    renames=_RENAMES,
    fixed={
        "modalities.audio.grid": None,
        "modalities.audio.context": None,
        "modalities.video.grid": (7, 7),
        "modalities.text.grid": None,
        "modalities.text.context": None,
        "fine": _FINE,
        "coarse": ("text",),
        "codebook.quantizer": "mm_ema",
        "pooling": "sum",
        "relu_skip": True,
        "club_summary": "learned",
        "heads": 4,
        "layers": 1,
    },
    read=_read,
    ours_alone={"codebook.seeded": True},  # a released codebook lies where training put it
)

our_name = LAYOUT.our_name


def from_released(tensors: Mapping[str, Tensor]) -> tuple[FCIDConfig, dict[str, Tensor]]:
    """Configuration and state dict of a released audio-video-text FCID.

    Args:
        tensors: `<Module>/<key>` -> tensor, as the released `save_models` stores them; with all modules of
            `LAYOUT`, the state dict is complete. Released files hold the encoder's alone.

    Returns:
        A config with `fidelity: released`, and tensors for `FCID(config).load_state_dict`.

    Raises:
        InputError: A key is unknown, or one that gives a size is missing.
    """
    values, state = LAYOUT.from_released(tensors)
    return FCIDConfig.parse(values, where="released FCID"), state
