"""The page on raw media can be followed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from places import DOCS
from tiny_media import write_sound, write_video

from unicode_cmg.extract.settings import ExtractSettings
from unicode_cmg.extract.sources import Wanted, open_media

pytest.importorskip("av")
pytest.importorskip("soundfile")
PAGE = (DOCS / "guide/raw-media.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
    return str(found)


def test_the_function_of_the_page_is_an_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("clips").mkdir()
    write_sound(Path("clips/a.wav"))
    write_video(Path("clips/b.mp4"))
    exec(compile(block("python"), "raw-media.md", "exec"), {})
    assert capsys.readouterr().out == "{'audio': 2}\n"


def test_the_list_of_the_page_is_one(tmp_path: Path) -> None:
    (tmp_path / "clips.csv").write_text(block("text"), encoding="utf-8")
    found = open_media(tmp_path / "clips.csv", {"video": Wanted("video"), "text": Wanted("text")}, None, None)
    assert [(clip.id, clip.start, clip.end) for clip in found.clips] == [("a", 0, 10), ("b", 62.5, 70)]
    assert found.columns == ("start", "end", "label", "split")


def test_the_configuration_of_the_page_is_one() -> None:
    settings = ExtractSettings.parse(yaml.safe_load(block("yaml")), where="raw-media.md")
    assert settings.modalities["speech"].kind == "audio"
    assert settings.modalities["audio"].encoder == "vggish:models/vggish.pth"
