"""VGGish and VGG-19: names and shapes of the published weights, and what they make of sounds and images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from unicode_cmg.errors import InputError
from unicode_cmg.extract.encoders import load_encoder
from unicode_cmg.extract.encoders.vgg import VGG19, VGGish
from unicode_cmg.extract.encoders.weights import fill, read_weights
from unicode_cmg.extract.media import ONE_STEP, Frames, Grid, Sound

RATE = 16_000


def published(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Random weights of its names and shapes, equal along inputs, so that a file of them is small."""
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for key, value in network.state_dict().items():
        if value.ndim == 1:
            weights[key] = torch.zeros(value.shape)
            continue
        fan_in = value[0].numel()
        rows = torch.randn(len(value), *[1] * (value.ndim - 1), generator=generator)
        kernel = torch.randn(value.shape[2:], generator=generator) if value.ndim == 4 else torch.ones(1)
        weights[key] = (rows * kernel / fan_in).expand(value.shape)
    return weights


@pytest.fixture(scope="module")
def vggish_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("vggish") / "vggish.pth"
    with torch.device("meta"):
        network = VGGish()
    torch.save(published(network), file)
    return file


@pytest.fixture(scope="module")
def vgg19_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("vgg19") / "vgg19.pth"
    with torch.device("meta"):
        network = VGG19()
    classifier = {
        "classifier.0.weight": torch.zeros(1).expand(4096, 25088),
        "classifier.6.bias": torch.zeros(1000),
    }
    torch.save({**published(network), **classifier}, file)
    return file


def test_vggish_has_the_names_and_shapes_of_torchvggish() -> None:
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in VGGish().state_dict().items()}
    convolutions = {0: (64, 1), 3: (128, 64), 6: (256, 128), 8: (256, 256), 11: (512, 256), 13: (512, 512)}
    linear = {0: (4096, 12288), 2: (4096, 4096), 4: (128, 4096)}
    weights = {f"features.{n}.weight": (*shape, 3, 3) for n, shape in convolutions.items()}
    weights |= {f"embeddings.{n}.weight": shape for n, shape in linear.items()}
    biases = {key.replace("weight", "bias"): shape[:1] for key, shape in weights.items()}
    assert shapes == weights | biases


def test_vgg19_has_the_names_and_shapes_of_torchvision() -> None:
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in VGG19().state_dict().items()}
    places = [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]
    widths = [3, 64, 64, 128, 128, *[256] * 4, *[512] * 8]
    pairs = zip(places, zip(widths[1:], widths[:-1], strict=True), strict=True)
    weights = {f"features.{n}.weight": (*pair, 3, 3) for n, pair in pairs}
    assert shapes == weights | {key.replace("weight", "bias"): shape[:1] for key, shape in weights.items()}


def beep(second: int) -> Sound:
    noise = np.tile(np.random.default_rng(0).normal(size=RATE) * 1e-3, 5)
    noise[second * RATE + 3000 : second * RATE + 9000] += 0.5 * np.sin(0.3 * np.arange(6000))
    return Sound(noise[None].astype(np.float32), RATE)


@pytest.mark.slow
def test_a_beep_shows_in_its_second_and_a_shift_moves_the_rows(
    vggish_file: Path, torchaudio_here: None
) -> None:
    encoder = load_encoder(f"vggish:{vggish_file}", "audio")
    encoder.load()
    grid = Grid(5, 1)
    third, second = encoder.encode([encoder.prepare(beep(s), grid) for s in (3, 2)])
    assert third.shape == (5, 128)
    assert third.min() >= 0
    assert np.abs(third - third[0]).sum(1).argmax() == 3
    np.testing.assert_allclose(third[1:], second[:-1], atol=1e-5)
    provenance = encoder.provenance()
    assert (provenance["rate"], provenance["window"], len(provenance["model_sha256"])) == (16_000, 0.96, 64)


class Columns(torch.nn.Module):
    def __init__(self, first: int, end: int) -> None:
        super().__init__()
        self.columns = slice(first, end)

    def forward(self, flat: torch.Tensor) -> torch.Tensor:
        return flat[:, self.columns]


def test_the_embedding_of_vggish_reads_time_before_frequency(vggish_file: Path) -> None:
    """torchvggish flattens maps [512, 6, 4] as time, frequency, channel; its weights depend on that order."""
    network = fill(VGGish, read_weights(vggish_file), where=vggish_file)
    first = (1 * 4 + 2) * 512  # time 1, frequency 2
    network.embeddings = Columns(first, first + 128)
    spectra = torch.rand(2, 96, 64, generator=torch.Generator().manual_seed(0))
    maps = network.features(spectra.unsqueeze(1))
    np.testing.assert_allclose(network(spectra), maps[:, :128, 1, 2], atol=1e-6)
    assert maps[:, 7].unique().numel() > 12


