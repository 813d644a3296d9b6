"""Nothing that the prompt names is left out (Chefer et al. 2023, "Attend-and-Excite", arXiv:2301.13826).

Before each of the first steps, with A the prompt's own maps, their mean over heads and layers of one grid,

    Â = G * softmax(100 · A)        over the words of the prompt at each place; G a Gaussian of 3×3
    L = max over words s of ( 1 − max over places p of Â_s(p) )
    z ← z − α ∂L/∂z

so the word that is looked at least gets a place of its own. At some steps this is done again until L is low enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import ceil, exp, sqrt
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from pipelines import checks
from pipelines.ledger import Ledger, Phrase, holds, phrase_parts
from pipelines.techniques import published
from pipelines.techniques.descent import ONCE, Columns, Descent, Patience, Read
from pipelines.techniques.edit import check_word, coarse
from pipelines.techniques.window import Window
from xattn.errors import BadValue
from xattn.sites import AttentionSite

if TYPE_CHECKING:
    from torch import Tensor

Shares = tuple[tuple[float, float], ...]
FIRST = Window(steps=(0.0, 0.5))
"""The paper's share of the steps: 25 of 50."""


class _Preset(NamedTuple):
    step_size: float
    sharpness: float
    refine: Shares


_PUBLISHED = _Preset(20.0, 100.0, ((0.0, 0.05), (0.2, 0.5), (0.4, 0.8)))
_OURS = _Preset(20.0, 5.0, ())
"""Where a name of the default model looks it often has most of a place's attention: at 100 every loss is 0 (docs)."""
_SIGMA, _PUBLISHED_SIGMA = 0.5, sqrt(0.5)
"""In cells. The published code means .5 and divides by (2σ)² where a Gaussian has 2σ²: it blurs by .71."""
_PAPER = 4
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class AttendAndExcite(Descent):
    """Every one of `words` gets a place where it is looked at most, so that no object of the prompt is left out.

    words: words or phrases; what a phrase's tokens are looked at counts together
    step_size: α before the first step, 0 … 1000; before step i of n it is that · √(1 − i / 2(n−1))
    sharpness: what maps are multiplied by before the softmax over words, 0 … 1000
    refine: pairs (fraction of the steps, share that the weakest word's best place must reach there): the latents are
        moved again at that step until it does, `iterations` times at most, each a pass of the UNet; () never
    window: its `sites` and `heads` say whose maps are read, all of one grid; by default those of the coarsest grid with
        16 cells or more along its longer side: the paper's 16² on Stable Diffusion 1 at 512, a quarter of the latent;
        the whole latent of the default model
    published: the paper's code: step_size 20, sharpness 100 and its three refinements, unless given; a quarter of the
        latent's side; each token a word of its own, weighed against end-of-text and padding too; a blur of .71 cells;
        one pass more after a refinement that has reached its share
    """

    kind: ClassVar[str] = "attend_and_excite"

    words: tuple[Phrase, ...]
    step_size: float | None = None
    sharpness: float | None = None
    refine: Shares | None = None
    iterations: int = 20
    published: bool = False
    window: Window = field(default=FIRST, kw_only=True)

    def __str__(self) -> str:
        return Descent.__str__(self) + (
            "" if self.id else " of " + ", ".join(f'"{_text(word)}"' for word in self.words)
        )

    def check(self) -> None:
        """See `Edit.check`."""
        words: object = self.words
        if not isinstance(words, tuple) or not words:
            raise BadValue(f"{self.kind}.words", words, 'a tuple of words, such as ("fox", "pizza")')
        for word in self.words:
            check_word(f"{self.kind}.words", word)
        for name in ("step_size", "sharpness"):
            if (value := getattr(self, name)) is not None:
                self._set(name, checks.number(f"{self.kind}.{name}", value, 0.0, 1000.0, "step_size 0 moves nothing"))
        if self.refine is not None:
            self._set("refine", _checked(f"{self.kind}.refine", self.refine))
        self._set("iterations", checks.whole(f"{self.kind}.iterations", self.iterations, 0, 1000))
        checks.flag(f"{self.kind}.published", self.published)
        self._check_rows()

    @property
    def _numbers(self) -> _Preset:
        """What is given, else the preset's."""
        preset = _PUBLISHED if self.published else _OURS
        given = {name: value for name in _Preset._fields if (value := getattr(self, name)) is not None}
        return preset._replace(**given)

    def opens(self, index: int, steps: int) -> bool:
        """See `Edit.opens`."""
        opens = published.others_open if self.published else Window.open
        return self._numbers.step_size > 0 and opens(self.window, index, steps)

    def check_sites(self, sites: Sequence[AttentionSite]) -> None:
        """See `Edit.check_sites`."""
        read = {site.downsampling for site in sites if site.cross and self.window.takes(site)}
        if self.published and _PAPER not in read:
            expected = "False for a model without cross-attention at a quarter of the latent's side"
            raise BadValue(f"{self.kind}.published", True, expected)
        if not read or (self.window.sites and not self.published and len(read) > 1):
            known = sorted({site.downsampling for site in sites if site.cross})
            grids = ", ".join(f'"1/{number}"' for number in known)
            raise BadValue(
                f"{self.kind}.window.sites", list(self.window.sites), f"cross-attention of one grid ({grids})"
            )

    @property
    def meant(self) -> tuple[Phrase, ...]:
        """See `Descent.meant`."""
        return self.words

    def reads(self, sites: Sequence[AttentionSite], latent: tuple[int, int]) -> tuple[AttentionSite, ...]:
        """See `Descent.reads`."""
        taken = [site for site in sites if site.cross and self.window.takes(site)]
        grid = _PAPER if self.published else coarse([site.downsampling for site in taken], latent)
        return tuple(site for site in taken if site.downsampling == grid)

    def read(self, ledger: Ledger) -> Read:
        """See `Descent.read`."""
        said = [word for word in self.words if holds(ledger, word)]
        if not said:
            return Read(())
        own = tuple(ledger.columns(word) for word in said)
        if self.published:
            published.check_one(self.kind, ledger)
            tokens = dict.fromkeys(column for some in own for column in some)
            left = [column for column in range(1, len(ledger.tokens) - 1) if column not in tokens]
            return Read(tuple((column,) for column in tokens), tuple((column,) for column in left))
        for (one, some), (other, more) in combinations(zip(said, own, strict=True), 2):
            if set(some) & set(more):
                got = [_text(one), _text(other)]
                remedy = 'Ask for one of them; the second of two cats is ("cat", 2)'
                raise BadValue(f"{self.kind}.words", got, "words that share no token", remedy)
        taken = {column for some in own for column in some}
        others = _rest(ledger, taken)
        if len(own) + len(others) < 2:
            expected = "of more words than one, for each is weighed against the others"
            raise BadValue("prompt", ledger.prompt, expected, 'Say more of it, such as "a fox on purple"')
        return Read(own, others)

    def loss(self, maps: Tensor, words: int) -> Tensor:
        """See `Descent.loss`."""
        shares = (self._numbers.sharpness * maps).softmax(dim=0)[:words]
        best = _blurred(shares, _PUBLISHED_SIGMA if self.published else _SIGMA).flatten(1).amax(dim=1)
        return 1 - best.amin()

    def step(self, index: int, steps: int) -> float:
        """See `Descent.step`."""
        return self._numbers.step_size * sqrt(1 - index / (2 * max(1, steps - 1)))

    def patience(self, index: int, steps: int) -> Patience:
        """See `Descent.patience`."""
        at = {_begins(fraction, steps, self.published): share for fraction, share in self._numbers.refine}
        if index not in at:
            return ONCE
        return Patience(1 - at[index], self.iterations, once_more=self.published)


