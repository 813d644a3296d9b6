"""Classifier-free guidance (Ho & Salimans 2022, equation 6, in the scale of Saharia et al. 2022).

    ε = ε_uncond + w · (ε_cond − ε_uncond)

and, rescaled by φ (Lin et al. 2024, equations 15 and 16), since large w widens the prediction's distribution,

    ε ← φ · ε · std(ε_cond)/std(ε) + (1 − φ) · ε
"""

from __future__ import annotations

from torch import Tensor


def classifier_free(cond: Tensor, uncond: Tensor, scale: Tensor, rescale: float = 0.0) -> Tensor:
    """One prediction an image. cond, uncond: [images, c, h, w]; scale: w, [images, 1, 1, 1]."""
    guided = uncond + scale * (cond - uncond)
    if rescale == 0.0:
        return guided
    dims = (1, 2, 3)
    ratio = cond.std(dim=dims, keepdim=True) / guided.std(dim=dims, keepdim=True)
    return rescale * guided * ratio + (1.0 - rescale) * guided
