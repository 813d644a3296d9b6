"""Muon (Jordan et al. 2024) for the UNet's matrices and convolutions.

The momentum's update is replaced by its nearest semi-orthogonal matrix, computed by a quintic Newton-Schulz
iteration, so that every direction of a matrix learns at the same rate. Scaled as Liu et al. 2025 (arXiv
2502.16982, section 2.2) to the update size of Adam, so that one learning rate serves both.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from weights.train import workers


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """`[n, rows, columns]` → about U Vᵀ of each, in bfloat16."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrices.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """For parameters of two or more dimensions; a convolution is the matrix [out, in · height · width]."""

    def __init__(self, parameters: Iterable[Tensor], lr: float, momentum: float = 0.95, decay: float = 0.01) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """One step; of several workers each orthogonalises a share of the matrices, and all take every update."""
        for group in self.param_groups:
            shapes: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = {}
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                average = state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                ahead = parameter.grad.lerp(average, group["momentum"]).flatten(1)
                shapes.setdefault((ahead.shape[0], ahead.shape[1]), []).append((parameter, ahead))
            # dearest first, dealt out in turns back and forth: equal work for every worker
            order = sorted(shapes, key=lambda shape: -len(shapes[shape]) * min(shape) ** 2 * max(shape))
            updates = workers.deal_out(
                [
                    (lambda members=shapes[shape]: orthogonalise(torch.stack([ahead for _, ahead in members])).half())
                    for shape in order
                ],
                [(len(shapes[shape]), *shape) for shape in order],
            )
            for shape, stacked in zip(order, updates, strict=True):
                scale = 0.2 * max(shape) ** 0.5
                for (parameter, _), update in zip(shapes[shape], stacked, strict=True):
                    parameter.mul_(1 - group["lr"] * group["decay"])
                    parameter.add_(update.view_as(parameter), alpha=-group["lr"] * scale)
