"""Released DCID checkpoints: their tensors under our names, and the configuration read off their sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from unicode_cmg.methods.dcid.config import DCIDConfig
from unicode_cmg.methods.released import ReleasedLayout, Shape, Sizes, Tensors, linear, unused_parts

MODALITIES = ("audio", "video", "text")
"""Order of the released code's codebook updates."""

_CLASSES = 141
"""Event classes of VGGSound-AVEL, whose logits the released decoder computes and no loss uses."""

_MI_NETS = tuple(f"{m.capitalize()}_mi_net" for m in MODALITIES)


def layer_renames(ours: str) -> tuple[tuple[str, str], ...]:
    """Released names of the networks of a DCID layer, and ours where `ours` begins them; no codebook."""
    transformer = ("affine_matrix.", "project."), ("encoder.layers.", "encoder.layers.")
    block, unblock = "conv_stack.5.stack.0.res_block", "inverse_conv_block.1.stack.0.res_block"
    names = (
        ("Encoder/video_semantic_encoder.se_layer.0.", "general.video.pool.gate.squeeze."),
        ("Encoder/video_semantic_encoder.se_layer.2.", "general.video.pool.gate.excite."),
        *(
            (f"Encoder/{m}_self_att.{part}", f"general.{m}.temporal.{our_part}")
            for m in MODALITIES
            for part, our_part in transformer
        ),
        ("Encoder/Audio_encoder.audio_linear.", "specific.audio.linear."),
        ("Encoder/Text_encoder.text_linear.", "specific.text.linear."),
        ("Encoder/Video_encoder.conv_stack.0.", "specific.video.grid.conv1."),
        ("Encoder/Video_encoder.conv_stack.2.", "specific.video.grid.conv2."),
        ("Encoder/Video_encoder.conv_stack.4.", "specific.video.grid.conv3."),
        (f"Encoder/Video_encoder.{block}.1.", "specific.video.grid.residual.conv1."),
        (f"Encoder/Video_encoder.{block}.3.", "specific.video.grid.residual.conv2."),
        ("Encoder/Video_encoder.feed_forward.", "specific.video.summary."),
        *((f"CPC/{m}_ar_lstm.", f"cpc.contexts.{m}.") for m in MODALITIES),
        *((f"CPC/{m}_predictors.", f"cpc.predictors.{m}.") for m in MODALITIES),
        *((f"{m.capitalize()}_mi_net/", f"critic.{m}.") for m in MODALITIES),
        *((f"Decoder/{m.capitalize()}_decoder.{m}_linear.", f"decoder.{m}.code.") for m in MODALITIES),
        ("Decoder/Audio_decoder.audio_rec.", "decoder.audio.linear."),
        ("Decoder/Text_decoder.text_rec.", "decoder.text.linear."),
        ("Decoder/Video_decoder.inverse_conv_block.0.", "decoder.video.grid.deconv1."),
        (f"Decoder/Video_decoder.{unblock}.1.", "decoder.video.grid.residual.conv1."),
        (f"Decoder/Video_decoder.{unblock}.3.", "decoder.video.grid.residual.conv2."),
        ("Decoder/Video_decoder.inverse_conv_block.2.", "decoder.video.grid.deconv2."),
        ("Decoder/Video_decoder.inverse_conv_block.4.", "decoder.video.grid.deconv3."),
    )
    return tuple((theirs, ours + name) for theirs, name in names)


FIXED: Mapping[str, Any] = {
    "modalities.audio.grid": None,
    "modalities.audio.context": None,
    "modalities.video.grid": (7, 7),
    "modalities.text.grid": None,
    "codebook.quantizer": "mm_ema",
    "pooling": "sum",
    "relu_skip": True,
    "club_summary": "learned",
    "heads": 4,
    "layers": 2,
}
"""The architecture of the released DCID, which its scripts cannot vary."""


