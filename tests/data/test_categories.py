from __future__ import annotations

from unicode_cmg.data import categories
from unicode_cmg.data.categories import category_table, expected


def test_lists_have_as_many_different_classes_as_published() -> None:
    for names, count in (
        (categories.ave_classes(), 28),
        (categories.avvp_classes("cmg"), 25),
        (categories.avvp_classes("official"), 25),
        (categories.ave_avvp_classes(), 12),
        (categories.ucf_vgg_classes(), 16),
        (categories.vggsound_avel_classes(), 141),
    ):
        assert len(set(names)) == len(names) == count


def test_the_two_orders_of_avvp_name_the_same_classes() -> None:
    cmg, official = categories.avvp_classes("cmg"), categories.avvp_classes("official")
    assert cmg != official
    assert set(cmg) == set(official)
    assert (cmg[0], cmg[-1]) == ("Fire_alarm", "Blender")
    assert (official[0], official[-1]) == ("Speech", "Clapping")


def test_shared_classes_belong_to_both_data_sets_and_two_have_other_names() -> None:
    pairs = categories.ave_avvp_classes()
    assert {avvp for avvp, _ in pairs} < set(categories.avvp_classes())
    assert {ave for _, ave in pairs} < set(categories.ave_classes())
    assert dict(pairs)["Dog"] == "Bark"
    assert dict(pairs)["Car"] == "Race car, auto racing"
    for row, (_, ave) in zip(category_table("ave_avvp"), pairs, strict=True):
        assert categories.ave_classes()[int(row["ave_index"])] == ave


def test_rows_of_the_classes_add_up_to_those_of_the_files() -> None:
    ave = expected("ave")
    for split, count in ave["splits"].items():
        assert sum(int(row[split]) for row in category_table("ave")) == count
    assert sum(ave["splits"].values()) == ave["counts"]["clips"]
    for column, side in (("ucf_rows", "video"), ("vgg_rows", "audio")):
        assert sum(int(row[column]) for row in category_table("ucf_vgg")) == expected("ucf-vgg")[side]
    avel = expected("vggsound-avel")
    for split in ("train", "val", "test"):
        assert sum(int(row[split]) for row in category_table("vggsound_avel")) == avel[split]
    assert sum(avel[split] for split in ("train", "val", "test")) == avel["clips"]
    events = expected("avvp")["events"]
    for modality, column in (("audio", "audio_events_checked"), ("video", "visual_events_checked")):
        total = sum(int(row[column]) for row in category_table("avvp"))
        assert total == events[modality]["_checked"]["lines"]
    rows = category_table("ave_avvp")
    assert sum(int(row["ave_train_samples_used"]) for row in rows) == sum(
        expected("ave-avvp")["order"].values()
    )
    shared = expected("ave-avvp")["events"]
    assert sum(int(row["audio_eval_events"]) for row in rows) == shared["audio"]["_checked"]["lines"]
    assert sum(int(row["visual_eval_events"]) for row in rows) == shared["video"]["_checked"]["lines"]


def test_the_two_broken_pairs_have_rows_on_one_side_only() -> None:
    broken = [row for row in category_table("ucf_vgg") if "0" in (row["ucf_rows"], row["vgg_rows"])]
    assert [row["ucf_category"] for row in broken] == ["FrisbeeCatch", "Bowling"]


def test_an_unknown_task_has_no_counts() -> None:
    assert expected("coco") == {}
