"""Codecs of transformers, built from tiny configurations and saved by `save_pretrained`."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as hf
from torch import Tensor

from toc.codebooks import find_codebooks, load_codebook
from toc.codebooks.conventions import mean_of_sums


def randomized(model: hf.PreTrainedModel) -> hf.PreTrainedModel:
    """The model with buffers as training leaves them; a fresh one has zeros, and codes that nobody used."""
    torch.manual_seed(0)
    for name, value in (*model.named_buffers(), *model.named_parameters()):
        if "codebook.embed" in name:
            value.data.normal_()
        elif "cluster_usage" in name:
            value.data.uniform_(0, 5)
            value.data[0] = 0
    return model.eval()


@pytest.fixture(scope="module")
def encodec() -> hf.EncodecModel:
    sizes = {"codebook_size": 8, "codebook_dim": 6, "hidden_size": 6, "num_filters": 2, "num_lstm_layers": 1}
    return randomized(
        hf.EncodecModel(hf.EncodecConfig(**sizes, upsampling_ratios=[4, 2], target_bandwidths=[36.0]))
    )


@pytest.fixture(scope="module")
def dac() -> hf.DacModel:
    sizes = {"encoder_hidden_size": 4, "decoder_hidden_size": 8, "codebook_size": 8, "codebook_dim": 5}
    return randomized(
        hf.DacModel(hf.DacConfig(**sizes, n_codebooks=3, downsampling_ratios=[2], upsampling_ratios=[2]))
    )


@pytest.fixture(scope="module")
def mimi() -> hf.MimiModel:
    eight = dict.fromkeys(("hidden_size", "intermediate_size", "codebook_size"), 8)
    four = ("head_dim", "codebook_dim", "vector_quantization_hidden_dimension", "num_quantizers")
    two = ("num_filters", "num_attention_heads", "num_key_value_heads")
    one = ("num_hidden_layers", "upsample_groups")
    sizes = {**eight, **dict.fromkeys(four, 4), **dict.fromkeys(two, 2), **dict.fromkeys(one, 1)}
    return randomized(hf.MimiModel(hf.MimiConfig(**sizes, upsampling_ratios=[2])))


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


def everywhere(model: hf.PreTrainedModel, folder: Path) -> list[Path]:
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


def test_encodec_is_a_residual_stack(encodec: hf.EncodecModel, tmp_path: Path) -> None:
    expected = {f"layer{k}": looked_up(layer, 8) for k, layer in enumerate(encodec.quantizer.layers)}
    assert len(expected) > 1
    for path in everywhere(encodec, tmp_path):
        check(path, "EnCodec", expected)


def test_dac_is_a_residual_stack_of_narrow_codes(dac: hf.DacModel, tmp_path: Path) -> None:
    expected = {f"layer{k}": looked_up(layer, 8) for k, layer in enumerate(dac.quantizer.quantizers)}
    for path in everywhere(dac, tmp_path):
        check(path, "DAC", expected)


def test_the_codebooks_of_mimi_are_computed_from_sums_and_usage(mimi: hf.MimiModel, tmp_path: Path) -> None:
    stacks = {
        "semantic": mimi.quantizer.semantic_residual_vector_quantizer.layers,
        "acoustic": mimi.quantizer.acoustic_residual_vector_quantizer.layers,
    }
    expected = {
        f"{name}.{k}": looked_up(layer, 8)
        for name, layers in stacks.items()
        for k, layer in enumerate(layers)
    }
    assert set(expected) == {"semantic.0", "acoustic.0", "acoustic.1", "acoustic.2"}
    for path in everywhere(mimi, tmp_path):
        check(path, "Mimi", expected)
        key = "quantizer.semantic_residual_vector_quantizer.layers.0.codebook.embed_sum"
        found = load_codebook(path, key)
        assert found.name == "semantic.0"
        np.testing.assert_array_equal(found.vectors, expected["semantic.0"])


def test_the_released_mimi_has_the_same_codebooks_by_other_names(mimi: hf.MimiModel, tmp_path: Path) -> None:
    renames = {
        "semantic_residual_vector_quantizer": "rvq_first.vq",
        "acoustic_residual_vector_quantizer": "rvq_rest.vq",
        "codebook.embed_sum": "_codebook.embedding_sum",
        "codebook.cluster_usage": "_codebook.cluster_usage",
    }
    state = mimi.state_dict()
    for ours, theirs in renames.items():
        state = {key.replace(ours, theirs): value for key, value in state.items()}
    torch.save(state, tmp_path / "released.pt")
    first, rest = (
        mimi.quantizer.semantic_residual_vector_quantizer,
        mimi.quantizer.acoustic_residual_vector_quantizer,
    )
    expected = {"rvq_first.0": looked_up(first.layers[0], 8)}
    check(
        tmp_path / "released.pt",
        "Mimi",
        expected | {f"rvq_rest.{k}": looked_up(layer, 8) for k, layer in enumerate(rest.layers)},
    )


def test_an_image_tokenizer_of_the_vqgan_family(tmp_path: Path) -> None:
    eight = dict.fromkeys(("num_embeddings", "latent_channels", "projection_dim", "hidden_size"), 8)
    sizes = {**eight, "embed_dim": 4, "base_channels": 32, "num_res_blocks": 1, "num_hidden_layers": 1}
    from transformers.models.janus.modeling_janus import JanusVQVAE

    model = JanusVQVAE(hf.JanusVQVAEConfig(**sizes, channel_multiplier=[1]))
    for path in everywhere(model, tmp_path):
        check(path, "VQGAN", {"layer0": model.quantize.embedding.weight})


def test_mimi_in_half_precision_is_computed_in_float32(mimi: hf.MimiModel, tmp_path: Path) -> None:
    half = deepcopy(mimi).to(torch.bfloat16)
    half.save_pretrained(tmp_path)
    layer = half.quantizer.acoustic_residual_vector_quantizer.layers[1].codebook
    expected = layer.embed_sum.float() / layer.cluster_usage.float().clamp(min=layer.epsilon)[:, None]
    np.testing.assert_array_equal(load_codebook(tmp_path, "acoustic.1").vectors, expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_code_that_was_hardly_used_is_divided_by_a_hundred_thousandth(dtype: type[np.floating]) -> None:
    codes = mean_of_sums(np.ones((3, 2), dtype), np.array([2, 1e-6, 0], dtype))
    assert codes.dtype == (np.float64 if dtype is np.float64 else np.float32)
    np.testing.assert_allclose(codes[:, 0], [0.5, 1e5, 1e5], rtol=1e-6)


def test_sums_without_usage_are_no_codebook(mimi: hf.MimiModel, tmp_path: Path) -> None:
    state = {k: v for k, v in mimi.state_dict().items() if not k.endswith("cluster_usage")}
    torch.save(state, tmp_path / "half.pt")
    assert not find_codebooks(tmp_path / "half.pt").codebooks
