"""Whether the faster ways of a CPU can run here; for people who ask (`xattn doctor`)."""

from __future__ import annotations

from collections.abc import Callable

import torch

from unet import laid_out
from xattn import denominator


def refusals() -> dict[str, str]:
    """By dtype, why torch's own layers run instead: a clause, empty where the faster ones do."""
    return _by_dtype(laid_out.refusal)


def unknown_denominators() -> dict[str, str]:
    """By dtype, why words are read by a softmax of their own: a clause, empty where they need none."""
    return _by_dtype(denominator.refusal)


def _by_dtype(refusal: Callable[[torch.dtype], str]) -> dict[str, str]:
    return {str(dtype).removeprefix("torch."): refusal(dtype) for dtype in (torch.float32, torch.bfloat16)}
