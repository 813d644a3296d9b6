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
    """Made anew for every pass of a run. `scales` is w of each image; where all are 1, nothing is guided.

    steps: how many run
    """

    def __init__(self, rule: Rule, scales: Sequence[float], steps: int) -> None:
        self._rule = rule
        self._scale = torch.tensor(list(scales), dtype=torch.float32).view(-1, 1, 1, 1)
        self._any = any(scale != 1.0 for scale in scales)
        self.guided = rule.steps(steps) if self._any else range(0)
        """The steps at which rows of the negative prompt run, counted from 0."""
        self._running: Tensor | None = None

    @property
    def roles(self) -> tuple[Role, ...]:
        """The rows that an image needs, in the order in which they run; at steps without guidance "cond" alone.

        They are the same for all passes of a run, also for one that is too short to have a guided step.
        """
        return ("uncond", "cond") if self._any else ("cond",)

    def __call__(self, predicted: Mapping[Role, Tensor]) -> Tensor:
        """One prediction an image, [images, channels, height, width], of this step; steps come in order.

        predicted: of the rows that ran; without "uncond" there is nothing to guide by
        """
        cond = predicted["cond"]
        if "uncond" not in predicted:
            return cond
        uncond = predicted["uncond"]
        # the scale is float32: so is the arithmetic, at least, and the answer is what the UNet's was
        scale = self._scale.to(uncond.device)
        if isinstance(self._rule, Projected):
            guided, self._running = projected(cond, uncond, scale, self._rule, self._running)
        else:
            guided = classifier_free(cond, uncond, scale, self._rule.rescale)
        return guided.to(cond.dtype)
