"""State dicts of vector-quantize-pytorch, as its modules write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_model
from torch import Tensor, nn

from toc import CodebookError
from toc.codebooks import find_codebooks, load_codebook


def quantizer_of(kind: str, **options: object) -> nn.Module:
    """A module of the library; one with a codebook has 8 codes of 6 dimensions."""
    import vector_quantize_pytorch  # here, because collecting tests would wait seconds for it

    sizes = {} if kind == "FSQ" else {"dim": 6, "codebook_size": 8}
    return getattr(vector_quantize_pytorch, kind)(**{**sizes, **options})


def moved(module: nn.Module) -> nn.Module:
    """The module after a training step, so that sums and codebooks differ."""
    torch.manual_seed(0)
    module.train()(torch.randn(2, 20, 6))
    return module.eval()


def saved(module: nn.Module, folder: Path) -> list[Path]:
    """The module in each kind of file."""
    torch.save({"model": module.state_dict(), "step": 1}, folder / "model.pt")
    save_model(module, str(folder / "model.safetensors"))
    return [folder / "model.pt", folder / "model.safetensors"]


def check(path: Path, expected: dict[str, Tensor]) -> None:
    found = find_codebooks(path)
    assert [f.name for f in found.codebooks] == list(expected)
    assert {f.kind for f in found.codebooks} == {"vector-quantize-pytorch"}
    for name, codes in expected.items():
        np.testing.assert_array_equal(load_codebook(path, name).vectors, codes.detach().numpy())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"learnable_codebook": True, "ema_update": False},
        {"use_cosine_sim": True},
        {"codebook_dim": 3},
        {"heads": 2},
        {"kmeans_init": True},
    ],
    ids=str,
)
def test_the_codebook_of_a_vector_quantizer(tmp_path: Path, options: dict[str, object]) -> None:
    quantizer = moved(quantizer_of("VectorQuantize", **options))
    for path in saved(quantizer, tmp_path):
        check(path, {"layer0": quantizer.codebook})


def test_heads_have_codebooks_of_their_own(tmp_path: Path) -> None:
    quantizer = moved(
        quantizer_of("VectorQuantize", heads=2, codebook_dim=3, separate_codebook_per_head=True)
    )
    for path in saved(quantizer, tmp_path):
        check(path, {f"layer0.head{k}": quantizer.codebook[k] for k in range(2)})
        assert load_codebook(path, "_codebook.embed.1").name == "layer0.head1"
        with pytest.raises(CodebookError, match=r"is 2 codebooks; choose one, such as .*_codebook\.embed\.0"):
            load_codebook(path, "_codebook.embed")


def test_layers_of_a_residual_quantizer(tmp_path: Path) -> None:
    quantizer = moved(quantizer_of("ResidualVQ", num_quantizers=12))
    for path in saved(quantizer, tmp_path):
        check(path, {f"layer{k}": layer.codebook for k, layer in enumerate(quantizer.layers)})


def test_a_codebook_that_layers_share_is_found_once(tmp_path: Path) -> None:
    quantizer = moved(quantizer_of("ResidualVQ", num_quantizers=3, shared_codebook=True))
    for path in saved(quantizer, tmp_path):
        check(path, {"layer0": quantizer.layers[0].codebook})


def test_groups_of_a_grouped_residual_quantizer(tmp_path: Path) -> None:
    quantizer = moved(quantizer_of("GroupedResidualVQ", groups=2, num_quantizers=2))
    expected = {
        f"group{g}.{k}": layer.codebook
        for g, group in enumerate(quantizer.rvqs)
        for k, layer in enumerate(group.layers)
    }
    for path in saved(quantizer, tmp_path):
        check(path, expected)


def test_names_tell_the_quantizers_of_a_model_apart(tmp_path: Path) -> None:
    top, bottom = quantizer_of("VectorQuantize"), quantizer_of("ResidualVQ", num_quantizers=2)
    model = nn.ModuleDict({"encoder": nn.Linear(6, 6), "top_quantizer": top, "bottom_quantizer": bottom})
    expected = {
        "bottom.0": bottom.layers[0].codebook,
        "bottom.1": bottom.layers[1].codebook,
        "top": top.codebook,
    }
    for path in saved(model, tmp_path):
        check(path, expected)


def test_quantizers_in_lists_are_numbered(tmp_path: Path) -> None:
    one = nn.ModuleList([nn.Sequential(nn.Linear(6, 6), quantizer_of("VectorQuantize")) for _ in range(2)])
    for path in saved(one, tmp_path):
        check(path, {f"layer{k}.1": block[1].codebook for k, block in enumerate(one)})
    two = nn.ModuleList([quantizer_of("ResidualVQ", num_quantizers=2) for _ in range(2)])
    for path in saved(two, tmp_path):
        check(path, {f"layer{q}.{k}": two[q].layers[k].codebook for q in range(2) for k in range(2)})


def test_names_that_would_be_the_same_are_whole_keys(tmp_path: Path) -> None:
    model = nn.ModuleDict(
        {
            name: nn.ModuleDict({other: quantizer_of("VectorQuantize")})
            for name, other in (("a_quantizer", "b"), ("a", "b"))
        }
    )
    for path in saved(model, tmp_path):
        found = [f.name.removeprefix("model.") for f in find_codebooks(path).codebooks]
        assert found == ["a.b", "a_quantizer.b"]


@pytest.mark.parametrize(("kind", "options"), [("FSQ", {"levels": [5, 5]}), ("LFQ", {"dim": 3})])
def test_quantizers_without_a_codebook_are_said_to_have_none(
    tmp_path: Path, kind: str, options: dict[str, object]
) -> None:
    quantizer = quantizer_of(kind, **options)
    model = nn.ModuleDict({"quantizer": quantizer, "encoder": nn.Linear(6, 6), "decoder": nn.Linear(6, 6)})
    for path in saved(model, tmp_path):
        assert "(FSQ)" in find_codebooks(path).table()
        with pytest.raises(
            CodebookError, match=r"finite scalars \(FSQ\) or without look-up \(LFQ\) have none"
        ):
            load_codebook(path)
