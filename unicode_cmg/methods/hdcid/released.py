"""Released H-DCID checkpoints: their tensors under our names, and the configuration read off their sizes."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from unicode_cmg.methods.dcid.released import FIXED, MODALITIES, layer_renames, read_sizes
from unicode_cmg.methods.hdcid.config import HDCIDConfig
from unicode_cmg.methods.released import ReleasedLayout


def _second_layer(ours: str) -> tuple[tuple[str, str], ...]:
    """Released names of the second layer's networks, and ours where `ours` begins them; no codebook."""
    names = (
        *((f"Encoder/{m}_self_att_2.affine_matrix.", f"general.{m}.temporal.project.") for m in MODALITIES),
        *(
            (f"Encoder/{m}_self_att_2.encoder.layers.", f"general.{m}.temporal.encoder.layers.")
            for m in MODALITIES
        ),
        *((f"Encoder/{m.capitalize()}_encoder_2.input_linear.", f"specific.{m}.linear.") for m in MODALITIES),
        *((f"CPC_2/{m}_ar_lstm.", f"cpc.contexts.{m}.") for m in MODALITIES),
        *((f"CPC_2/{m}_predictors.", f"cpc.predictors.{m}.") for m in MODALITIES),
        *((f"{m.capitalize()}_mi_net_2/", f"critic.{m}.") for m in MODALITIES),
        *((f"Decoder/{m.capitalize()}_decoder_2.simple_linear.", f"decoder.{m}.code.") for m in MODALITIES),
        *((f"Decoder/{m.capitalize()}_decoder_2.simple_rec.", f"decoder.{m}.linear.") for m in MODALITIES),
    )
    return tuple((theirs, ours + name) for theirs, name in names)


LAYOUT = ReleasedLayout(
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
        (
            "Encoder/Cross_quantizer.unactivated_count",
            ("layers.0.codebook.idle", "layers.1.codebook.idle"),
        ),
        ("Encoder/Cross_quantizer.", ("layers.0.codebook.", "layers.1.codebook.")),
        *layer_renames("layers.0."),
        *_second_layer("layers.1."),
    ),
    fixed={**FIXED, "code_layers": 2, "standardize_deeper": False},
    requires={"modalities.text.context": "Text_ar_lstm"},
    read=read_sizes,
    ours_alone={
        f"layers.{k}.codebook.seeded": True for k in (0, 1)
    },  # released ones lie where training put them
    counters=("epoch",),
)

our_name = LAYOUT.our_name


def from_released(tensors: Mapping[str, Tensor]) -> tuple[HDCIDConfig, dict[str, Tensor]]:
    """Configuration and state dict of a released audio-video-text H-DCID.

    Args:
        tensors: `<Module>/<key>` -> tensor, as the released `save_models` stores them; with all modules of
            `LAYOUT`, the state dict is complete.

    Returns:
        A config with `fidelity: released`, and tensors for `HDCID(config).load_state_dict`.

    Raises:
        InputError: A key is unknown, or one that gives a size is missing.
    """
    values, state = LAYOUT.from_released(tensors)
    return HDCIDConfig.parse(values, where="released H-DCID"), state