def _text(word: Phrase) -> str:
    return phrase_parts(word)[0]


def _checked(parameter: str, given: object) -> Shares:
    expected = "pairs (fraction of the steps, share) whose fractions rise, such as ((0.0, 0.05), (0.2, 0.5))"
    if not isinstance(given, tuple) or not all(isinstance(pair, tuple) and len(pair) == 2 for pair in given):
        raise BadValue(parameter, given, expected)
    pairs = tuple(
        (checks.number(f"{parameter} (fraction)", at, 0.0, 1.0), checks.number(f"{parameter} (share)", share, 0.0, 1.0))
        for at, share in given
    )
    if [at for at, _ in pairs] != sorted({at for at, _ in pairs}):
        raise BadValue(parameter, given, expected)
    return pairs


def _begins(fraction: float, steps: int, dropped: bool) -> int:
    """The first step after so much of them; the published code drops what is after the point."""
    return int(fraction * steps + _ROUNDING) if dropped else ceil(fraction * steps - _ROUNDING)


def _rest(ledger: Ledger, taken: set[int]) -> Columns:
    """The other words of a prompt, and its punctuation, token by token."""
    left: dict[object, list[int]] = {}
    for token in ledger.text_tokens:
        if token.position not in taken:
            key = ("word", token.word) if token.word is not None else ("token", token.position)
            left.setdefault(key, []).append(token.position)
    return tuple(tuple(some) for some in left.values())


def _blurred(maps: Tensor, sigma: float) -> Tensor:
    """[n, h, w] by a Gaussian of 3×3 that sums to one, mirrored at the edges; a side of one cell is left alone."""
    edge = exp(-1 / (2 * sigma**2))
    middle, edge = 1 / (1 + 2 * edge), edge / (1 + 2 * edge)
    for axis in (1, 2):
        size = maps.shape[axis]
        if size == 1:
            continue
        index = [1, *range(size), size - 2]
        before, after = (maps[:, some] if axis == 1 else maps[:, :, some] for some in (index[:-2], index[2:]))
        maps = middle * maps + edge * (before + after)
    return maps
