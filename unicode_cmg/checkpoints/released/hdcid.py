"""Released H-DCID checkpoints: their tensors under our names, and the configuration read off their sizes."""

from __future__ import annotations

from unicode_cmg.checkpoints.released.dcid import (
    FIXED,
    MODALITIES,
    Renames,
    general_encoder,
    layer_renames,
    predictors,
    read_sizes,
)
from unicode_cmg.checkpoints.released.layout import ReleasedLayout

_SECOND_LAYER: Renames = (
    *(
        pair
        for m in MODALITIES
        for pair in general_encoder(f"Encoder/{m}_self_att_2.", f"layers.1.general.{m}.")
    ),
    *predictors("CPC_2/", "layers.1.cpc.", MODALITIES),
    *(
        (theirs.format(m.capitalize()), f"layers.1.{ours.format(m)}")
        for m in MODALITIES
        for theirs, ours in (
            ("Encoder/{}_encoder_2.input_linear.", "specific.{}.linear."),
            ("{}_mi_net_2/", "critic.{}."),
            ("Decoder/{}_decoder_2.simple_linear.", "decoder.{}.code."),
            ("Decoder/{}_decoder_2.simple_rec.", "decoder.{}.linear."),
        )
    ),
)
"""Released names of the networks of the second layer, and ours; no codebook."""

HDCID = ReleasedLayout(
    title="H-DCID",
    method="hdcid",
    marks=("Encoder/Video_encoder.", "Encoder/Video_encoder_2."),
    modules=(
        "Encoder",
        "CPC",
        "CPC_2",
        "Text_ar_lstm",
        *(f"{m}_mi_net{layer}" for layer in ("", "_2") for m in ("Video", "Text", "Audio")),
        "Decoder",
    ),
    renames=(
        ("Text_ar_lstm/", "context.text.lstm."),
        ("Encoder/Cross_quantizer.unactivated_count", ("layers.0.codebook.idle", "layers.1.codebook.idle")),
        ("Encoder/Cross_quantizer.", ("layers.0.codebook.", "layers.1.codebook.")),
        *layer_renames("layers.0."),
        *_SECOND_LAYER,
    ),
    fixed={**FIXED, "code_layers": 2, "standardize_deeper": False},
    requires={"modalities.text.context": "Text_ar_lstm"},
    read=read_sizes,
    ours_alone={f"layers.{k}.codebook.seeded": True for k in (0, 1)},
    counters=("epoch",),
)
