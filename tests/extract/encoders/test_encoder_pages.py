"""The pages on encoders: the reference is written from them, and the guide can be followed word for word."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from places import DOCS

from unicode_cmg.extract.encoders import load_encoder
from unicode_cmg.extract.encoders.reference import _GIVES, _PRESET_GIVES, reference
from unicode_cmg.extract.encoders.registry import OURS, PRESETS, encoder_class
from unicode_cmg.extract.media import Frames, Grid

GUIDE = (DOCS / "guide" / "add-an-encoder.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, flags=re.DOTALL | re.MULTILINE)


def test_the_reference_is_the_one_written_from_the_encoders() -> None:
    assert (DOCS / "reference" / "encoders.md").read_text(encoding="utf-8") == reference(), (
        "python -m unicode_cmg.extract.encoders.reference > docs/reference/encoders.md"
    )


def test_the_reference_describes_every_encoder() -> None:
    assert list(_GIVES) == list(OURS) == sorted(OURS)
    assert list(_PRESET_GIVES) == list(PRESETS) == sorted(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_settings_of_a_short_name_exist(name: str) -> None:
    values = dict(PRESETS[name])
    kind = encoder_class(values.pop("name"))
    assert kind.config_class.parse(values, where=name).to_json().items() >= values.items()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package of the guide on the path, with the metadata that its pyproject.toml asks for."""
    (project,) = (tomllib.loads(block) for block in blocks("toml"))
    (module,) = project["tool"]["setuptools"]["py-modules"]
    (tmp_path / f"{module}.py").write_text(blocks("python")[0], encoding="utf-8")
    info = tmp_path / "colour_encoder-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: colour-encoder\nVersion: 0.1.0\n")
    points = project["project"]["entry-points"]["unicode_cmg.encoders"]
    lines = "".join(f"{name} = {place}\n" for name, place in points.items())
    (info / "entry_points.txt").write_text(f"[unicode_cmg.encoders]\n{lines}")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop(module, None)


@pytest.mark.usefixtures("installed")
def test_the_encoder_of_the_guide_is_installed_and_extracts(capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(blocks("python")[1], "add-an-encoder.md", "exec"), {})
    assert capsys.readouterr().out.strip().splitlines()[-1] == "(1, 6)"


@pytest.mark.usefixtures("installed")
def test_the_encoder_of_the_guide_keeps_the_rules() -> None:
    encoder = load_encoder("colours", "video")
    images = np.zeros((2, 4, 4, 3), np.uint8)
    images[1] = 255, 0, 70
    grid = Grid(3, 1)
    (rows,) = encoder.encode([encoder.prepare(Frames(images, np.array([0.5, 1.5])), grid)])
    first, second = [1, 0, 0, 0] * 3, [0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 0, 0]
    assert rows.tolist() == [first, second, [0] * 12]
