"""Classifier-free guidance (Ho & Salimans 2022, equation 6, in the scale of Saharia et al. 2022).

ε = ε_uncond + w · (ε_cond − ε_uncond)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from xattn.sites import Role


@dataclass(frozen=True, slots=True)
class ClassifierFree:
    """`scale` is w of each image, [images, 1, 1, 1]; None where no image is guided, and then no negative rows run."""

    scale: Tensor | None

    @property
    def roles(self) -> tuple[Role, ...]:
        """The rows that an image needs, in the order in which they run."""
        return ("cond",) if self.scale is None else ("uncond", "cond")

    def __call__(self, predicted: Mapping[Role, Tensor]) -> Tensor:
        """One prediction an image, [images, channels, height, width]."""
        if self.scale is None:
            return predicted["cond"]
        uncond = predicted["uncond"]
        # scale is float32 on the CPU: the arithmetic is float32 at least, the answer what the UNet's was
        guided = uncond + self.scale.to(uncond.device) * (predicted["cond"] - uncond)
        return guided.to(uncond.dtype)
