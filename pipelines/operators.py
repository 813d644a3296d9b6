"""Whether the faster layers of a CPU can run here; for people who ask (`xattn doctor`)."""

from __future__ import annotations

import torch

from unet.laid_out import refusal


def refusals() -> dict[str, str]:
    """By dtype, why torch's own layers run instead: a clause, empty where the faster ones do."""
    return {str(dtype).removeprefix("torch."): refusal(dtype) for dtype in (torch.float32, torch.bfloat16)}
