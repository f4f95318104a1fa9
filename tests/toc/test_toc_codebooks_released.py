"""Released checkpoints and our own: TOC reads the very codebooks that the loaded models hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from places import GOLDEN
from tiny_models import QUANTIZERS, model_of

from toc import codebook_sha256
from toc.codebooks import find_codebooks, load_codebook
from unicode_cmg import load_pretrained
from unicode_cmg.checkpoints import convert, save_pretrained

RELEASED = {"dcid": ["layer0"], "hdcid": ["layer0", "layer1"], "fcid": ["layer0"]}
PAIR = {"audio": {"dim": 6}, "video": {"dim": 5}}


@pytest.mark.slow
@pytest.mark.parametrize("method", RELEASED)
def test_a_released_file_a_converted_one_and_its_model_have_the_same_codebooks(
    method: str, tmp_path: Path
) -> None:
    file = GOLDEN / f"{method}_ckpt_public.pt"
    convert(file, tmp_path / "native")
    model = load_pretrained(file)
    assert list(model.codebooks()) == RELEASED[method]
    for path in (file, tmp_path / "native"):
        assert [found.name for found in find_codebooks(path).codebooks] == RELEASED[method]
        for name, held in model.codebooks().items():
            vectors = load_codebook(path, name).vectors
            assert vectors.dtype == np.float64
            assert held.dtype == torch.float32
            assert codebook_sha256(vectors) == codebook_sha256(held.detach().numpy())


@pytest.mark.parametrize("method", RELEASED)
def test_the_state_dict_of_a_released_encoder_will_do(method: str, tmp_path: Path) -> None:
    file = GOLDEN / f"{method}_ckpt_public.pt"
    encoder = torch.load(file, weights_only=True)["Encoder_parameters"]
    torch.save({f"module.{key}": value for key, value in encoder.items()}, tmp_path / "encoder.pth")
    for name in RELEASED[method]:
        np.testing.assert_array_equal(
            load_codebook(tmp_path / "encoder.pth", name).vectors, load_codebook(file, name).vectors
        )


def test_a_layer_of_a_released_stack_can_be_chosen_by_key() -> None:
    file = GOLDEN / "hdcid_ckpt_public.pt"
    found = load_codebook(file, "Cross_quantizer.embedding.1")
    assert found.name == "layer1"
    np.testing.assert_array_equal(found.vectors, load_codebook(file, "layer1").vectors)


@pytest.mark.parametrize(("method", "layers"), [("dcid", 1), ("hdcid", 2)])
def test_residual_codebooks_of_our_own_go_by_the_names_of_the_model(
    method: str, layers: int, tmp_path: Path
) -> None:
    model = model_of(method, PAIR, codebook=QUANTIZERS["rvq"])
    save_pretrained(model, tmp_path / "model")
    found = find_codebooks(tmp_path / "model")
    assert [f.name for f in found.codebooks] == list(model.codebooks())
    assert {f"layer{k}.{stage}" for k in range(layers) for stage in (0, 1)} <= set(model.codebooks())
    for name, held in model.codebooks().items():
        np.testing.assert_array_equal(found.load(name).vectors, held.detach().numpy())


def test_finite_scalars_of_our_own_have_no_codebook(tmp_path: Path) -> None:
    save_pretrained(model_of("dcid", PAIR, codebook=QUANTIZERS["fsq"]), tmp_path / "model")
    found = find_codebooks(tmp_path / "model")
    assert (found.codebooks, found.candidates) == ((), ())
    assert "finite scalars" in found.table()
