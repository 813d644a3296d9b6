"""Times of the diffusion, as the network sees them.

Every residual block adds a projection of the time embedding. It depends on the time alone, so a run that knows its
times has all of them made in one product, instead of one small product a block and step that only reads weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

TOGETHER = 64
"""Times made at once: of Stable Diffusion 1.5's size they hold 5 MB."""


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """One time. Made by `UNet.moments`, a plain value: whoever changes the weights makes new ones.

    embedding: [1, time_dim], before the activation
    projected: what each residual block's projection makes of it, [1, channels]; nothing where rows differ (SDXL)
    """

    embedding: Tensor
    projected: Mapping[nn.Linear, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Time:
    """The time of one pass: its activated embedding, [rows, time_dim] or one row for all, and what is known of it."""

    activated: Tensor
    projected: Mapping[nn.Linear, Tensor]

    @property
    def rows(self) -> int:
        """1 where it is the same for all rows."""
        return self.activated.shape[0]

    def of(self, projection: nn.Linear) -> Tensor:
        """What a residual block's projection makes of it, [rows, channels] or one row for all."""
        known = self.projected.get(projection)
        if known is not None:
            return known
        made: Tensor = projection(self.activated)
        return made
