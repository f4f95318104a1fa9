"""Codebooks that are told by their neighbours: which axis counts codes, and which table is looked up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from toc import CodebookError
from toc.codebooks import FoundCodebooks, find_codebooks

torch.manual_seed(0)
CODES, USES = torch.randn(32, 8), torch.rand(32) + 1
SUMS = CODES * USES[:, None]
SQUARE = torch.randn(8, 8)


def opened(state: dict[str, Tensor], folder: Path) -> FoundCodebooks:
    torch.save(state, folder / "x.pt")
    return find_codebooks(folder / "x.pt")


FAMILIES: dict[str, tuple[dict[str, Tensor], str, Tensor]] = {
    "codes as columns, in a VQ-VAE of two levels": (
        {"quantize_t.embed": CODES.T, "quantize_t.embed_avg": SUMS.T, "quantize_t.cluster_size": USES},
        "layer0",
        CODES,
    ),
    "codes as columns, in a stack": (
        {
            "quantizer.codebook.layers.0.embed": CODES.T,
            "quantizer.codebook.layers.0.embed_avg": SUMS.T,
            "quantizer.codebook.layers.0.cluster_size": USES,
        },
        "layer0",
        CODES,
    ),
    "as many codes as dimensions, as columns": (
        {"q.embed": SQUARE.T, "q.embed_avg": (SQUARE * USES[:8, None]).T, "q.cluster_size": USES[:8]},
        "layer0",
        SQUARE,
    ),
    "as many codes as dimensions, as rows": (
        {"q.embed": SQUARE, "q.embed_avg": SQUARE * USES[:8, None], "q.cluster_size": USES[:8]},
        "layer0",
        SQUARE,
    ),
    "a code count beside": (
        {"quantizer.codebook": CODES, "quantizer.code_sum": SUMS, "quantizer.code_count": USES},
        "layer0",
        CODES,
    ),
    "one letter, with its sums and elements": (
        {
            "bottleneck.level_blocks.0.k": CODES,
            "bottleneck.level_blocks.0.k_sum": SUMS,
            "bottleneck.level_blocks.0.k_elem": USES,
        },
        "layer0",
        CODES,
    ),
    "an embedding with averages beside its module": (
        {"_vq_vae._embedding.weight": CODES, "_vq_vae._ema_w": SUMS, "_vq_vae._ema_cluster_size": USES},
        "layer0",
        CODES,
    ),
    "an embedding in a vector quantizer": (
        {"vector_quantization.embedding.weight": CODES, "encoder.conv.weight": torch.randn(4, 4)},
        "layer0",
        CODES,
    ),
    "a row without a number of uses": (
        {
            "vq.codes": torch.cat([CODES, torch.randn(1, 8)]),
            "vq.codes_avg": torch.randn(33, 8),
            "vq.cluster_size": USES,
        },
        "layer0",
        CODES,
    ),
    "a padding row at the end of an embedding": (
        {"quantizer.embedding.weight": torch.cat([CODES, torch.zeros(1, 8)]), "other.weight": SQUARE},
        "layer0",
        CODES,
    ),
    "a padding row at the beginning of an embedding": (
        {"quantizer.embedding.weight": torch.cat([torch.zeros(1, 8), CODES]), "other.weight": SQUARE},
        "layer0",
        CODES,
    ),
    "a table that is mapped by a linear layer": (
        {
            "quantize.embedding.weight": CODES,
            "quantize.embedding_proj.weight": SQUARE,
            "quantize.embedding_proj.bias": USES[:8],
        },
        "layer0",
        CODES @ SQUARE.T + USES[:8],
    ),
}


@pytest.mark.parametrize(("state", "name", "codes"), FAMILIES.values(), ids=FAMILIES)
def test_the_codebook_of_a_family(state: dict[str, Tensor], name: str, codes: Tensor, tmp_path: Path) -> None:
    found = opened({f"model.{key}": value for key, value in state.items()}, tmp_path)
    assert [codebook.name for codebook in found.codebooks] == [name]
    np.testing.assert_allclose(found.load().vectors, codes, rtol=1e-5, atol=1e-6)


def test_a_list_of_tables_under_a_quantizer_is_a_stack(tmp_path: Path) -> None:
    tables = {f"quantizer.codebooks.{k}.weight": CODES + k for k in range(3)}
    found = opened({**tables, "encoder.weight": SQUARE}, tmp_path)
    assert [codebook.name for codebook in found.codebooks] == ["layer0", "layer1", "layer2"]
    for k in range(3):
        np.testing.assert_array_equal(found.load(f"layer{k}").vectors, CODES + k)


@pytest.mark.parametrize(
    "state",
    [
        {"embed_tokens.weight": CODES, "lm_head.weight": CODES, "layers.0.q_proj.weight": SQUARE},
        {"quantizer.project_in.weight": SQUARE, "quantizer.project_out.weight": SQUARE},
        {"vq.codebook_head.weight": CODES, "vq.codebook_head.bias": USES, "x.weight": SQUARE},
        {"norm.weight": CODES[0], "norm.running_mean": CODES[0], "vq_conv.weight": SQUARE, "y": SQUARE},
        {"encoder.embedding.weight": CODES, "decoder.weight": SQUARE},
        {"batch.mean": CODES, "batch.count": USES, "a": SQUARE},
    ],
    ids=["a language model", "projections", "a head", "norms", "an embedding", "statistics"],
)
def test_other_tables_are_not_taken_for_codebooks(state: dict[str, Tensor], tmp_path: Path) -> None:
    assert opened(state, tmp_path).codebooks == ()


def test_groups_are_told_apart_by_the_layer_behind_them(tmp_path: Path) -> None:
    state = {"quantizer.codevectors": torch.randn(1, 10, 3), "project_q.weight": torch.randn(7, 6)}
    found = opened(state, tmp_path)
    assert [codebook.name for codebook in found.codebooks] == ["layer0.head0", "layer0.head1"]
    for group in (0, 1):
        expected = state["quantizer.codevectors"][0, 5 * group : 5 * group + 5]
        np.testing.assert_array_equal(found.load(f"layer0.head{group}").vectors, expected)
    alone = opened({"quantizer.codevectors": state["quantizer.codevectors"]}, tmp_path)
    with pytest.raises(CodebookError, match=r"no 'project_q\.weight' tells how many groups"):
        alone.load()


@pytest.mark.slow
def test_the_groups_of_wav2vec_are_those_of_its_quantizer(tmp_path: Path) -> None:
    import transformers as hf

    one = dict.fromkeys(("num_hidden_layers", "num_feat_extract_layers", "num_attention_heads"), 1)
    sizes: dict[str, Any] = {"conv_dim": (4,), "conv_stride": (2,), "conv_kernel": (3,), "vocab_size": 9}
    codes = {"num_codevectors_per_group": 5, "num_codevector_groups": 2, "codevector_dim": 6}
    config = hf.Wav2Vec2Config(hidden_size=8, intermediate_size=8, num_conv_pos_embeddings=2, **one, **sizes)
    config.update(codes | {"num_conv_pos_embedding_groups": 2})
    model = hf.Wav2Vec2ForPreTraining(config)
    model.save_pretrained(tmp_path / "model")
    found = find_codebooks(tmp_path / "model")
    looked_up = model.quantizer.codevectors.detach().view(2, 5, 3)
    assert len(found.codebooks) == 2
    for group, codebook in enumerate(found.codebooks):
        np.testing.assert_array_equal(found.load(codebook.name).vectors, looked_up[group])


def quantizer_of(kind: str, **options: Any) -> nn.Module:
    import vector_quantize_pytorch

    torch.manual_seed(0)
    module = getattr(vector_quantize_pytorch, kind)(**options)
    torch.manual_seed(1)
    for _ in range(3):
        module.train()(torch.randn(2, 20, 6) * 3 + 1)
    return module.eval()


def test_affine_parameters_move_the_codebook(tmp_path: Path) -> None:
    module = quantizer_of("VectorQuantize", dim=6, codebook_size=8, affine_param=True)
    found = opened(module.state_dict(), tmp_path).load().vectors
    assert np.abs(found - module.codebook.numpy()).max() > 0.1
    # The module chooses the nearest code of the effective table, up to the rounding of its distances.
    x = torch.randn(1, 50, 6) * 3 + 1
    distances = torch.cdist(x[0], torch.from_numpy(found))
    of_chosen = distances.gather(1, module(x)[1][0].unsqueeze(1))[:, 0]
    assert (of_chosen - distances.amin(dim=1)).max() < 0.02


@pytest.mark.parametrize("inner", [6, 4])
def test_the_codes_of_simvq_are_its_mapped_table(inner: int, tmp_path: Path) -> None:
    module = quantizer_of("SimVQ", dim=6, codebook_size=8, frozen_codebook_dim=inner)
    found = opened(module.state_dict(), tmp_path).load().vectors
    np.testing.assert_allclose(found, module.codebook.detach(), rtol=1e-5, atol=1e-6)


def test_a_stack_of_simvq_has_a_table_for_each_layer(tmp_path: Path) -> None:
    module = quantizer_of("ResidualSimVQ", dim=6, codebook_size=8, num_quantizers=3)
    found = opened(module.state_dict(), tmp_path)
    assert [codebook.name for codebook in found.codebooks] == ["layer0", "layer1", "layer2"]
    for name, layer in zip(("layer0", "layer1", "layer2"), module.layers, strict=True):
        np.testing.assert_allclose(found.load(name).vectors, layer.codebook.detach(), rtol=1e-5, atol=1e-6)


def test_codes_behind_a_network_are_refused_by_name(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6))
    module = quantizer_of("SimVQ", dim=6, codebook_size=8, codebook_transform=network)
    with pytest.raises(CodebookError, match=r"x\.pt \(layer0\): codes behind a network .*SimVQ"):
        opened(module.state_dict(), tmp_path).load()


def test_an_implicit_neural_codebook_is_refused_by_name_and_its_first_layer_is_not(tmp_path: Path) -> None:
    module = quantizer_of(
        "ResidualVQ", dim=6, codebook_size=8, num_quantizers=2, implicit_neural_codebook=True
    )
    found = opened(module.state_dict(), tmp_path)
    np.testing.assert_array_equal(found.load("layer0").vectors, module.layers[0].codebook.detach())
    with pytest.raises(CodebookError, match=r"layer1\): an implicit neural codebook \(QINCo\)"):
        found.load("layer1")
    assert "layer1 cannot be refined: an implicit neural codebook" in found.table()
    assert ["refused" not in codebook for codebook in found.to_json()["codebooks"]] == [True, False]


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"fsq._levels": torch.tensor([5, 5]), "fsq.implicit_codebook": torch.randn(25, 2)}, "FSQ"),
        ({"lfq.mask": torch.tensor([4, 2, 1]), "lfq.codebook": torch.randn(8, 3)}, "LFQ"),
        (
            {
                "vq._codebook.embed": CODES[None],
                "vq._codebook.codebook_mean": torch.zeros(1, 1, 8),
                "vq._codebook.codebook_variance": torch.ones(1, 1, 8),
            },
            "never trained",
        ),
    ],
)
def test_fixed_grids_and_untrained_maps_are_refused_by_name(
    state: dict[str, Tensor], reason: str, tmp_path: Path
) -> None:
    found = opened({**state, "encoder.weight": SQUARE}, tmp_path)
    (codebook, *_) = found.codebooks or found.candidates
    with pytest.raises(CodebookError, match=reason):
        found.load(codebook.name)


@pytest.mark.parametrize("shared", [True, False])
def test_the_codebooks_of_a_hierarchical_quantizer(shared: bool, tmp_path: Path) -> None:
    import vector_quantize_pytorch

    module = vector_quantize_pytorch.HierarchicalVQ(
        dim=6, codebook_size=8, scales=(5, 20), shared_codebook=shared
    )
    tables = [module.vq.codebook] if shared else [vq.codebook for vq in module.vqs]
    found = opened(module.state_dict(), tmp_path)
    for codebook, table in zip(found.codebooks, tables, strict=True):
        np.testing.assert_array_equal(found.load(codebook.name).vectors, table)


def test_a_random_projection_quantizer_has_a_codebook_for_each_head(tmp_path: Path) -> None:
    import vector_quantize_pytorch

    module = vector_quantize_pytorch.RandomProjectionQuantizer(
        dim=6, codebook_size=8, codebook_dim=4, num_codebooks=2
    )
    found = opened(module.state_dict(), tmp_path)
    for codebook, table in zip(found.codebooks, module.vq.codebook, strict=True):
        np.testing.assert_array_equal(found.load(codebook.name).vectors, table)
