"""Codecs of transformers, built from tiny configurations and saved by `save_pretrained`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import (
    DacConfig,
    DacModel,
    EncodecConfig,
    EncodecModel,
    JanusVQVAEConfig,
    MimiConfig,
    MimiModel,
    PreTrainedModel,
)
from transformers.models.janus.modeling_janus import JanusVQVAE

from toc.codebooks import find_codebooks, load_codebook
from toc.codebooks.conventions import mean_of_sums


def randomized(model: PreTrainedModel) -> PreTrainedModel:
    """The model with buffers as training leaves them; a fresh one has zeros, and codes that nobody used."""
    torch.manual_seed(0)
    for name, value in (*model.named_buffers(), *model.named_parameters()):
        if "codebook.embed" in name:
            value.data.normal_()
        elif "cluster_usage" in name:
            value.data.uniform_(0, 5)
            value.data[0] = 0
    return model.eval()


def encodec() -> EncodecModel:
    return randomized(
        EncodecModel(
            EncodecConfig(
                codebook_size=8,
                codebook_dim=6,
                hidden_size=6,
                num_filters=2,
                upsampling_ratios=[4, 2],
                target_bandwidths=[36.0],
                num_lstm_layers=1,
            )
        )
    )


def dac() -> DacModel:
    return randomized(
        DacModel(
            DacConfig(
                encoder_hidden_size=4,
                decoder_hidden_size=8,
                downsampling_ratios=[2],
                upsampling_ratios=[2],
                n_codebooks=3,
                codebook_size=8,
                codebook_dim=5,
            )
        )
    )


def mimi() -> MimiModel:
    return randomized(
        MimiModel(
            MimiConfig(
                hidden_size=8,
                num_filters=2,
                upsampling_ratios=[2],
                num_hidden_layers=1,
                num_attention_heads=2,
                num_key_value_heads=2,
                head_dim=4,
                intermediate_size=8,
                codebook_size=8,
                codebook_dim=4,
                vector_quantization_hidden_dimension=4,
                num_quantizers=4,
                upsample_groups=1,
            )
        )
    )


def looked_up(layer: torch.nn.Module, codes: int) -> Tensor:
    """What the model itself gives for each index, `[H, D]`."""
    return (
        layer.codebook.decode(torch.arange(codes))
        if hasattr(layer.codebook, "decode")
        else layer.codebook.weight
    )


def check(path: Path, kind: str, expected: dict[str, Tensor]) -> None:
    found = find_codebooks(path)
    assert {f.name for f in found.codebooks} == set(expected)
    assert {f.kind for f in found.codebooks} == {kind}
    for name, codes in expected.items():
        np.testing.assert_array_equal(load_codebook(path, name).vectors, codes.detach().numpy())


def everywhere(model: PreTrainedModel, folder: Path) -> list[Path]:
    """The model as one file, in shards, and as a state dict of torch."""
    model.save_pretrained(folder / "whole")
    model.save_pretrained(folder / "shards", max_shard_size="1KB")
    assert (folder / "shards" / "model.safetensors.index.json").is_file()
    torch.save(
        {"state_dict": {f"model.{k}": v for k, v in model.state_dict().items()}}, folder / "model.ckpt"
    )
    return [
        folder / "whole",
        folder / "shards",
        folder / "model.ckpt",
        folder / "whole" / "model.safetensors",
    ]


def test_encodec_is_a_residual_stack(tmp_path: Path) -> None:
    model = encodec()
    expected = {f"layer{k}": looked_up(layer, 8) for k, layer in enumerate(model.quantizer.layers)}
    assert len(expected) > 1
    for path in everywhere(model, tmp_path):
        check(path, "EnCodec", expected)


def test_dac_is_a_residual_stack_of_narrow_codes(tmp_path: Path) -> None:
    model = dac()
    expected = {f"layer{k}": looked_up(layer, 8) for k, layer in enumerate(model.quantizer.quantizers)}
    for path in everywhere(model, tmp_path):
        check(path, "DAC", expected)


def test_the_codebooks_of_mimi_are_computed_from_sums_and_usage(tmp_path: Path) -> None:
    model = mimi()
    stacks = {
        "semantic": model.quantizer.semantic_residual_vector_quantizer.layers,
        "acoustic": model.quantizer.acoustic_residual_vector_quantizer.layers,
    }
    expected = {
        f"{name}.{k}": looked_up(layer, 8)
        for name, layers in stacks.items()
        for k, layer in enumerate(layers)
    }
    assert set(expected) == {"semantic.0", "acoustic.0", "acoustic.1", "acoustic.2"}
    for path in everywhere(model, tmp_path):
        check(path, "Mimi", expected)
        key = "quantizer.semantic_residual_vector_quantizer.layers.0.codebook.embed_sum"
        found = load_codebook(path, key)
        assert found.name == "semantic.0"
        np.testing.assert_array_equal(found.vectors, expected["semantic.0"])


def test_mimi_as_it_was_published_has_the_same_codebooks_by_other_names(tmp_path: Path) -> None:
    model = mimi()
    renames = {
        "semantic_residual_vector_quantizer": "rvq_first.vq",
        "acoustic_residual_vector_quantizer": "rvq_rest.vq",
        "codebook.embed_sum": "_codebook.embedding_sum",
        "codebook.cluster_usage": "_codebook.cluster_usage",
    }
    state = model.state_dict()
    for ours, theirs in renames.items():
        state = {key.replace(ours, theirs): value for key, value in state.items()}
    torch.save(state, tmp_path / "published.pt")
    first, rest = (
        model.quantizer.semantic_residual_vector_quantizer,
        model.quantizer.acoustic_residual_vector_quantizer,
    )
    expected = {"rvq_first.0": looked_up(first.layers[0], 8)}
    check(
        tmp_path / "published.pt",
        "Mimi",
        expected | {f"rvq_rest.{k}": looked_up(layer, 8) for k, layer in enumerate(rest.layers)},
    )


def test_an_image_tokenizer_of_the_vqgan_family(tmp_path: Path) -> None:
    config = JanusVQVAEConfig(
        embed_dim=4,
        num_embeddings=8,
        latent_channels=8,
        base_channels=32,
        channel_multiplier=[1],
        num_res_blocks=1,
        projection_dim=8,
        num_hidden_layers=1,
        hidden_size=8,
    )
    model = JanusVQVAE(config)
    for path in everywhere(model, tmp_path):
        check(path, "VQGAN", {"layer0": model.quantize.embedding.weight})


def test_mimi_in_half_precision_is_computed_in_float32(tmp_path: Path) -> None:
    model = mimi()
    model.to(torch.bfloat16).save_pretrained(tmp_path)
    layer = model.quantizer.acoustic_residual_vector_quantizer.layers[1].codebook
    expected = layer.embed_sum.float() / layer.cluster_usage.float().clamp(min=layer.epsilon)[:, None]
    np.testing.assert_array_equal(load_codebook(tmp_path, "acoustic.1").vectors, expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_code_that_was_hardly_used_is_divided_by_a_hundred_thousandth(dtype: type[np.floating]) -> None:
    codes = mean_of_sums(np.ones((3, 2), dtype), np.array([2, 1e-6, 0], dtype))
    assert codes.dtype == (np.float64 if dtype is np.float64 else np.float32)
    np.testing.assert_allclose(codes[:, 0], [0.5, 1e5, 1e5], rtol=1e-6)


def test_sums_without_usage_are_no_codebook(tmp_path: Path) -> None:
    state = {k: v for k, v in mimi().state_dict().items() if not k.endswith("cluster_usage")}
    torch.save(state, tmp_path / "half.pt")
    assert not find_codebooks(tmp_path / "half.pt").codebooks
