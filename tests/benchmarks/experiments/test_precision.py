"""How many steps get the same code in bfloat16 as in float32."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_models import IMAGE, QUANTIZERS, SPEECH, model_of
from typer.testing import CliRunner

from benchmarks.experiments.precision import main, same_codes
from unicode_cmg import FeatureStore
from unicode_cmg.checkpoints.native import save_pretrained
from unicode_cmg.console import app_of


def test_the_share_of_steps_with_the_same_code_is_that_of_two_encodings(tmp_path: Path) -> None:
    modalities = {"speech": SPEECH, "image": IMAGE}
    model = model_of("dcid", modalities, num_codes=300, codebook=QUANTIZERS["rvq"]).eval()
    for book in model.codebooks().values():  # codes so close that rounding decides between some of them
        book.normal_()
    g = torch.Generator().manual_seed(0)
    shapes = {"speech": (5,), "image": (7, 7, 4)}
    features = {m: torch.randn(70, 3, *shape, generator=g).half().float() for m, shape in shapes.items()}
    names = [f"clip-{k}" for k in range(70)]
    FeatureStore.write(tmp_path / "store", {m: x.numpy() for m, x in features.items()}, names)
    found = same_codes(model, FeatureStore.open(tmp_path / "store"))
    for m, x in features.items():
        real = torch.ones(70, 3, dtype=torch.bool)
        whole = model.encode(m, x, real).indices
        with torch.autocast("cpu", torch.bfloat16):
            half = model.encode(m, x, real).indices
        for k, layer in enumerate(("layer0.0", "layer0.1")):
            percent = 100 * float((whole == half)[..., k].double().mean())
            assert found[m, layer] == pytest.approx(percent)
    assert 50 < min(found.values()) < 100
    save_pretrained(model, tmp_path / "model")
    arguments = [str(tmp_path / "model"), "--features", str(tmp_path / "store")]
    printed = CliRunner().invoke(app_of(main), arguments)
    assert printed.exit_code == 0, printed.output
    assert f"| image | layer0.1 | {found['image', 'layer0.1']:.2f} |" in printed.stdout
