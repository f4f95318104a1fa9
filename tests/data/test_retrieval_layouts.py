from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from tiny_sets import h5

from unicode_cmg.data.layouts import (
    RetrievalData,
    read_retrieval,
    write_caption_words,
    write_clip,
    write_retrieval,
)
from unicode_cmg.errors import InputError

ITEMS = ("000000000042", "000000000007", "000000000139")
LENGTHS = (3, 5, 1)
MODALITIES = {
    "coco": ("video",),
    "clotho": ("audio",),
    "flickr-sound": ("audio", "video"),
    "msvd": ("video",),
    "valor": ("video", "audio"),
}


def clip(row: int) -> np.ndarray:
    return np.full((LENGTHS[row], 2), row + 1.0)


def captions(name: str) -> list[tuple[str, str | None]]:
    if name == "flickr-sound":
        return [(item, None) for item in ITEMS]
    if name == "clotho":
        return [(item, f'"what", they {k} say') for item in ITEMS for k in range(5)]
    # as published, the captions of an item need not stand together
    return [(ITEMS[0], "a, b"), (ITEMS[1], "c"), (ITEMS[0], "d\te"), (ITEMS[2], "ü")]


def written(name: str, root: Path) -> RetrievalData:
    features = {m: {item: clip(row) for row, item in enumerate(ITEMS)} for m in MODALITIES[name]}
    write_retrieval(name, root, features, captions(name))
    return read_retrieval(name, root)


@pytest.mark.parametrize("name", MODALITIES)
def test_what_is_written_is_read_back(tmp_path: Path, name: str) -> None:
    data = written(name, tmp_path)
    pairs = captions(name)
    assert (data.name, data.items) == (name, ITEMS)
    assert data.captions == tuple(caption for _, caption in pairs if caption is not None)
    if data.captions:
        assert [ITEMS[i] for i in data.item_of("text")] == [item for item, _ in pairs]
    assert data.modalities == (*MODALITIES[name], *(["text"] if data.captions else []))
    for modality in MODALITIES[name]:
        assert data.item_of(modality).tolist() == [0, 1, 2]
        values, mask = data.features(modality, np.array([2, 0, 1]))
        assert values.shape == (3, 5, 2)
        assert mask.sum(1).tolist() == [1, 3, 5]
        np.testing.assert_array_equal(values[..., 0], mask * np.array([[3], [1], [2]]))


@pytest.mark.parametrize(
    ("name", "root", "table", "folders"),
    [
        ("coco", "MSCOCO", "val_part_1.json", ["zip"]),
        ("clotho", "clotho2.1", "clotho_captions_evaluation.csv", ["zip"]),
        ("flickr-sound", "FlickrSoundNet/Data", "test.csv", ["audio/zip", "image/zip"]),
        ("msvd", "MSVD/MSVD", "test.csv", ["zip"]),
        ("valor", "VALOR32K", "VALOR-32K-annotations/desc_test.json", ["video/zip", "audio/zip"]),
    ],
)
def test_files_lie_where_the_released_readers_look(
    tmp_path: Path, name: str, root: str, table: str, folders: list[str]
) -> None:
    written(name, tmp_path)
    assert (tmp_path / root / table).is_file()
    for folder in folders:
        assert (tmp_path / root / "feature" / folder / "000000000042.zip").is_file()


def test_lists_are_in_the_published_form(tmp_path: Path) -> None:
    for name in MODALITIES:
        written(name, tmp_path)
    coco = json.loads((tmp_path / "MSCOCO/val_part_1.json").read_text())
    assert coco["annotations"][0] == {"image_id": 42, "caption": "a, b"}
    clotho = (tmp_path / "clotho2.1/clotho_captions_evaluation.csv").read_text().splitlines()
    assert clotho[0].replace('"', "") == "file_name,caption_1,caption_2,caption_3,caption_4,caption_5"
    assert len(clotho) == 1 + 3
    assert clotho[1].startswith('"000000000042.wav","""what"", they 0 say",')
    flickr = (tmp_path / "FlickrSoundNet/Data/test.csv").read_text().splitlines()
    assert flickr == ["filename", *(f"{item}.mp4" for item in ITEMS)]
    msvd = (tmp_path / "MSVD/MSVD/test.csv").read_text().splitlines()
    assert msvd[0].replace('"', "") == "video_name,caption"
    valor = json.loads((tmp_path / "VALOR32K/VALOR-32K-annotations/desc_test.json").read_text())
    assert valor[1] == {"video_id": "000000000007", "desc": "c"}


