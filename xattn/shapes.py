"""What ranks are shaped from: functions of columns of the probabilities, [lanes, N, k] → [lanes, N, k]."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

FLOOR = 1e-12  # below this a phrase has no mass that could be shared out as it was


def gained(field: Tensor) -> Callable[[Tensor], Tensor]:
    """(g − 1)·P: what is missing to g·P. field: [lanes|1, N]."""

    def shape(columns: Tensor) -> Tensor:
        return (field[..., None] - 1) * columns

    return shape


def moved(warp: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """warp(P) − P."""

    def shape(columns: Tensor) -> Tensor:
        return warp(columns) - columns

    return shape


def shared_out(field: Tensor, relative: bool, most: float = math.inf) -> Callable[[Tensor], Tensor]:
    """A phrase's mass m, shared among its tokens as the probabilities were; uniform where those are nothing.

    field: m, [lanes|1, N]; relative: times the mean mass of the phrase, lane by lane. most: what m is at most
    """

    def shape(columns: Tensor) -> Tensor:
        mass = columns.sum(dim=-1, keepdim=True)
        some = mass > FLOOR
        share = torch.where(some, columns / mass.masked_fill(~some, 1.0), 1 / columns.shape[-1])
        target = field[..., None] * mass.mean(dim=1, keepdim=True) if relative else field[..., None]
        return target.clamp(max=most) * share

    return shape


def left_over(shape: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """1 − what a shape gives a phrase: the share of the other words, [lanes, N, 1]."""

    def rest(columns: Tensor) -> Tensor:
        return 1 - shape(columns).sum(dim=-1, keepdim=True)

    return rest
