"""Still images and texts of every common kind."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unicode_cmg.errors import SetupError
from unicode_cmg.extract.clips import kind_of
from unicode_cmg.extract.decoding import read_picture, read_sentences
from unicode_cmg.extract.faults import MediaError

Image = pytest.importorskip("PIL.Image")


def corners(path: Path) -> tuple[list[int], list[int]]:
    """The colors of a picture on top at the left, and at the bottom at the right."""
    image = read_picture(path, path.parent).images[0].astype(int)
    return image[1, 1].tolist(), image[-2, -2].tolist()


def red_corner(mode: str = "RGB") -> Any:
    """A white picture of 16x8 whose left upper quarter is red, or black in grey."""
    image = Image.new("RGB", (16, 8), "white")
    image.paste((255, 0, 0) if mode != "L" else (0, 0, 0), (0, 0, 8, 4))
    return image.convert(mode)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("a.png", "RGB"),
        ("a.png", "P"),
        ("a.tif", "CMYK"),
        ("a.jpg", "CMYK"),
        ("a.jpg", "RGB"),
        ("a.bmp", "RGB"),
    ],
)
def test_colors_are_the_same_in_every_kind_of_file(tmp_path: Path, name: str, mode: str) -> None:
    red_corner(mode).save(tmp_path / name, quality=100)
    top, bottom = corners(tmp_path / name)
    assert top == pytest.approx([255, 0, 0], abs=12)
    assert bottom == pytest.approx([255, 255, 255], abs=12)


def test_an_image_is_turned_as_its_exif_tag_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    red_corner().save(tmp_path / "a.png", exif=exif)
    assert corners(tmp_path / "a.png") == ([255, 255, 255], [255, 0, 0])


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (16, 8), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 8, 4))
    image.convert(mode).save(tmp_path / "a.png")
    assert corners(tmp_path / "a.png") == ([0, 0, 0], [255, 255, 255])


@pytest.mark.parametrize(
    ("dtype", "largest"), [(np.uint16, 65535), (np.int32, 65535), (np.float32, 1.0), (np.float32, 255.0)]
)
def test_more_than_8_bits_become_8(tmp_path: Path, dtype: Any, largest: float) -> None:
    values = np.zeros((8, 16), dtype)
    values[4:] = largest
    values[2:4] = largest / 2
    Image.fromarray(values).save(tmp_path / "a.tif")
    image = read_picture(tmp_path / "a.tif", tmp_path).images[0]
    assert (image.shape, image[0].max(), image[-1].min()) == ((8, 16, 3), 0, 255)
    assert image[2].mean() == pytest.approx(128, abs=1)


def svg(content: str, size: str = 'width="40" height="20"') -> bytes:
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{content}</svg>'.encode()


def drawn(path: Path, content: bytes) -> Any:
    try:
        import cairosvg  # noqa: F401
    except (ImportError, OSError) as error:
        pytest.skip(f"cairosvg cannot be used ({error})")
    path.write_bytes(content)
    return read_picture(path, path.parent).images[0]


def test_an_svg_is_drawn_on_white_in_its_proportions(tmp_path: Path) -> None:
    image = drawn(
        tmp_path / "a.svg", svg('<rect width="40" height="20" fill="blue"/>', 'viewBox="0 0 40 20"')
    )
    assert image.shape == (512, 512, 3)
    assert image[256, 256].tolist() == [0, 0, 255]
    assert image[10, 256].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (svg('<image width="9" height="9" href="file:///etc/hostname"/>'), "outside"),
        (svg('<image width="9" height="9" href="http://localhost:9/x.png"/>'), "outside"),
        (svg('<use href="other.svg#a"/>'), "outside"),
        (b'<!DOCTYPE s [<!ENTITY e SYSTEM "file:///etc/hostname">]>' + svg("<text>&e;</text>"), "unreadable"),
        (svg('<rect width="5" height="5"/>')[:-20], "unreadable"),
    ],
)
def test_an_svg_that_is_damaged_or_refers_to_other_files_is_refused(
    tmp_path: Path, content: bytes, kind: str
) -> None:
    with pytest.raises(MediaError) as found:
        drawn(tmp_path / "a.svg", content)
    assert found.value.kind == kind


def test_a_picture_inside_an_svg_is_drawn(tmp_path: Path) -> None:
    held = io.BytesIO()
    Image.new("RGB", (4, 4), "lime").save(held, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(held.getvalue()).decode()}"
    image = drawn(
        tmp_path / "a.svg", svg(f'<image width="40" height="20" preserveAspectRatio="none" href="{url}"/>')
    )
    assert image[256, 256].tolist() == [0, 255, 0]


def test_an_enormous_svg_takes_no_more_memory_than_another(tmp_path: Path) -> None:
    content = svg('<rect width="5" height="5"/>', 'width="1000000" height="3000000"')
    assert drawn(tmp_path / "a.svg", content).shape == (512, 512, 3)


def png_header(width: int, height: int) -> bytes:
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = chunk(b"IDAT", zlib.compress(b""))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + rows + chunk(b"IEND", b"")


@pytest.mark.parametrize("case", ["bomb", "truncated", "text", "empty"])
def test_a_picture_that_cannot_be_used_is_refused(tmp_path: Path, case: str) -> None:
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 60, 3), np.uint8)).save(whole, "PNG")
    content = {
        "bomb": png_header(60000, 60000),
        "truncated": whole.getvalue()[:600],
        "text": b"hello",
        "empty": b"",
    }[case]
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(MediaError) as found:
        read_picture(tmp_path / "a.png", tmp_path)
    assert found.value.kind == ("empty" if case == "empty" else "unreadable")


def test_a_text_is_its_lines_that_are_not_empty(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("\ufeffUn chien  aboie.\r\n\n dehors, là-bas\n".encode())
    assert read_sentences(tmp_path / "a.txt", tmp_path).sentences == ("Un chien aboie.", "dehors, là-bas")
    assert len(read_sentences(("word " * 10_000,), tmp_path).sentences[0].split()) == 10_000


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"", "empty"), (b" \n\t\n", "empty"), (b"caf\xe9", "unreadable"), (b"a\x00b", "unreadable")],
)
def test_a_text_without_a_word_or_in_another_encoding_is_refused(
    tmp_path: Path, content: bytes, kind: str
) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(MediaError) as found:
        read_sentences(tmp_path / "a.txt", tmp_path)
    assert found.value.kind == kind


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("A.JPG", "image"),
        ("a.b.Heic", "image"),
        ("a.MTS", "video"),
        ("a.weba", "audio"),
        ("a.TXT", "text"),
        ("a.md", None),
        ("jpg", None),
    ],
)
def test_the_suffix_of_a_file_says_what_it_holds(name: str, kind: str | None) -> None:
    assert kind_of(name) == kind


def test_a_photo_of_a_phone_is_read_or_the_missing_package_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.heic"
    try:
        import pillow_heif
    except ImportError:
        path.write_bytes(b"a photo")
        with pytest.raises(SetupError, match="pip install pillow-heif"):
            read_picture(path, tmp_path)
    else:
        pillow_heif.register_heif_opener()
        Image.new("RGB", (8, 6), "red").save(path)
        assert read_picture(path, tmp_path).images.shape == (1, 6, 8, 3)
