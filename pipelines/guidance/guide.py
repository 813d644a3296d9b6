"""A run's guidance: the rule of its recipes, their scales, and what the rule remembers between steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pipelines.guidance.classifier_free import classifier_free
from pipelines.guidance.projected import projected
from pipelines.guidance.rules import Projected, Rule
from xattn.sites import Role


class Guide:
    """Made anew for every run. `scales` is w of each image; where all are 1, no rows of the negative prompt run."""

    def __init__(self, rule: Rule, scales: Sequence[float]) -> None:
        self._rule = rule
        self._scale = torch.tensor(list(scales), dtype=torch.float32).view(-1, 1, 1, 1)
        self._guided = any(scale != 1.0 for scale in scales)
        self._running: Tensor | None = None

    @property
    def roles(self) -> tuple[Role, ...]:
        """The rows that an image needs, in the order in which they run."""
        return ("uncond", "cond") if self._guided else ("cond",)

    def __call__(self, predicted: Mapping[Role, Tensor]) -> Tensor:
        """One prediction an image, [images, channels, height, width], of this step; steps come in order."""
        cond = predicted["cond"]
        if not self._guided:
            return cond
        uncond = predicted["uncond"]
        # the scale is float32: so is the arithmetic, at least, and the answer is what the UNet's was
        scale = self._scale.to(uncond.device)
        if isinstance(self._rule, Projected):
            guided, self._running = projected(cond, uncond, scale, self._rule, self._running)
        else:
            guided = classifier_free(cond, uncond, scale, self._rule.rescale)
        return guided.to(cond.dtype)
