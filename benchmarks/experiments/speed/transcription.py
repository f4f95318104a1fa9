"""Plain transcriptions of the published pretraining steps, to compare ours with.

Written from the equations of the papers (DCID and H-DCID: TOC paper, appendix A and section 4.2; FCID paper,
section 4.2) and the published sizes, with PyTorch's own layers in float32 and the loops that the released
scripts have: over codes for revivals, over clips for the code matching, five iterations of CLUB, and in
H-DCID six passes of the encoders. They compute a step of the same work, not the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DIM, CODES, SPECIFIC = 256, 400, {"audio": 256, "video": 2048, "text": 256}
WIDTH = {"audio": 128, "video": 512, "text": 256}


class Residual(nn.Module):
    """relu(x + f(relu(x)))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.wide = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.narrow = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Any:
        return F.relu(x + self.narrow(F.relu(self.wide(F.relu(x)))))


class Specific(nn.Module):
    """Psi: a linear map, or convolutions from 7x7 to 3x3."""

    def __init__(self, modality: str) -> None:
        super().__init__()
        out = SPECIFIC[modality]
        if modality != "video":
            self.net: nn.Module = nn.Sequential(nn.Linear(WIDTH[modality], out), nn.ReLU())
        else:
            self.net = nn.Sequential(
                nn.Conv2d(512, out // 2, 3),
                nn.ReLU(),
                nn.Conv2d(out // 2, out, 3),
                nn.ReLU(),
                nn.Conv2d(out, out, 1),
                Residual(out),
            )

    def forward(self, x: Tensor) -> Any:
        if x.ndim == 3:
            return self.net(x)
        frames = self.net(x.flatten(0, 1).permute(0, 3, 1, 2))
        return frames.view(*x.shape[:2], *frames.shape[1:])


class General(nn.Module):
    """Phi: for video a gated sum over the grid; then a transformer over the steps."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.squeeze, self.excite = nn.Linear(width, width // 8), nn.Linear(width // 8, width)
        self.project = nn.Linear(width, DIM)
        layer = nn.TransformerEncoderLayer(DIM, 4, 1024, dropout=0.1, batch_first=True)
        self.temporal = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Any:
        if x.ndim == 5:
            gate = torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean(dim=(2, 3))))))
            x = (x * (1 + gate[:, :, None, None])).sum(dim=(2, 3))
        return self.temporal(self.project(x))


class Decoder(nn.Module):
    """From code and specific features back to the features."""

    def __init__(self, modality: str) -> None:
        super().__init__()
        width = SPECIFIC[modality]
        self.code = nn.Linear(DIM, DIM if modality == "video" else width)
        if modality == "video":
            self.net: nn.Module = nn.Sequential(
                nn.ConvTranspose2d(DIM + width, width // 2, 3),
                Residual(width // 2),
                nn.ConvTranspose2d(width // 2, 512, 3),
                nn.ReLU(),
                nn.ConvTranspose2d(512, 512, 1),
            )
        else:
            self.net = nn.Linear(2 * width, WIDTH[modality])

    def forward(self, code: Tensor, specific: Tensor) -> Any:
        code = self.code(code)
        if specific.ndim == 3:
            return self.net(torch.cat([code, specific], dim=-1))
        grid = code[..., None, None].expand(*code.shape, *specific.shape[-2:])
        frames = self.net(torch.cat([grid, specific], dim=2).flatten(0, 1))
        return frames.view(*code.shape[:2], *frames.shape[1:]).permute(0, 1, 3, 4, 2)


class Critic(nn.Module):
    """q(y | x) of CLUB: a Gaussian by two small networks."""

    def __init__(self, given: int, of: int) -> None:
        super().__init__()
        self.mean = nn.Sequential(nn.Linear(given, DIM // 2), nn.ReLU(), nn.Linear(DIM // 2, of))
        self.spread = nn.Sequential(nn.Linear(given, DIM // 2), nn.ReLU(), nn.Linear(DIM // 2, of), nn.Tanh())

    def surprise(self, x: Tensor, y: Tensor) -> Any:
        mean, spread = self.mean(x), self.spread(x)
        return ((y - mean).square() / spread.exp() + spread).sum(-1).mean()

    def bound(self, x: Tensor, y: Tensor) -> Any:
        mean, spread = self.mean(x), self.spread(x).exp()
        other = y[torch.randperm(len(y))]
        return (((y - mean).square() - (other - mean).square()) / (-2 * spread)).sum(-1).mean()


class Codebook(nn.Module):
    """Codes that follow the averages of all modalities (DCID paper eqs. 5 to 8)."""

    codes: Tensor
    count: Tensor
    sums: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("codes", torch.randn(CODES, DIM))
        self.register_buffer("count", torch.ones(CODES))
        self.register_buffer("sums", torch.randn(CODES, DIM))
        self.idle = [0] * CODES

    def forward(self, z: Mapping[str, Tensor], matched: bool = True) -> tuple[dict[str, Tensor], Tensor]:
        """Codes with a straight-through gradient; commitment, and code matching if asked for."""
        distances, hot, out, loss = {}, {}, {}, torch.zeros(())
        for m, x in z.items():
            flat = x.reshape(-1, DIM)
            distances[m] = (
                flat.square().sum(1, keepdim=True) + self.codes.square().sum(1) - 2 * flat @ self.codes.T
            )
            hot[m] = F.one_hot(distances[m].argmin(1), CODES).float()
            chosen = (hot[m] @ self.codes).view_as(x)
            out[m] = x + (chosen - x).detach()
        for m, x in z.items():
            for other in z:
                share = 0.5 if m == other else 0.5 / max(len(z) - 1, 1)
                loss = loss + 0.25 * share * F.mse_loss(x, (hot[other] @ self.codes).view_as(x).detach())
        if matched:
            loss = loss + 0.5 * self._matching({m: d.view(*z[m].shape[:2], -1) for m, d in distances.items()})
        if self.training:
            self._move({m: x.detach().reshape(-1, DIM) for m, x in z.items()}, hot)
        return out, loss

    def _matching(self, distances: Mapping[str, Tensor]) -> Tensor:
        posterior = {m: torch.softmax(-d.clamp(min=1e-9).sqrt(), -1).mean(1) for m, d in distances.items()}
        total = torch.zeros(())
        for a, b in combinations(posterior, 2):
            p, q = posterior[a], posterior[b]
            alike = p @ torch.log(q.T + 1e-10) + q @ torch.log(p.T + 1e-10)
            scores = torch.exp(alike - alike.max())
            for clip in range(len(p)):
                total = total - torch.log(scores[clip, clip] / (scores[clip].sum() + 1e-5)) / len(p)
        return total

    @torch.no_grad()
    def _move(self, z: Mapping[str, Tensor], hot: Mapping[str, Tensor]) -> None:
        for m in z:
            for other in z:
                share = 0.5 if m == other else 0.5 / max(len(z) - 1, 1)
                self.count.mul_(0.99).add_(hot[m].sum(0), alpha=0.01 * share)
                self.sums.mul_(0.99).add_(hot[m].T @ z[other], alpha=0.01 * share)
        total = self.count.sum()
        smooth = (self.count + 1e-5) / (total + CODES * 1e-5) * total
        self.codes = self.sums / smooth[:, None]  # a new tensor: the backward pass needs the old one
        used = torch.stack([h.sum(0) for h in hot.values()]).sum(0)
        for code in range(CODES):
            self.idle[code] = 0 if used[code] > 0 else self.idle[code] + 1
            if self.idle[code] > 100:
                self.codes[code] = self.codes[int(used.argmax())] + torch.randn(DIM) * 1e-3
                self.idle[code] = 0


class Predictive(nn.Module):
    """Cross-modal CPC: the steps after a random one from a context of those before."""

    def __init__(self, modalities: tuple[str, ...]) -> None:
        super().__init__()
        self.context = nn.ModuleDict({m: nn.LSTM(DIM, DIM, 2, batch_first=True) for m in modalities})
        self.predict = nn.ModuleDict({m: nn.Linear(DIM, DIM) for m in modalities})

    def forward(self, z: Mapping[str, Tensor]) -> Tensor:
        time = next(iter(z.values())).shape[1]
        step = int(torch.randint(time // 2, time - 1, (1,)))
        said = {m: self.predict[m](self.context[m](x[:, : step + 1])[0][:, -1]) for m, x in z.items()}
        total = torch.zeros(())
        for a in z:
            for b in z:
                scores = z[b][:, step + 1] @ said[a].T
                loss = F.cross_entropy(scores, torch.arange(len(scores)))
                total = total + (0.1 if a == b else 1.0) * loss
        return total


class PlainStep(nn.Module):
    """A pretraining step of a method, on random features of the published shapes.

    Args:
        method: "dcid", "hdcid" or "fcid".
        batch: Modality -> features: audio `[B, T, 128]`, video `[B, T, 7, 7, 512]`, text `[B, T, 768]`.
    """

    def __init__(self, method: str, batch: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.method, self.batch = method, batch
        modalities = tuple(batch)
        fine = tuple(m for m in modalities if method != "fcid" or m != "text")
        self.words = nn.LSTM(768, 128, 2, batch_first=True, bidirectional=True)
        self.general = nn.ModuleDict({m: General(WIDTH[m], 1 if method == "fcid" else 2) for m in modalities})
        self.specific = nn.ModuleDict({m: Specific(m) for m in fine})
        wide = SPECIFIC["video"]
        self.club_video = nn.Sequential(nn.Linear(wide, wide // 2), nn.ReLU(), nn.Linear(wide // 2, 512))
        self.decoder = nn.ModuleDict({m: Decoder(m) for m in fine})
        self.codebook, self.predictive = Codebook(), Predictive(fine)
        critics = {m: Critic(DIM, 512 if m == "video" else DIM) for m in fine}
        self.deep = nn.ModuleDict()
        if method == "hdcid":  # the second layer sees the specific features of the first
            self.deep = nn.ModuleDict({m: General(512 if m == "video" else DIM, 2) for m in modalities})
            self.deep_specific = nn.ModuleDict(
                {m: nn.Linear(512 if m == "video" else DIM, DIM) for m in fine}
            )
            self.deep_codebook, self.deep_predictive = Codebook(), Predictive(fine)
            critics |= {f"deep {m}": Critic(DIM, DIM) for m in fine}
        if method == "fcid":  # means over time, taken apart again, in two groups
            self.coarse = nn.ModuleDict({m: nn.Linear(DIM, DIM) for m in modalities})
            self.coarse_specific = nn.ModuleDict({m: nn.Linear(DIM, DIM) for m in modalities})
            self.coarse_decoder = nn.ModuleDict({m: nn.Linear(2 * DIM, DIM) for m in modalities})
            critics |= {"coarse av": Critic(DIM, DIM), "coarse text": Critic(DIM, DIM)}
        self.critics = critics
        self.trained_critics = nn.ModuleDict(critics)
        own = [p for name, p in self.named_parameters() if not name.startswith("trained_critics")]
        self.optimizer = torch.optim.Adam(own, lr=4e-4)
        self.critic_optimizers = {m: torch.optim.Adam(c.parameters(), lr=1e-3) for m, c in critics.items()}

    def step(self) -> float:
        """One step; the loss."""
        for iteration in range(5):
            if self.method == "hdcid" or iteration == 0:
                pairs, loss = self._forward()
            for name, (x, y) in pairs.items():
                critic = self.critics[name]
                self.critic_optimizers[name].zero_grad()
                critic.surprise(x.detach(), y.detach()).backward()
                self.critic_optimizers[name].step()
        if self.method == "hdcid":
            pairs, loss = self._forward()
        loss = loss + sum(self.critics[name].bound(x, y) for name, (x, y) in pairs.items())
        self.optimizer.zero_grad()
        loss.backward()
        for module in (self.general, self.specific, self.decoder, self.words):
            nn.utils.clip_grad_norm_(module.parameters(), 0.5)
        self.optimizer.step()
        return float(loss.detach())

    def _forward(self) -> tuple[dict[str, tuple[Tensor, Tensor]], Tensor]:
        """What each critic looks at, and the loss without CLUB."""
        x = {m: self.words(v)[0] if m == "text" else v for m, v in self.batch.items()}
        z = {m: self.general[m](v) for m, v in x.items()}
        specific = {m: net(x[m]) for m, net in self.specific.items()}
        summary = {m: self.club_video(s.mean(dim=(3, 4))) if s.ndim == 5 else s for m, s in specific.items()}
        pairs = {m: (z[m].flatten(0, 1), s.flatten(0, 1)) for m, s in summary.items()}
        loss = self.predictive({m: z[m] for m in specific})
        if self.method == "fcid":
            decoded = z
            coarse, coarse_loss = self._coarse(z)
            pairs |= coarse
            loss = loss + coarse_loss
        else:
            decoded, committed = self.codebook(z)
            loss = loss + committed
        for m, net in self.decoder.items():
            loss = loss + F.mse_loss(net(decoded[m], specific[m]), x[m].detach())
        if self.method == "hdcid":
            deeper = {m: net(summary[m]) for m, net in self.deep.items()}
            _, committed = self.deep_codebook(deeper, matched=False)
            loss = loss + 0.3 * (committed + self.deep_predictive(deeper))
            for m, net in self.deep_specific.items():
                pairs[f"deep {m}"] = deeper[m].flatten(0, 1), net(summary[m]).flatten(0, 1)
        return pairs, loss

    def _coarse(self, z: Mapping[str, Tensor]) -> tuple[dict[str, tuple[Tensor, Tensor]], Tensor]:
        means = {m: x.mean(dim=1, keepdim=True) for m, x in z.items()}
        general = {m: self.coarse[m](x) for m, x in means.items()}
        specific = {m: self.coarse_specific[m](x) for m, x in means.items()}
        codes, loss = self.codebook(general)
        for m, x in means.items():
            said = self.coarse_decoder[m](torch.cat([codes[m], specific[m]], dim=-1))
            loss = loss + F.mse_loss(said, x.detach())
        for a, b in combinations(general, 2):
            scores = F.normalize(general[a][:, 0], dim=-1) @ F.normalize(general[b][:, 0], dim=-1).T
            loss = loss + F.cross_entropy(scores, torch.arange(len(scores)))
        groups = {"coarse av": [m for m in z if m != "text"], "coarse text": ["text"]}
        pairs = {
            name: (
                torch.cat([general[m][:, 0] for m in group]),
                torch.cat([specific[m][:, 0] for m in group]),
            )
            for name, group in groups.items()
        }
        return pairs, loss
