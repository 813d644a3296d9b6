"""A prompt for each region: places in it read that prompt instead of the picture's own.

Soft regions are a sum of attentions, with w_r = strength_r f_r, over their sum where that is more than 1:

    O = (1 − Σ w_r) Attn(Q, K, V) + Σ w_r Attn(Q, K_r, V_r)

In one softmax they would take from each other. Hard regions have their places to themselves, so one call over all their
texts will do, in which a place sees its own region's only. Which region a place is in is decided on each grid anew: the
one that covers most of it, the later one where two cover alike; what no region covers belongs to the base.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field as given
from typing import TYPE_CHECKING, ClassVar

from pipelines import checks
from pipelines.techniques.codec import NESTED
from pipelines.techniques.edit import Edit
from pipelines.techniques.values import Shape, Strength, check_shape, check_strength
from xattn.errors import BadValue

if TYPE_CHECKING:
    from torch import Tensor

    from pipelines.techniques.here import Here
    from xattn.parts import Part

NONE = 1e-6
"""A share that is only what rounding left: the base need not be computed for it."""
MOST = 16
"""Regions of one edit: each makes the keys longer by a prompt."""


@dataclass(frozen=True, slots=True)
class Region:
    """What is read where.

    prompt: says the same at every step; weights are read as in the picture's own
    field: where, white is 1
    strength: the region's share there, 0 … 1, or points over the steps; the base has the rest
    """

    prompt: str
    field: Shape
    strength: Strength = 1.0

    def __post_init__(self) -> None:
        checks.text("region.prompt", self.prompt, blank=False)
        check_shape("region.field", self.field)
        strength = check_strength("region.strength", self.strength, 0.0, 1.0, "The base has the rest")
        object.__setattr__(self, "strength", strength)


@dataclass(frozen=True, slots=True)
class Regions(Edit):
    """A prompt for each of some places.

    base: what is read where no region is; None is the picture's own prompt, with the edits before this one
    hard: whether each place is in one region only, or fields are shares and may overlap
    """

    kind: ClassVar[str] = "regions"

    regions: tuple[Region, ...] = given(metadata={NESTED: Region})
    base: str | None = None
    hard: bool = True

    def check(self) -> None:
        """See `Edit.check`."""
        regions: object = self.regions
        known = isinstance(regions, tuple) and all(isinstance(region, Region) for region in regions)
        if not known or not 1 <= len(self.regions) <= MOST:
            raise BadValue("regions.regions", regions, f"a tuple of 1 to {MOST} Region(prompt, field)")
        if self.base is not None:
            checks.text("regions.base", self.base, remedy="Leave it out for the picture's own prompt")
        checks.flag("regions.hard", self.hard)

    @property
    def moves(self) -> bool:
        """See `Edit.moves`."""
        return bool(self.live) or any(isinstance(region.strength, tuple) for region in self.regions)

    @property
    def texts(self) -> tuple[tuple[str | None, ...], ...]:
        """See `Edit.texts`: one source of all regions' where they are hard, else one each; then the base's."""
        prompts = tuple(region.prompt for region in self.regions)
        sources: tuple[tuple[str, ...], ...] = (prompts,) if self.hard else tuple((prompt,) for prompt in prompts)
        return sources if self.base is None else (*sources, (self.base,))

    def lower(self, here: Here) -> Sequence[Part]:
        """See `Edit.lower`."""
        from xattn.parts import AddSource, OutputField

        shares = self._shares(here)
        rest = 1 - shares.sum(dim=0)
        rest = rest * (rest > NONE)
        on, name = here.lanes, here.name
        parts: list[Part] = [OutputField(rest if self.base is None else rest * 0, on, name)]
        if self.base is not None:
            parts.append(AddSource(here.keys[-1], rest, on, name))
        if not self.hard:
            parts += [AddSource(keys, share, on, name) for keys, share in zip(here.keys, shares, strict=False)]
        elif bool(shares.any()):
            parts += [AddSource(here.keys[0], shares.sum(dim=0), on, name), *self._walls(shares > 0, here)]
        return parts

    def _shares(self, here: Here) -> Tensor:
        """What each region has of each place, [regions, N]; together at most 1."""
        import torch

        fields = torch.stack([here.field(region.field) for region in self.regions]).to(here.zeros())
        strengths = torch.tensor([here.value(region.strength) for region in self.regions]).to(fields)[:, None]
        if not self.hard:
            shares = strengths * fields
            return shares / shares.sum(dim=0).clamp(min=1.0)
        base = (1 - fields.sum(dim=0, keepdim=True)).clamp(min=0.0)
        # turned round, for of equals argmax takes the first
        first = torch.cat([fields.flip(0), base]).argmax(dim=0)
        whose = len(self.regions) - 1 - first
        return strengths * (whose == torch.arange(len(self.regions), device=whose.device)[:, None])

    def _walls(self, inside: Tensor, here: Here) -> list[Part]:
        """What keeps each place from reading other regions' texts; where none is read it does not matter which."""
        import torch

        from xattn.parts import Bias

        parts: list[Part] = []
        count = len(self.regions)
        width = here.space.width(here.keys[0]) // count
        inside = torch.cat([inside[:1] | ~inside.any(dim=0), inside[1:]])
        for place in range(count if count > 1 else 0):
            tokens = here.zeros(count * width)
            tokens[place * width : (place + 1) * width] = -torch.inf
            parts.append(Bias((~inside[place]).to(tokens), tokens, here.lanes, here.keys[0], here.name))
        return parts
