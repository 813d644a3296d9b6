"""The source's layout: its self-attention, P_source · V (Hertz et al. 2022, Prompt-to-Prompt's self-attention part)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from pipelines import checks
from pipelines.techniques import published
from pipelines.techniques.edit import Edit
from pipelines.techniques.window import Window
from xattn.errors import BadValue
from xattn.sites import AttentionSite

if TYPE_CHECKING:
    from pipelines.techniques.here import Here
    from xattn.parts import Part

SELF = Window(steps=(0.0, 0.4))
"""The paper's usual share of the steps for self-attention."""
_PAPER = 4


@dataclass(frozen=True, slots=True)
class Inject(Edit):
    """Places look at each other as in the source, at every self-attention site in the window.

    Queries and keys are the source's in one fused call; no N×N matrix is made.
    published: only where the paper's code does on Stable Diffusion 1 and 2 at their own size, grids of up to 16²: a
        quarter of the latent's side and less
    """

    kind: ClassVar[str] = "inject"
    wants_source: ClassVar[bool] = True

    published: bool = False
    window: Window = field(default=SELF, kw_only=True)

    def check(self) -> None:
        """See `Edit.check`."""
        checks.flag("inject.published", self.published)

    def at(self, site: AttentionSite) -> bool:
        """See `Edit.at`."""
        return not site.cross and (not self.published or site.downsampling >= _PAPER)

    def check_sites(self, sites: Sequence[AttentionSite]) -> None:
        """See `Edit.check_sites`."""
        if not any(self.at(site) for site in sites):
            raise BadValue(
                "inject.published", True, "False for a model without self-attention at a quarter of the latent's side"
            )

    def opens(self, index: int, steps: int) -> bool:
        """See `Edit.opens`."""
        opens = published.others_open if self.published else Window.open
        return opens(self.window, index, steps)

    def lower(self, here: Here) -> Sequence[Part]:
        """See `Edit.lower`."""
        from xattn.parts import Mix

        return (Mix(here.source_lanes, on=here.lanes, name=here.name),)
