"""A step is a graph without breaks, and nothing in it waits for a number from the device."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from small_methods import MODALITIES, batch, made
from torch.utils._python_dispatch import TorchDispatchMode

from unicode_cmg.methods.base import Method


class Reads(TorchDispatchMode):
    """Counts how often the host asks for a number."""

    def __init__(self) -> None:
        super().__init__()
        self.number = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.number += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def test_reads_are_counted() -> None:
    with Reads() as reads:
        torch.ones(2).sum().item()
    assert reads.number == 1


@pytest.mark.parametrize("name", ["dcid", "hdcid", "fcid"])
def test_no_step_waits_for_the_device(name: str) -> None:
    method, generator = made(name), torch.Generator().manual_seed(0)
    method.begin_step(step=0, epoch=1000)
    with Reads() as reads:
        r = method.represent(batch(0))
        critics = method.critic_losses(r)
        losses = method.training_losses(batch(0), generator=generator, representation=r)
        torch.stack([*critics.values(), *losses.values()]).sum().backward()
        method.update_codebooks(r, generator=generator)
        method.chosen_codes(r)
    assert reads.number == 0


@pytest.mark.slow
def test_the_parts_of_a_step_are_graphs_without_breaks_that_fit_the_next_batch_too() -> None:
    script = Path(__file__).with_name("compiled_step.py")
    done = subprocess.run([sys.executable, script, "dcid"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize("modality", list(MODALITIES))
def test_encoders_pass_through_export_with_their_masks(modality: str) -> None:
    class Codes(torch.nn.Module):
        def __init__(self, method: Method[Any]) -> None:
            super().__init__()
            self.method = method

        def forward(self, features: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            encoding = self.method.encode_batch(modality, features, mask)
            return encoding.codes, encoding.indices

    codes, one = Codes(made("dcid").eval()).eval(), batch(0)
    arguments = one.features[modality], one.masks[modality]
    with torch.no_grad():
        exported = torch.export.export(codes, arguments).module()
        again = batch(1)
        for inputs in (arguments, (again.features[modality], again.masks[modality])):
            values, indices = exported(*inputs)
            torch.testing.assert_close(values, codes(*inputs)[0])
            assert torch.equal(indices, codes(*inputs)[1])
