"""Adaptive projected guidance (Sadat et al. 2024, arXiv 2410.02416, algorithm 1).

The difference of the two predictions is averaged over the steps with a (negative) momentum, its norm is bounded, and
what of it lies along the conditional prediction, which mostly saturates colours, is turned down to a share eta:

    Δ ← Δ_now + β · Δ_before      Δ ← Δ · min(1, r/‖Δ‖)      ε = ε_cond + (w − 1) · (Δ_⊥ + η · Δ_∥)
"""

from __future__ import annotations

import torch
from torch import Tensor

from pipelines.guidance.rules import Projected


def projected(
    cond: Tensor, uncond: Tensor, scale: Tensor, rule: Projected, before: Tensor | None
) -> tuple[Tensor, Tensor]:
    """One prediction an image, and the running difference for the next step (None before the first).

    cond, uncond: [images, c, h, w]; scale: w, [images, 1, 1, 1].
    """
    running = cond - uncond if before is None else cond - uncond + rule.momentum * before
    dims = (1, 2, 3)
    difference = running
    if rule.threshold > 0.0:
        norm = torch.linalg.vector_norm(difference, dim=dims, keepdim=True)
        difference = difference * (rule.threshold / norm).clamp(max=1.0)
    # float64: the projection is a quotient of two sums over the whole picture
    along, wide = cond.double(), difference.double()
    length = torch.linalg.vector_norm(along, dim=dims, keepdim=True)
    unit = along / length.clamp(min=torch.finfo(torch.float64).tiny)
    parallel = (wide * unit).sum(dim=dims, keepdim=True) * unit
    kept = (wide - parallel + rule.eta * parallel).to(cond.dtype)
    return cond + (scale - 1.0) * kept, running
