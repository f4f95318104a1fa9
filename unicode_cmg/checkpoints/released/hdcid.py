"""Released H-DCID checkpoints: their tensors under our names; sizes are read off them as for DCID."""

from __future__ import annotations

from unicode_cmg.checkpoints.released.dcid import (
    CODEBOOK,
    FIXED,
    GENERAL_ENCODER,
    LAYER,
    MODALITIES,
    below,
    for_each,
    predictors,
    read_sizes,
)
from unicode_cmg.checkpoints.released.layout import ReleasedLayout

_SECOND_LAYER = {
    **for_each(MODALITIES, below("Encoder/{m}_self_att_2.", "general.{m}.", GENERAL_ENCODER)),
    **below("CPC_2/", "cpc.", predictors(MODALITIES)),
    **for_each(
        MODALITIES,
        {
            "Encoder/{M}_encoder_2.input_linear.": "specific.{m}.linear.",
            "{M}_mi_net_2/": "critic.{m}.",
            "Decoder/{M}_decoder_2.simple_linear.": "decoder.{m}.code.",
            "Decoder/{M}_decoder_2.simple_rec.": "decoder.{m}.linear.",
        },
    ),
}
"""Names of the networks of the second layer, without the codebook."""

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
    renames={
        "Text_ar_lstm/": "front.context.text.lstm.",
        **below("", "layers.0.", LAYER),
        **below("", "layers.1.", _SECOND_LAYER),
    },
    stacked=[below("Encoder/Cross_quantizer.", f"layers.{k}.codebook.", CODEBOOK) for k in (0, 1)],
    fixed={**FIXED, "code_layers": 2, "standardize_deeper": False},
    requires={"modalities.text.context": "Text_ar_lstm"},
    read=read_sizes,
    ours_alone={f"layers.{k}.codebook.seeded": True for k in (0, 1)},
    counters=("epoch",),
)
