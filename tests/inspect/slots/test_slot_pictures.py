"""Pages and figures of matched slots: what is coloured, where, and that the page stands alone."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from matplotlib.patches import Rectangle
from page_reader import Page
from tiny_slot_run import slot_run, write_store

import cli
from benchmarks.report import build_report
from unicode_cmg.data import FeatureStore
from unicode_cmg.data.digits.sources import scans, windows
from unicode_cmg.errors import InputError
from unicode_cmg.inspect import MatchedSlots, draw_slots, matched_slots, write_slots
from unicode_cmg.inspect.frames import frames_of
from unicode_cmg.inspect.slots.scene import COLOURS, Images, Sentence, scenes


@pytest.fixture(scope="module")
def found(run: Path, store: FeatureStore) -> MatchedSlots:
    return matched_slots(run, store, clips=4, tokens=5)


@pytest.fixture(scope="module")
def page(run: Path, store: FeatureStore) -> Page:
    to = run.parent / "slots.html"
    write_slots(run, store, to, clips=4, tokens=5)
    return Page(to.read_text(encoding="utf-8"))


def best_tokens(found: MatchedSlots, clip: int, teacher: str, colours: int = COLOURS) -> dict[int, list[int]]:
    """Token -> colours it should have."""
    claims: dict[int, list[int]] = {}
    for colour, slot in enumerate(found.clips[clip].slots[:colours]):
        for match in slot.teachers.get(teacher, ())[:1]:
            for token in match.tokens:
                claims.setdefault(token.token, []).append(colour)
    return claims


def test_exactly_the_listed_tokens_are_coloured(found: MatchedSlots, store: FeatureStore) -> None:
    claimed = 0
    for number, scene in enumerate(scenes(found, store)):
        audio, video, text = scene.teachers
        assert isinstance(audio, Images)
        assert isinstance(video, Images)
        assert isinstance(text, Sentence)
        for teacher, drawn in (("audio", audio), ("video", video)):
            colours: dict[str, list[int]] = {}
            for part in drawn.parts:
                if part.claim is not None:
                    colours.setdefault(part.name, []).append(part.claim.colour)
            expected = best_tokens(found, number, teacher)
            names = {_name(teacher, token): claims for token, claims in expected.items()}
            assert colours == names
            claimed += len(names)
        expected = best_tokens(found, number, "text")
        assert [[c.colour for c in word.claims] for word in text.words] == [
            expected.get(step, []) for step in range(len(text.words))
        ]
        words = [word for word in list(store.tokens("text"))[number] if word is not None]
        assert [word.text for word in text.words] == [word or "·" for word in words]
    assert claimed > 0


def _name(teacher: str, token: int) -> str:
    if teacher == "audio":
        return f"step {token}"
    return f"step {token // 6}, row {token % 6 // 2}, column {token % 2}"


def test_a_token_is_drawn_over_its_place(found: MatchedSlots, store: FeatureStore) -> None:
    drawn = scenes(found, store, clips=1)[0].teachers[1]
    assert isinstance(drawn, Images)
    lengths = np.linalg.norm(store.batch([0]).features["video"][0].numpy(), axis=-1)
    for part in drawn.parts:
        step, row, col = (int(number) for number in re.findall(r"\d+", part.name))
        grey = drawn.pixels[int(part.y), int(part.x), 0]
        share = (lengths[step, row, col] - lengths.min()) / np.ptp(lengths)
        assert grey == pytest.approx(255 * (1 - 0.4 * share), abs=1.01)


def test_long_clips_go_over_several_lines(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    FeatureStore.write(tmp_path / "long", {"audio": rng.standard_normal((1, 25, 6))}, ["a"])
    store = FeatureStore.open(tmp_path / "long")
    token = {"token": 24, "step": 24, "row": None, "col": None, "word": None, "weight": 0.5}
    match = {"slot": 1, "similarity": 0.5, "tokens": [token]}
    slot = {"slot": 0, "columns": {"audio": 1.0}, "teachers": {"audio": [match]}}
    counts = {"tokens": 25, "slots": 1}
    clip = {"clip": "a", "words": {}, "joint": counts, "teachers": {"audio": counts}, "slots": [slot]}
    found = MatchedSlots.parse(
        {
            "method": "dcid",
            "checkpoint": "",
            "features": "",
            "seed": 0,
            "slots": 2,
            "moments": [],
            "teachers": {"audio": {"column": "audio", "steps": 25, "rows": None, "cols": None}},
            "clips": [clip],
        },
        where="test",
    )
    (images,) = scenes(found, store)[0].teachers
    assert isinstance(images, Images)
    assert len(images.outlines) == 25
    assert images.width == 89
    (part,) = (part for part in images.parts if part.claim)
    assert part.claim is not None
    assert (part.claim.strength, part.x) == (1.0, 4 * 9)
    assert part.y == images.outlines[24][1] + images.outlines[24][3]


def test_digits_are_drawn_as_they_were_written(tmp_path: Path) -> None:
    scan = scans().pixels[17]
    video = np.repeat(windows(scan)[None, None], 2, axis=1)
    FeatureStore.write(tmp_path / "digits", {"video": video}, ["a"], source={"name": "digits"})
    frames = frames_of(FeatureStore.open(tmp_path / "digits"), "video", 0)
    assert frames.border == 0.5
    np.testing.assert_allclose(255 - frames.pixels[1, ..., 0], 0.4 * 255 * scan, atol=1.6)


def test_padding_has_no_image(store: FeatureStore) -> None:
    mask = store.batch([0, 1], modalities=["text"]).masks["text"].numpy()
    for row in (0, 1):
        shown = frames_of(store, "text", row).pixels[..., 3].any(axis=(1, 2))
        assert shown.tolist() == mask[row].tolist()


def test_the_page_shows_each_clip_and_needs_no_other_file(page: Page, found: MatchedSlots) -> None:
    assert [tag["class"] for tag in page.of("article")] == ["slots"] * 4
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    images = page.of("image")
    assert len(images) == 8
    for image in images:
        kind, _, data = image["href"].partition(",")
        assert kind == "data:image/png;base64"
        assert imread(io.BytesIO(base64.b64decode(data))).shape[2] == 4
    for clip in found.clips:
        assert clip.clip in page.text
        assert f"kept: joint {clip.joint.slots}, audio {clip.teachers['audio'].slots}" in page.text
        for slot in clip.slots:
            similar = ", ".join(f"{m} {v[0].similarity:.2f}" for m, v in slot.teachers.items())
            assert f"slot {slot.slot}: {similar}" in page.text
    assert all(tag.get("aria-label") for tag in page.of("svg"))


def test_the_page_colours_what_the_record_lists(page: Page, found: MatchedSlots) -> None:
    coloured = [tag["class"] for tag in page.of("rect") if tag.get("class", "").startswith("m ")]
    expected = [
        f"m m{colour}"
        for clip in range(4)
        for teacher in ("audio", "video")
        for claims in best_tokens(found, clip, teacher).values()
        for colour in claims
    ]
    assert sorted(coloured) == sorted(expected)
    stripes = [tag["class"] for tag in page.of("i") if tag.get("class", "").startswith("m ")]
    words = [c for clip in range(4) for v in best_tokens(found, clip, "text").values() for c in v]
    assert sorted(stripes) == sorted(f"m m{colour}" for colour in words)


def test_the_figure_colours_what_the_record_lists(
    found: MatchedSlots, store: FeatureStore, tmp_path: Path
) -> None:
    figure = draw_slots(found, store, tmp_path / "slots.png", clips=2, colours=2)
    filled = [p for p in figure.axes[0].patches if isinstance(p, Rectangle) and p.get_alpha() is not None]
    expected = [
        len(claims)
        for clip in range(2)
        for teacher in ("audio", "video", "text")
        for claims in best_tokens(found, clip, teacher, 2).values()
    ]
    assert len(filled) == sum(expected)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert ["clip-0" in texts, "clip-1" in texts, "clip-2" in texts] == [True, True, False]
    assert imread(tmp_path / "slots.png").shape[2] == 4


@pytest.mark.parametrize("name", ["slots.txt", "slots"])
def test_a_name_without_a_format_is_refused_before_anything_is_read(
    store: FeatureStore, tmp_path: Path, name: str
) -> None:
    with pytest.raises(InputError, match=r"expected \.html, \.png, \.pdf, \.svg"):
        write_slots(tmp_path / "no run", store, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_command_prints_the_record_and_writes_the_page(
    run: Path, store: FeatureStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["slots", str(run), str(store.path), "--clips", "clip-4,clip-2", "--tokens", "3"]
    expected = matched_slots(run, store, clips=["clip-4", "clip-2"], tokens=3)
    assert cli.run([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == expected.to_json()
    assert cli.run([*arguments, "--to", str(tmp_path / "page.html")]) == 0
    assert capsys.readouterr().out == f"{expected.table()}\n\nwritten to {tmp_path / 'page.html'}\n"
    assert [tag["class"] for tag in Page((tmp_path / "page.html").read_text()).of("article")] == ["slots"] * 2
    assert cli.run(["slots", str(run), str(store.path), "--clips", "3", "--seed", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == matched_slots(run, store, clips=3, seed=1).to_json()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["RUN/model", "STORE"], "there is no checkpoint of a run here"),
        (["RUN", "STORE", "--clips", "clip-77"], "no clip 'clip-77'"),
        (["RUN", "STORE", "--clips", ","], "expected a number, or ids"),
        (["RUN", "STORE", "--to", "slots.doc"], "'.doc' is no picture"),
        (["RUN", "RUN"], "no features.json in this folder"),
    ],
)
def test_a_mistake_is_one_line(
    run: Path, store: FeatureStore, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {"RUN": str(run), "STORE": str(store.path)}
    given = [re.sub("RUN|STORE", lambda match: known[match.group()], argument) for argument in arguments]
    assert cli.run(["slots", *given]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("error: ")
    assert says in line


@pytest.mark.slow
def test_the_report_of_a_run_has_its_slots(run: Path, store: FeatureStore) -> None:
    text = build_report(run, features=store.path).read_text(encoding="utf-8")
    page = Page(text)
    assert {"id": "slots"} in page.of("section")
    assert {"href": "#slots"} in page.of("a")
    assert [tag["class"] for tag in page.of("article")] == ["slots"] * 3
    for term in ("contrastive", "retrieval", "reconstruction", "keep"):
        assert f"<code>slot_alignment/{term}</code>" in text
    assert "Means over 24 clips that the run was trained on" in page.text
    found = matched_slots(run, store, clips=24)
    results = json.loads((run / "results.json").read_text())["slots"]
    assert results["clips"] == 24
    assert results["means"]["audio"]["slots"] == found.summary()["audio"].slots
    assert f"{found.summary()['joint'].slots:.1f}" in page.text
    assert set(re.findall(r"var\((--[\w-]+)\)", text)) <= set(re.findall(r"(--[\w-]+):", text))


@pytest.mark.slow
def test_the_report_says_why_there_are_no_pictures(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store")
    run = slot_run(store, tmp_path / "run")
    page = Page(build_report(run, features=tmp_path / "gone").read_text(encoding="utf-8"))
    assert "No picture of what the slots attend to: " in page.text
    assert "no such folder" in page.text
    page = Page(build_report(run).read_text(encoding="utf-8"))
    assert "No picture of what the slots attend to: " in page.text
    assert "outside of its folder; name them with --features" in page.text
    assert page.of("article") == []
    assert json.loads((run / "results.json").read_text())["slots"] is None


@pytest.mark.slow
def test_the_report_of_a_run_without_slots_has_no_such_section(store: FeatureStore, tmp_path: Path) -> None:
    run = slot_run(store, tmp_path / "run", {"name": "structure"})
    page = Page(build_report(run).read_text(encoding="utf-8"))
    assert "slots" not in [tag.get("id") for tag in page.of("section")]
