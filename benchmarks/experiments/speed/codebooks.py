"""Rows of the quantizer: its time and memory beside its own matrix products and beside another library."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from vector_quantize_pytorch import VectorQuantize

from benchmarks.experiments.speed.measuring import Row, Work, compared
from unicode_cmg.codebook import SharedCodebook
from unicode_cmg.losses import cmcm_loss, commitment_loss

CLIPS, STEPS, CODES, DIM = 80, 10, 400, 256
MODALITIES = ("audio", "video", "text")
LARGE = ((100_000, 400), (800, 65_536))  # steps and codes


def quantizer_rows(rounds: int, device: str = "cpu") -> Iterator[Row]:
    """Quantize, losses, backward and update, for three modalities; with code matching and without."""
    generator = torch.Generator().manual_seed(0)
    z = {m: torch.randn(CLIPS, STEPS, DIM, generator=generator).to(device) for m in MODALITIES}
    flat = torch.cat([x.flatten(0, 1) for x in z.values()])
    table, upstream = flat[:CODES].clone(), torch.randn(len(flat), CODES, generator=generator).to(device)
    theirs = VectorQuantize(DIM, CODES, decay=0.99, threshold_ema_dead_code=2).to(device).train()
    book = SharedCodebook(CODES, DIM, MODALITIES).to(device).train()
    one, two = "its own matrix product", "its own matrix products"
    sizes = f"B={CLIPS}, T={STEPS}, H={CODES}, D={DIM}, 3 modalities" + ("" if device == "cpu" else ", GPU")
    yield from compared(
        f"quantizer with CMCM, {sizes}",
        _step(book, z, matched=True),
        {two: lambda: (flat @ table.T, upstream @ table)},
        rounds,
        reach=">= 0.5",
    )
    yield from compared(
        f"quantizer without CMCM, {sizes}",
        _step(book, z, matched=False),
        {one: lambda: flat @ table.T, "vector-quantize-pytorch": _their_step(theirs, flat[None])},
        rounds,
        reach={one: ">= 0.33"},
    )


def gpu_rows(rounds: int) -> Iterator[Row]:
    """The same on a GPU."""
    if torch.cuda.is_available():
        yield from quantizer_rows(rounds, "cuda")
    else:
        yield Row("quantizer on a GPU", "its own matrix products", (), ">= 0.5")


def _step(book: SharedCodebook, z: Mapping[str, Tensor], *, matched: bool) -> Work:
    leaves = {m: x.clone().requires_grad_() for m, x in z.items()}

    def step() -> None:
        quantized = book.quantize_each(leaves, distances=matched)
        terms = list(commitment_loss(leaves, {m: q.codewords for m, q in quantized.items()}).values())
        if matched:
            terms.append(cmcm_loss({m: q.lookups[0].squared_distances for m, q in quantized.items()}))
        torch.autograd.grad(torch.stack(terms).sum(), list(leaves.values()))
        constants = {m: x.detach() for m, x in leaves.items()}
        book.update(constants, {m: q.indices[..., 0] for m, q in quantized.items()})

    return step


def _their_step(quantizer: nn.Module, x: Tensor) -> Work:
    leaf = x.clone().requires_grad_()

    def step() -> None:
        codes, _, loss = quantizer(leaf)
        torch.autograd.grad(codes.sum() + loss.sum(), leaf)

    return step


def memory_rows() -> Iterator[Row]:
    """Most memory that one quantization adds, on the CPU as the process has it."""
    for steps, codes in LARGE:
        yield Row(
            f"quantizer memory, N={steps}, H={codes}, encode",
            "MB",
            (_extra_megabytes(steps, codes),),
            "<= 300",
        )


def _extra_megabytes(steps: int, codes: int) -> float:
    """In a process of its own, whose largest memory so far is small."""
    import subprocess
    import sys

    script = f"""
import resource, torch
from unicode_cmg.codebook import SharedCodebook
book = SharedCodebook({codes}, 256, ("a",)).eval()
z = torch.randn(1, {steps}, 256)
with torch.no_grad():
    book.encode(z[:, :10])
    most = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    before = most()
    book.encode(z)
print((most() - before) * 1024 / 1e6)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return float(done.stdout)
