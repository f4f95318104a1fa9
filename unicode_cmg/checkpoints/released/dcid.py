"""Released DCID checkpoints: their tensors under our names, and the configuration read off their sizes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from unicode_cmg.checkpoints.released.layout import ReleasedLayout
from unicode_cmg.checkpoints.released.tensors import Shape, Sizes, Tensors, linear, unused_parts

MODALITIES = ("audio", "video", "text")
"""Order of the released code's codebook updates."""

_CLASSES = 141
"""Event classes of VGGSound-AVEL, whose logits the released decoder computes and no loss uses."""

_MI_NETS = tuple(f"{m.capitalize()}_mi_net" for m in MODALITIES)


Renames = tuple[tuple[str, str], ...]


def renamed(theirs: str, ours: str, *parts: tuple[str, str]) -> Renames:
    """Parts of a module, theirs and ours, each below the beginnings of its keys."""
    return tuple((theirs + part, ours + our_part) for part, our_part in parts)


def general_encoder(theirs: str, ours: str) -> Renames:
    """The transformer of a general encoder."""
    parts = ("affine_matrix.", "temporal.project."), ("encoder.layers.", "temporal.encoder.layers.")
    return renamed(theirs, ours, *parts)


def gated_sum(theirs: str, ours: str) -> Renames:
    """The gates that weigh the channels of video."""
    return renamed(theirs, ours, ("se_layer.0.", "pool.gate.squeeze."), ("se_layer.2.", "pool.gate.excite."))


def grid_encoder(theirs: str, ours: str) -> Renames:
    """The specific encoder of video."""
    return renamed(
        theirs,
        ours,
        ("conv_stack.0.", "grid.conv1."),
        ("conv_stack.2.", "grid.conv2."),
        ("conv_stack.4.", "grid.conv3."),
        ("conv_stack.5.stack.0.res_block.1.", "grid.residual.conv1."),
        ("conv_stack.5.stack.0.res_block.3.", "grid.residual.conv2."),
        ("feed_forward.", "summary."),
    )


def grid_decoder(theirs: str, ours: str) -> Renames:
    """The decoder of video."""
    return renamed(
        theirs,
        ours,
        ("video_linear.", "code."),
        ("inverse_conv_block.0.", "grid.deconv1."),
        ("inverse_conv_block.1.stack.0.res_block.1.", "grid.residual.conv1."),
        ("inverse_conv_block.1.stack.0.res_block.3.", "grid.residual.conv2."),
        ("inverse_conv_block.2.", "grid.deconv2."),
        ("inverse_conv_block.4.", "grid.deconv3."),
    )


def predictors(theirs: str, ours: str, modalities: Iterable[str]) -> Renames:
    """The LSTMs and the linear maps of cross-modal CPC."""
    return tuple(
        pair
        for m in modalities
        for pair in renamed(
            theirs, ours, (f"{m}_ar_lstm.", f"contexts.{m}."), (f"{m}_predictors.", f"predictors.{m}.")
        )
    )


def layer_renames(ours: str) -> Renames:
    """Released names of the networks of a DCID layer, and ours where `ours` begins them; no codebook."""
    return (
        *gated_sum("Encoder/video_semantic_encoder.", f"{ours}general.video."),
        *(
            pair
            for m in MODALITIES
            for pair in general_encoder(f"Encoder/{m}_self_att.", f"{ours}general.{m}.")
        ),
        ("Encoder/Audio_encoder.audio_linear.", f"{ours}specific.audio.linear."),
        ("Encoder/Text_encoder.text_linear.", f"{ours}specific.text.linear."),
        *grid_encoder("Encoder/Video_encoder.", f"{ours}specific.video."),
        *predictors("CPC/", f"{ours}cpc.", MODALITIES),
        *((f"{m.capitalize()}_mi_net/", f"{ours}critic.{m}.") for m in MODALITIES),
        ("Decoder/Audio_decoder.audio_linear.", f"{ours}decoder.audio.code."),
        ("Decoder/Audio_decoder.audio_rec.", f"{ours}decoder.audio.linear."),
        ("Decoder/Text_decoder.text_linear.", f"{ours}decoder.text.code."),
        ("Decoder/Text_decoder.text_rec.", f"{ours}decoder.text.linear."),
        *grid_decoder("Decoder/Video_decoder.", f"{ours}decoder.video."),
    )


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
    "transformer_layers": 2,
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


DCID = ReleasedLayout(
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
