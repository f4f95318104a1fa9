"""What DCID, H-DCID and FCID show to regularizers."""

from __future__ import annotations

import pytest
import torch
from step_views import METHODS, batch_of, method_of

from unicode_cmg.batch import FeatureBatch


@pytest.mark.parametrize("name", METHODS)
def test_a_view_holds_every_tensor_with_its_graph(name: str) -> None:
    method = method_of(name)
    clips = batch_of(method)
    view = method.view(clips, method.represent(clips))
    assert view.features is clips.features
    steps = 1 if name == "fcid" else 5
    for m in method.modalities:
        assert view.general[m].shape == (4, 5, 8)
        assert view.codes[m].shape == (4, steps, 8)
        assert view.code_masks[m].shape == (4, steps)
        assert torch.equal(view.masks[m], clips.masks[m])
        assert view.general[m].requires_grad
        assert view.codes[m].requires_grad
    assert set(view.specific) == ({"video", "audio"} if name == "fcid" else set(method.modalities))
    assert all(x.shape[:2] == (4, 5) and x.ndim == 3 for x in view.specific.values())


def test_columns_join_a_view_but_never_replace_what_the_method_read() -> None:
    method = method_of("dcid")
    clips = batch_of(method)
    more = FeatureBatch.of({"audio": torch.zeros(4, 5, 6), "depth": torch.zeros(4, 7, 2)})
    view = method.view(clips, method.represent(clips)).with_columns(more)
    assert set(view.features) == {"audio", "video", "text", "depth"}
    assert torch.equal(view.features["audio"], clips.features["audio"])
    assert view.masks["depth"].shape == (4, 7)