def test_clotho_captions_are_five_for_each_row_in_the_order_of_the_columns(tmp_path: Path) -> None:
    table = tmp_path / "clotho_captions_evaluation.csv"
    columns = ["file_name", *(f"caption_{k}" for k in range(1, 6)), "sound_id"]
    rows = [["a b.wav", *"12345", "x"], ["-c.wav", *"6789", "10, and", "y"]]
    lines = [",".join(f'"{cell}"' for cell in row) for row in [columns, *rows]]
    table.write_bytes("\r\n".join(lines).encode())
    data = read_retrieval("clotho", tmp_path)
    assert data.items == ("a b", "-c")
    assert data.captions == (*"123456789", "10, and")
    assert data.item_of("text").tolist() == [index // 5 for index in range(10)]


def test_image_numbers_get_twelve_digits(tmp_path: Path) -> None:
    (tmp_path / "val_part_1.json").write_text(
        json.dumps({"info": {}, "annotations": [{"image_id": 9, "caption": "x", "id": 3}]})
    )
    assert read_retrieval("coco", tmp_path).items == ("000000000009",)


@pytest.mark.parametrize("place", ["", "clotho2.1"])
@pytest.mark.parametrize("table", ["test.csv", "csv_files/test.csv", "data/clotho_captions_evaluation.csv"])
def test_a_set_is_found_in_its_folder_and_from_above_and_by_other_names(
    tmp_path: Path, place: str, table: str
) -> None:
    wanted = written("clotho", tmp_path)
    new = tmp_path / "clotho2.1" / table
    new.parent.mkdir(exist_ok=True)
    wanted.table.rename(new)
    (tmp_path / "clotho2.1/feature/audio").mkdir()
    (tmp_path / "clotho2.1/feature/zip").rename(tmp_path / "clotho2.1/feature/audio/zip")
    data = read_retrieval("clotho", tmp_path / place)
    assert (data.table, data.captions) == (new, wanted.captions)
    assert data.features("audio", np.array([1])).values.shape == (1, 5, 2)


@pytest.mark.parametrize("name", ["coco", "clotho", "msvd", "valor"])
def test_words_are_read_padded_and_masked_where_somebody_wrote_them(tmp_path: Path, name: str) -> None:
    data = written(name, tmp_path)
    count = len(data.captions)
    words = [np.full((1 + i % 3, 4), i + 1, np.float32) for i in range(count)]
    write_caption_words(data, words)
    rows = np.array([2, 0, 3])
    values, mask = data.features("text", rows)
    assert values.shape == (3, 3, 4)
    assert mask.sum(1).tolist() == [3, 1, 1]
    np.testing.assert_array_equal(values[..., 0], mask * (rows[:, None] + 1))
    for steps in (2, 5):
        values, mask = data.features("text", rows, steps)
        assert values.shape == (3, steps, 4)
        assert mask.sum(1).tolist() == [min(3, steps), 1, 1]
        assert not values[~mask].any()


def test_without_word_vectors_one_line_says_where_they_belong(tmp_path: Path) -> None:
    data = written("clotho", tmp_path)
    with pytest.raises(InputError) as caught:
        data.features("text", np.array([0]))
    message = str(caught.value)
    assert message.startswith(f"{tmp_path}/clotho2.1/text_feature.h5: no word vectors")
    assert "[15, words, channels]" in message
    assert "write_caption_words" in message
    assert "\n" not in message


def write_words(data: RetrievalData, values: np.ndarray, mask: np.ndarray | None = None) -> None:
    for name, array in (("text_feature.h5", values), ("text_mask.h5", mask)):
        if array is not None:
            h5(data.table.parent / name, array)


def test_words_without_a_mask_are_all_real(tmp_path: Path) -> None:
    data = written("clotho", tmp_path)
    write_words(data, np.zeros((15, 4, 2)))
    assert data.features("text", np.array([3])).mask.tolist() == [[True] * 4]


@pytest.mark.parametrize(
    ("values", "mask", "message"),
    [
        (
            np.zeros((14, 4, 2)),
            None,
            r"text_feature.h5: the array is \[14, 4, 2\]; expected \[15, any, any\]",
        ),
        (np.full((15, 4, 2), np.nan), None, "text_feature.h5: .*NaN or infinite in caption 3"),
        (np.zeros((15, 4, 2)), np.ones((15, 5)), r"text_mask.h5: the array is \[15, 5\]"),
        (np.zeros((15, 4, 2)), np.arange(15)[:, None] != np.full(4, 6), "caption 6 has no valid word"),
    ],
)
def test_words_that_do_not_fit_the_captions_are_refused(
    tmp_path: Path, values: np.ndarray, mask: np.ndarray | None, message: str
) -> None:
    data = written("clotho", tmp_path)
    write_words(data, values, mask)
    with pytest.raises(InputError, match=message):
        data.features("text", np.array([3]))


def test_words_to_write_are_checked(tmp_path: Path) -> None:
    data = written("coco", tmp_path)
    ones = [np.ones((2, 3))] * 4
    with pytest.raises(InputError, match="vectors of 3 captions; expected 4"):
        write_caption_words(data, ones[:3])
    with pytest.raises(InputError, match=r"caption 2: the array is \[2, 5\]; expected \[any, 3\]"):
        write_caption_words(data, [*ones[:2], np.ones((2, 5)), ones[0]])
    with pytest.raises(InputError, match=r"caption 3: the array is \[0, 3\]"):
        write_caption_words(data, [*ones[:3], np.ones((0, 3))])
    assert not (data.table.parent / "text_feature.h5").exists()


COCO, CLOTHO = "MSCOCO/val_part_1.json", "clotho2.1/clotho_captions_evaluation.csv"
MSVD, VALOR = "MSVD/MSVD/test.csv", "VALOR32K/VALOR-32K-annotations/desc_test.json"
FLICKR, COLUMNS = (
    "FlickrSoundNet/Data/test.csv",
    "file_name,caption_1,caption_2,caption_3,caption_4,caption_5",
)


def entries(*annotations: dict[str, object]) -> str:
    return json.dumps({"annotations": annotations})


@pytest.mark.parametrize(
    ("name", "table", "content", "message"),
    [
        ("coco", COCO, '{"annotations": [', "val_part_1.json: not valid JSON"),
        ("coco", COCO, "[]", "no entry in this list; expected an object with a list 'annotations'"),
        ("coco", COCO, entries(), "no entry"),
        ("coco", COCO, entries({"image_id": 3}), "entry 0 lacks image_id or caption"),
        ("coco", COCO, entries({"image_id": "../x", "caption": "y"}), r"the image_id '../x'"),
        ("coco", COCO, entries({"image_id": 3, "caption": " "}), "caption 0, of '000000000003', is empty"),
        ("clotho", CLOTHO, "file_name,caption_1\na.wav,b\n", "no column 'caption_2'"),
        ("clotho", CLOTHO, f"{COLUMNS}\na.wav,b,c\n", "line 2: a row with too few columns"),
        ("clotho", CLOTHO, f"{COLUMNS}\n.wav,b,c,d,e,f\n", "'.wav' names no item"),
        ("msvd", MSVD, "video_name,caption\nx,\n", "caption 0, of 'x', is empty"),
        ("msvd", MSVD, "video,caption\nx,y\n", "no column 'video_name'"),
        ("valor", VALOR, '[{"video_id": "x"}]', "entry 0 lacks video_id or desc"),
        ("flickr-sound", FLICKR, "filename\n", "no row after the header"),
    ],
)
def test_lists_that_make_no_sense_are_named(
    tmp_path: Path, name: str, table: str, content: str, message: str
) -> None:
    written(name, tmp_path)
    (tmp_path / table).write_text(content)
    with pytest.raises(InputError, match=message):
        read_retrieval(name, tmp_path)
    (tmp_path / table).unlink()
    with pytest.raises(InputError, match=f"{Path(table).name}: no such file"):
        read_retrieval(name, tmp_path)


def test_items_without_usable_features_are_named(tmp_path: Path) -> None:
    data = written("clotho", tmp_path)
    folder = data.feature_folders["audio"]
    (folder / "000000000042.zip").unlink()
    with pytest.raises(InputError, match=r"000000000042.zip: no such file"):
        data.features("audio", np.array([0]))
    write_clip(folder / "000000000042.zip", np.ones((3, 9)))
    with pytest.raises(InputError, match=r"000000000042.zip: features of \[9\] a step; expected \[2\]"):
        data.features("audio", np.array([1, 0]))
    (folder / "000000000007.zip").write_bytes(pickle.dumps(np.ones((3, 2))))
    with pytest.raises(InputError, match=r"000000000007.zip: not a readable zip"):
        data.features("audio", np.array([1]))


def test_unknown_sets_modalities_and_rows_are_refused(tmp_path: Path) -> None:
    data = written("flickr-sound", tmp_path)
    with pytest.raises(
        InputError, match=r"unknown retrieval set 'mscoco'; expected one of coco, clotho, .*valor"
    ):
        read_retrieval("mscoco", tmp_path)
    with pytest.raises(InputError, match="unknown modality 'text'; expected one of audio, video"):
        data.item_of("text")
    with pytest.raises(InputError, match="audio: rows 0 to 3; expected 0 to 2"):
        data.features("audio", np.array([0, 3]))
