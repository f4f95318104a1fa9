"""Extraction by two processes of Ray Data is that of this process."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_media
from tiny_media import brightness, loudness, word_lengths, write_video

from unicode_cmg.data import FeatureStore
from unicode_cmg.errors import InputError, SetupError
from unicode_cmg.extract import extract

pytest.importorskip("av")
ray = pytest.importorskip("ray")
cloudpickle = pytest.importorskip("cloudpickle")
cloudpickle.register_pickle_by_value(tiny_media)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Ray
def test_two_processes_of_ray_write_the_same_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "media").mkdir()
    whole = write_video(tmp_path / "media" / "a.mp4").read_bytes()
    for clip in "bcdefg":
        (tmp_path / "media" / f"{clip}.mp4").write_bytes(whole if clip != "d" else whole[:500])
        (tmp_path / "media" / f"{clip}.txt").write_text("a dog " * ord(clip))
    monkeypatch.chdir(tmp_path)
    encoders: dict[str, Any] = {"audio": loudness, "video": brightness, "text": word_lengths}
    results = {}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        for engine in ("local", "ray"):
            done = extract("media", encoders, engine, seconds=6, batch_size=2, workers=2, engine=engine)  # type: ignore[arg-type]
            store = FeatureStore.open(engine)
            batch = store.batch(range(len(store)))
            results[engine] = (
                store.ids,
                store.source,
                Path(engine, "broken.csv").read_text(),
                done.modalities,
                {m: x.numpy().tobytes() for m, x in batch.features.items()},
                {m: x.numpy().tobytes() for m, x in batch.masks.items()},
            )

        def refuses(text: Any, grid: Any) -> Any:
            raise InputError("not this text", where="the encoder")

        with pytest.raises(InputError, match=r"gives no features for any of 6 clips; .* not this text"):
            extract("media", {"text": refuses}, "other", engine="ray", workers=2)

        def lacks(text: Any, grid: Any) -> Any:
            if len(text.sentences[0]) > 6 * ord("e"):
                importlib.import_module("no_such_package")
            return word_lengths(text, grid)

        with pytest.raises(SetupError, match="No module named 'no_such_package'"):
            extract("media", {"text": lacks}, "lacking", engine="ray", workers=2, batch_size=1)
        assert FeatureStore.open("lacking").ids == tuple("bcde")
    finally:
        ray.shutdown()
    assert results["local"] == results["ray"]
    assert np.frombuffer(results["ray"][4]["audio"], np.float32).max() > 0.4
