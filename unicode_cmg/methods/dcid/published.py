"""Tensors of the released DCID code under our names, with the configuration read off their shapes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from unicode_cmg.errors import InputError
from unicode_cmg.methods.dcid.config import DCIDConfig

MODALITIES = ("audio", "video", "text")
"""Order of the released code's codebook updates."""

_TRANSFORMER = ("affine_matrix.", "project."), ("encoder.layers.", "encoder.layers.")

_RENAMES: tuple[tuple[str, str], ...] = (
    ("Text_ar_lstm/", "context.text.lstm."),
    ("Encoder/Cross_quantizer.unactivated_count", "codebook.idle"),
    ("Encoder/Cross_quantizer.", "codebook."),
    ("Encoder/video_semantic_encoder.se_layer.0.", "general.video.pool.gate.squeeze."),
    ("Encoder/video_semantic_encoder.se_layer.2.", "general.video.pool.gate.excite."),
    *(
        (f"Encoder/{m}_self_att.{theirs}", f"general.{m}.temporal.{ours}")
        for m in MODALITIES
        for theirs, ours in _TRANSFORMER
    ),
    ("Encoder/Audio_encoder.audio_linear.", "specific.audio.linear."),
    ("Encoder/Text_encoder.text_linear.", "specific.text.linear."),
    ("Encoder/Video_encoder.conv_stack.0.", "specific.video.grid.conv1."),
    ("Encoder/Video_encoder.conv_stack.2.", "specific.video.grid.conv2."),
    ("Encoder/Video_encoder.conv_stack.4.", "specific.video.grid.conv3."),
    ("Encoder/Video_encoder.conv_stack.5.stack.0.res_block.1.", "specific.video.grid.residual.conv1."),
    ("Encoder/Video_encoder.conv_stack.5.stack.0.res_block.3.", "specific.video.grid.residual.conv2."),
    ("Encoder/Video_encoder.feed_forward.", "specific.video.summary."),
    *((f"CPC/{m}_ar_lstm.", f"cpc.contexts.{m}.") for m in MODALITIES),
    *((f"CPC/{m}_predictors.", f"cpc.predictors.{m}.") for m in MODALITIES),
    *((f"{m.capitalize()}_mi_net/", f"critic.{m}.") for m in MODALITIES),
    *((f"Decoder/{m.capitalize()}_decoder.{m}_linear.", f"decoder.{m}.code.") for m in MODALITIES),
    *((f"Decoder/{m.capitalize()}_decoder.{m}_rec.", f"decoder.{m}.linear.") for m in ("audio", "text")),
    ("Decoder/Video_decoder.inverse_conv_block.0.", "decoder.video.grid.deconv1."),
    ("Decoder/Video_decoder.inverse_conv_block.1.stack.0.res_block.1.", "decoder.video.grid.residual.conv1."),
    ("Decoder/Video_decoder.inverse_conv_block.1.stack.0.res_block.3.", "decoder.video.grid.residual.conv2."),
    ("Decoder/Video_decoder.inverse_conv_block.2.", "decoder.video.grid.deconv2."),
    ("Decoder/Video_decoder.inverse_conv_block.4.", "decoder.video.grid.deconv3."),
)

_WITHOUT_EFFECT = (
    "encoder_layer.",
    "affine_video_ave.",
    "affine_video_self.",
    "ave_v_att.",
    "_semantic_decoder.",
)
"""Parts of released checkpoints that never reach a loss: templates, the inert attention, class logits."""


def our_name(published: str) -> str | None:
    """Our key for a released `<Module>/<key>`; None for a tensor that has no effect in the released code.

    Raises:
        InputError: The key is not one of the released DCID's.
    """
    for theirs, ours in _RENAMES:
        if published.startswith(theirs):
            return ours + published.removeprefix(theirs)
    if any(part in published for part in _WITHOUT_EFFECT):
        return None
    raise InputError(
        f"unknown key '{published}'", where="released DCID", expected="the keys of a DCID checkpoint"
    )


def from_published(tensors: Mapping[str, Tensor]) -> tuple[DCIDConfig, dict[str, Tensor]]:
    """Configuration and state dict of a released audio-video-text DCID.

    Args:
        tensors: `<Module>/<key>` -> tensor for the modules Text_ar_lstm, Encoder, CPC, the three mi nets and
            Decoder, as the released `save_models` stores them.

    Returns:
        A config with `fidelity: published`, and tensors for `DCID(config).load_state_dict`.

    Raises:
        InputError: A key is unknown, or one that gives a size is missing.
    """
    state = {ours: tensor for key, tensor in tensors.items() if (ours := our_name(key)) is not None}

    def size(key: str, axis: int) -> int:
        if key not in state:
            raise InputError(
                f"no tensor for '{key}'", where="released DCID", expected="a complete checkpoint"
            )
        return state[key].shape[axis]

    video = size("specific.video.grid.conv1.weight", 1)
    config = DCIDConfig.parse(
        {
            "fidelity": "published",
            "dim": size("codebook.embedding", 1),
            "num_codes": size("codebook.embedding", 0),
            "feedforward": size("general.audio.temporal.encoder.layers.0.linear1.weight", 0),
            "critic_hidden": 2 * size("critic.audio.p_mu.0.weight", 0),
            "modalities": {
                "audio": {
                    "dim": size("general.audio.temporal.project.weight", 1),
                    "specific_dim": size("specific.audio.linear.weight", 0),
                },
                "video": {
                    "dim": video,
                    "grid": (7, 7),
                    "specific_dim": size("specific.video.grid.conv2.weight", 0),
                    "summary_dim": size("specific.video.summary.2.weight", 0),
                },
                "text": {
                    "dim": size("context.text.lstm.weight_ih_l0", 1),
                    "context": 2 * size("context.text.lstm.weight_hh_l0", 1),
                    "specific_dim": size("specific.text.linear.weight", 0),
                },
            },
        },
        where="released DCID",
    )
    state["codebook.seeded"] = torch.tensor(True)  # ours alone: never placed on the data
    return config, state