@pytest.mark.slow
def test_pca_gives_whitened_bytes(vggish_file: Path, tmp_path: Path, torchaudio_here: None) -> None:
    vectors, means = torch.eye(128).flip(0), torch.full((128, 1), 0.25)
    torch.save({"pca_eigen_vectors": vectors, "pca_means": means}, tmp_path / "pca.pth")
    plain = load_encoder(f"vggish:{vggish_file}", "audio")
    whitened = load_encoder(
        {"name": "vggish", "model": str(vggish_file), "pca": str(tmp_path / "pca.pth")}, "audio"
    )
    clip, grid = beep(1), Grid(2, 1)
    found = []
    for encoder in (plain, whitened):
        encoder.load()
        found += encoder.encode([encoder.prepare(clip, grid)])
    expected = np.round((np.clip(found[0][:, ::-1] - 0.25, -2, 2) + 2) * 255 / 4)
    np.testing.assert_allclose(found[1], expected, atol=1)  # where rounding is a matter of the last bit
    assert "pca_sha256" in whitened.provenance()


@pytest.mark.slow
def test_pool5_is_seven_by_seven_and_a_flash_shows_in_its_step(vgg19_file: Path) -> None:
    encoder = load_encoder(f"vgg19:{vgg19_file}", "video")
    encoder.load()
    images = np.full((2, 30, 50, 3), 90, np.uint8)
    images[1] = 255
    grid = Grid(3, 1)
    (maps,) = encoder.encode([encoder.prepare(Frames(images, grid.frame_seconds(1)[:2]), grid)])
    assert maps.shape == (3, 7, 7, 512)
    assert maps.dtype == np.float32
    assert maps[1].sum() > 1.5 * maps[0].sum() > 0
    assert not maps[2].any()


def test_images_of_a_step_are_averaged(vgg19_file: Path) -> None:
    encoder = load_encoder({"name": "vgg19-pool5", "model": str(vgg19_file)}, "video")
    assert encoder.frames_per_step == 16
    assert load_encoder(f"vgg19:{vgg19_file}", "image").frames_per_step == 1
    encoder.model = torch.nn.Conv2d(3, 3, 1, bias=False)
    torch.nn.init.dirac_(encoder.model.weight)
    images = np.stack([np.full((5, 5, 3), value, np.uint8) for value in (0, 100)])
    items = [encoder.prepare(Frames(images, np.array([0.25, 0.75])), ONE_STEP)]
    items += [encoder.prepare(Frames(images[i : i + 1], np.zeros(1)), ONE_STEP) for i in (0, 1)]
    both, one, other = encoder.encode(items)
    np.testing.assert_allclose(both, (one + other) / 2, atol=1e-6)
    expected = (100 / 255 - np.array([0.485, 0.456, 0.406])) / np.array(
        [0.229, 0.224, 0.225]
    )  # torchvision's
    np.testing.assert_allclose(other[0, :, 5, 9], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"features.0.weight": torch.zeros(3)},
            "lacks 31 of 32 tensors, such as 'features.0.bias'; expected the",
        ),
        ({"a": torch.nn.Linear(1, 1)}, "no file of plain tensors"),
        ([1, 2], "it does not hold tensors by name alone"),
        (b"not a file of torch", "no file of plain tensors"),
        (b"", "the file is empty"),
    ],
)
def test_a_wrong_file_of_weights_is_one_line(tmp_path: Path, content: object, message: str) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(content) if isinstance(content, bytes) else torch.save(content, file)
    with pytest.raises(InputError, match=message) as caught:
        load_encoder(f"vgg19:{file}", "video").load()
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_tensor_of_another_shape_is_named(tmp_path: Path, vgg19_file: Path) -> None:
    weights = {**torch.load(vgg19_file), "features.5.weight": torch.zeros(1).expand(128, 64, 5, 5)}
    torch.save({"state_dict": weights}, tmp_path / "other.pth")
    with pytest.raises(
        InputError, match=r"'features.5.weight' has shape \[128, 64, 5, 5\]; expected \[128, 64, 3, 3\]"
    ):
        load_encoder(f"vgg19:{tmp_path / 'other.pth'}", "image").load()


def test_weights_may_be_in_safetensors(tmp_path: Path) -> None:
    safetensors.torch.save_file({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"lacks 31 of 32 tensors, such as 'features.0.bias'"):
        load_encoder(f"vgg19:{tmp_path / 'w.safetensors'}", "image").load()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("vggish", "'vggish' needs a file; expected vggish:FILE"),
        ("vgg19:/no/such.pth", "/no/such.pth: no such file"),
    ],
)
def test_weights_must_be_there(spec: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_encoder(spec, "audio" if "ish" in spec else "video")
