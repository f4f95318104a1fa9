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

Renames = Mapping[str, str]
"""Beginnings of released keys -> of ours."""

CODEBOOK: Renames = {"unactivated_count": "idle", "": ""}

GENERAL_ENCODER: Renames = {
    "affine_matrix.": "temporal.project.",
    "encoder.layers.": "temporal.encoder.layers.",
}

GATED_SUM: Renames = {"se_layer.0.": "pool.gate.squeeze.", "se_layer.2.": "pool.gate.excite."}

GRID_ENCODER: Renames = {
    "conv_stack.0.": "grid.conv1.",
    "conv_stack.2.": "grid.conv2.",
    "conv_stack.4.": "grid.conv3.",
    "conv_stack.5.stack.0.res_block.1.": "grid.residual.conv1.",
    "conv_stack.5.stack.0.res_block.3.": "grid.residual.conv2.",
    "feed_forward.": "summary.",
}

GRID_DECODER: Renames = {
    "video_linear.": "code.",
    "inverse_conv_block.0.": "grid.deconv1.",
    "inverse_conv_block.1.stack.0.res_block.1.": "grid.residual.conv1.",
    "inverse_conv_block.1.stack.0.res_block.3.": "grid.residual.conv2.",
    "inverse_conv_block.2.": "grid.deconv2.",
    "inverse_conv_block.4.": "grid.deconv3.",
}


def below(theirs: str, ours: str, parts: Renames) -> dict[str, str]:
    """The parts of a module, behind the beginnings that it has in a released file and in our models."""
    return {theirs + part: ours + our_part for part, our_part in parts.items()}


def for_each(names: Iterable[str], parts: Renames) -> dict[str, str]:
    """The parts once for each name, which takes the place of `{m}`, and with a capital that of `{M}`."""
    return {
        theirs.format(m=m, M=m.capitalize()): ours.format(m=m)
        for theirs, ours in parts.items()
        for m in names
    }


def predictors(modalities: Iterable[str]) -> dict[str, str]:
    """The LSTMs and the linear maps of cross-modal CPC."""
    return for_each(modalities, {"{m}_ar_lstm.": "contexts.{m}.", "{m}_predictors.": "predictors.{m}."})


LAYER: Renames = {
    **below("Encoder/video_semantic_encoder.", "general.video.", GATED_SUM),
    **for_each(MODALITIES, below("Encoder/{m}_self_att.", "general.{m}.", GENERAL_ENCODER)),
    **for_each(("audio", "text"), {"Encoder/{M}_encoder.{m}_linear.": "specific.{m}.linear."}),
    **below("Encoder/Video_encoder.", "specific.video.", GRID_ENCODER),
    **below("CPC/", "cpc.", predictors(MODALITIES)),
    **for_each(MODALITIES, {"{M}_mi_net/": "critic.{m}."}),
    **for_each(
        ("audio", "text"),
        {
            "Decoder/{M}_decoder.{m}_linear.": "decoder.{m}.code.",
            "Decoder/{M}_decoder.{m}_rec.": "decoder.{m}.linear.",
        },
    ),
    **below("Decoder/Video_decoder.", "decoder.video.", GRID_DECODER),
}
"""Names of the networks of a DCID layer, without the codebook."""

FIXED: Mapping[str, Any] = {
    "modalities": {
        "audio": {"grid": None, "context": None},
        "video": {"grid": (7, 7)},
        "text": {"grid": None},
    },
    "codebook": {"quantizer": "mm_ema"},
    "pooling": "sum",
    "relu_skip": True,
    "club_summary": "learned",
    "cpc_layers": 2,
    "cpc_horizon": 1,
    "heads": 4,
    "transformer_layers": 2,
}
"""The architecture of the released DCID, which its scripts cannot vary."""


def read_audio_and_video(
    sizes: Sizes, *, general: str, audio: str, video: str, codebook: str, critics: Iterable[str]
) -> dict[str, Any]:
    """Settings that the sizes of the tensors tell, all but those of text, as in a configuration file.

    Args:
        sizes: Of the released tensors.
        general: Name of audio's general encoder in the file.
        audio: Name of audio's specific encoder, a linear layer.
        video: Name of video's specific encoder.
        codebook: Name of the codebook.
        critics: Modules of the critics, of which a file may have some.
    """
    critic = next((net for net in critics if sizes.has(net)), None)
    return {
        "dim": sizes(f"{general}.affine_matrix.weight", 0),
        "num_codes": sizes(f"{codebook}.ema_count", -1),
        "feedforward": sizes(f"{general}.encoder.layers.0.linear1.weight", 0),
        **({} if critic is None else {"critic_hidden": 2 * sizes(f"{critic}/p_mu.0.weight", 0)}),
        "modalities": {
            "audio": {
                "dim": sizes(f"{general}.affine_matrix.weight", 1),
                "specific_dim": sizes(f"{audio}.weight", 0),
            },
            "video": {
                "dim": sizes(f"{video}.conv_stack.0.weight", 1),
                "specific_dim": sizes(f"{video}.conv_stack.2.weight", 0),
                "summary_dim": sizes(f"{video}.feed_forward.2.weight", 0),
            },
        },
    }


def read_sizes(sizes: Sizes) -> dict[str, Any]:
    """Settings that the sizes of the released tensors tell, as in a configuration file.

    A file without the text's LSTM reads text features that have been through it.
    """
    values = read_audio_and_video(
        sizes,
        general="Encoder/audio_self_att",
        audio="Encoder/Audio_encoder.audio_linear",
        video="Encoder/Video_encoder",
        codebook="Encoder/Cross_quantizer",
        critics=[f"{m.capitalize()}_mi_net" for m in MODALITIES],
    )
    text: dict[str, Any] = {"dim": sizes("Encoder/text_self_att.affine_matrix.weight", 1), "context": None}
    if sizes.has("Text_ar_lstm"):
        hidden = sizes("Text_ar_lstm/weight_hh_l0", 1)
        text = {"dim": sizes("Text_ar_lstm/weight_ih_l0", 1), "context": 2 * hidden}
    text["specific_dim"] = sizes("Encoder/Text_encoder.text_linear.weight", 0)
    values["modalities"]["text"] = text
    return values


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
    renames={
        "Text_ar_lstm/": "front.context.text.lstm.",
        **below("Encoder/Cross_quantizer.", "layer.codebook.", CODEBOOK),
        **below("", "layer.", LAYER),
    },
    fixed=FIXED,
    requires={"modalities.text.context": "Text_ar_lstm"},
    read=read_sizes,
    unused=(*ReleasedLayout.unused, "_semantic_decoder."),
    unused_shapes=_unused_shapes,
    ours_alone={"layer.codebook.seeded": True},  # a released codebook lies where training put it
)
