"""Only where the words are: elsewhere the source's latents (Hertz et al. 2022, Prompt-to-Prompt, local editing).

After each step, from a word's maps M̄ so far (mean over steps, heads and the sites of one grid),

    mask = [ maxpool₃ₓ₃(M̄) / max > threshold ]      z ← mask · z + (1 − mask) · z_source

where the mask is the union of the target's words, the source's words, and a painted one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pipelines import checks
from pipelines.ledger import Phrase
from pipelines.techniques import published
from pipelines.techniques.edit import Edit, Live, check_word
from pipelines.techniques.values import Shape, WordMap, check_shape
from pipelines.techniques.window import Window
from xattn.errors import BadValue
from xattn.sites import AttentionSite

if TYPE_CHECKING:
    from torch import Tensor

    from pipelines.techniques.live import Blend


@dataclass(frozen=True, slots=True)
class LocalBlend(Edit):
    """Keep the source's picture but for where words look, or where a mask is painted.

    words, source_words: of this prompt and of the source's, each word a mask of its own, all united. They are read
        before the edits of a site, at the sites of the coarsest grid with 16 cells or more along its longer side: the
        paper's 16² on Stable Diffusion 1 at 512, a quarter of the latent; the whole latent of the default model
    threshold: 0 to 1, of the map's greatest value
    mask: a place that may change too; only it, where no words are given
    published: the paper's code: maps read after the edits, for its store keeps what is edited in place; grids of a
        quarter of the latent's side; the words of a prompt summed before pooling, so a weak one may vanish
    """

    kind: ClassVar[str] = "local_blend"
    wants_source: ClassVar[bool] = True

    words: tuple[Phrase, ...] = ()
    source_words: tuple[Phrase, ...] = ()
    threshold: float = 0.3
    mask: Shape | None = None
    published: bool = False

    def check(self) -> None:
        """See `Edit.check`."""
        for name in ("words", "source_words"):
            words = getattr(self, name)
            if not isinstance(words, tuple):
                raise BadValue(f"local_blend.{name}", words, 'a tuple of words, such as ("dog",)')
            for word in words:
                check_word(f"local_blend.{name}", word)
        self._set("threshold", checks.number("local_blend.threshold", self.threshold, 0.0, 1.0))
        if self.mask is not None:
            check_shape("local_blend.mask", self.mask)
        checks.flag("local_blend.published", self.published)
        if not (self.words or self.source_words or self.mask is not None):
            raise BadValue("local_blend.words", (), "given, unless there is a mask", 'Try words=("dog",)')

    def at(self, site: AttentionSite) -> bool:  # noqa: ARG002
        """See `Edit.at`: it changes latents, no attention."""
        return False

    def opens(self, index: int, steps: int) -> bool:
        """See `Edit.opens`."""
        opens = published.others_open if self.published else Window.open
        return opens(self.window, index, steps)

    def check_sites(self, sites: Sequence[AttentionSite]) -> None:
        """See `Edit.check_sites`."""
        if self.published and not any(site.cross and site.downsampling == 4 for site in sites):
            raise BadValue(
                "local_blend.published", True, "False for a model without attention at a quarter of the latent's side"
            )

    @property
    def live(self) -> tuple[Live, ...]:
        """See `Edit.live`."""
        painted = (Live(self.mask.word),) if isinstance(self.mask, WordMap) else ()
        return (*self._own, *self._theirs, *painted)

    @property
    def _own(self) -> tuple[Live, ...]:
        return tuple(self._live(word, "own") for word in self.words)

    @property
    def _theirs(self) -> tuple[Live, ...]:
        return tuple(self._live(word, "source") for word in self.source_words)

    def _live(self, word: Phrase, of: Literal["own", "source"]) -> Live:
        return Live(word, of, "edited", "1/4") if self.published else Live(word, of, "model", "16")

    def keep(self, blend: Blend) -> Tensor | None:
        """See `Edit.keep`."""
        groups = (self._own, self._theirs) if self.published else tuple((one,) for one in (*self._own, *self._theirs))
        masks = [mask for group in groups if (mask := self._mask(group, blend)) is not None]
        if self.mask is not None:
            masks.append(blend.field(self.mask))
        union: Tensor | None = None
        for mask in masks:
            union = mask if union is None else union.maximum(mask)
        return union

    def _mask(self, words: Sequence[Live], blend: Blend) -> Tensor | None:
        """1 where the sum of some words' maps is high, on the latent's grid; None before any has been said."""
        import torch.nn.functional as F

        seen: Tensor | None = None
        downsampling = 1
        for live in words:
            for downsampling, one in blend.maps(live).items():  # noqa: B007  all of one grid
                seen = one if seen is None else seen + one
        if seen is None:
            return None
        pooled = F.max_pool2d(seen[None, None], 3, stride=1, padding=1)
        # nearest: each cell's value for all latents that it stands for, also where the last cell stands for fewer
        for axis, size in enumerate(blend.latent, 2):
            pooled = pooled.repeat_interleave(downsampling, dim=axis).narrow(axis, 0, size)
        return (pooled[0, 0] / pooled.max().clamp(min=1e-30) > self.threshold).to(seen)