def read_sizes(sizes: Sizes) -> dict[str, Any]:
    """Settings that the sizes of the released tensors tell, as in a configuration file.

    A file without the text's LSTM reads text features that have been through it.
    """
    text: dict[str, Any] = {"dim": sizes("Encoder/text_self_att.affine_matrix.weight", 1), "context": None}
    if sizes.has("Text_ar_lstm"):
        text = {
            "dim": sizes("Text_ar_lstm/weight_ih_l0", 1),
            "context": 2 * sizes("Text_ar_lstm/weight_hh_l0", 1),
        }
    critic = next((net for net in _MI_NETS if sizes.has(net)), None)
    return {
        "dim": sizes("Encoder/audio_self_att.affine_matrix.weight", 0),
        "num_codes": sizes("Encoder/Cross_quantizer.ema_count", -1),
        "feedforward": sizes("Encoder/audio_self_att.encoder.layers.0.linear1.weight", 0),
        **({} if critic is None else {"critic_hidden": 2 * sizes(f"{critic}/p_mu.0.weight", 0)}),
        "modalities": {
            "audio": {
                "dim": sizes("Encoder/audio_self_att.affine_matrix.weight", 1),
                "specific_dim": sizes("Encoder/Audio_encoder.audio_linear.weight", 0),
            },
            "video": {
                "dim": sizes("Encoder/Video_encoder.conv_stack.0.weight", 1),
                "specific_dim": sizes("Encoder/Video_encoder.conv_stack.2.weight", 0),
                "summary_dim": sizes("Encoder/Video_encoder.feed_forward.2.weight", 0),
            },
            "text": {**text, "specific_dim": sizes("Encoder/Text_encoder.text_linear.weight", 0)},
        },
    }


def _unused_shapes(tensors: Tensors) -> dict[str, Shape]:
    """What every released encoder carries along, and the class logits of the decoder."""
    shapes = unused_parts(tensors)
    for m in MODALITIES:
        code = tensors.get(f"Decoder/{m.capitalize()}_decoder.{m}_linear.weight")
        if code is not None:
            head, dim = f"Decoder/{m}_semantic_decoder", code.shape[-1]
            logits = tensors.get(f"{head}.event_classifier.weight")
            shapes |= linear(f"{head}.linear", dim, dim)
            shapes |= linear(f"{head}.event_classifier", _CLASSES if logits is None else len(logits), dim)
    return shapes


LAYOUT = ReleasedLayout(
    title="DCID",
    method="dcid",
    marks=("Encoder/Video_encoder.",),
    modules=("Encoder", "CPC", "Text_ar_lstm", "Video_mi_net", "Text_mi_net", "Audio_mi_net", "Decoder"),
    renames=(
        ("Text_ar_lstm/", "context.text.lstm."),
        ("Encoder/Cross_quantizer.unactivated_count", "layer.codebook.idle"),
        ("Encoder/Cross_quantizer.", "layer.codebook."),
        *layer_renames("layer."),
    ),
    fixed=FIXED,
    requires={"modalities.text.context": "Text_ar_lstm"},
    read=read_sizes,
    unused=(*ReleasedLayout.unused, "_semantic_decoder."),
    unused_shapes=_unused_shapes,
    ours_alone={"layer.codebook.seeded": True},  # a released codebook lies where training put it
)

our_name = LAYOUT.our_name


def from_released(tensors: Mapping[str, Tensor]) -> tuple[DCIDConfig, dict[str, Tensor]]:
    """Configuration and state dict of a released audio-video-text DCID.

    Args:
        tensors: `<Module>/<key>` -> tensor, as the released `save_models` stores them; with all modules of
            `LAYOUT`, the state dict is complete.

    Returns:
        A config with `fidelity: released`, and tensors for `DCID(config).load_state_dict`.

    Raises:
        InputError: A key is unknown, or one that gives a size is missing.
    """
    values, state = LAYOUT.from_released(tensors)
    return DCIDConfig.parse(values, where="released DCID"), state
