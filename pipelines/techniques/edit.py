"""What every edit is: a frozen value of a recipe, told apart by its kind, that lowers itself to primitives of xattn.

A technique is one file with one class. The class names its fields, checks them, and answers `lower`: what it does to
one attention call, given where and when that is (here.py). Everything else has an answer here that it may leave.
Importing a technique loads no torch, for recipes are made where nothing is drawn; `lower` may import what it likes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar, Literal, TypeVar

from pipelines import checks
from pipelines.assets import Asset
from pipelines.ledger import Phrase, phrase_parts
from pipelines.techniques.values import WordMap
from pipelines.techniques.window import Window
from xattn.errors import BadValue
from xattn.sites import AttentionSite

if TYPE_CHECKING:
    from torch import Tensor

    from pipelines.techniques.here import Here
    from pipelines.techniques.live import Blend
    from xattn.parts import Part

Kind = TypeVar("Kind")
EVERYWHERE = Window()


@dataclass(frozen=True, slots=True)
class Live:
    """A word whose map an edit needs while the picture is drawn.

    of: whose prompt and rows; at: before all edits, "model", so that an edit does not follow itself, or after, "edited"
    grid: which sites: "every"; "16", those of the coarsest grid with at least 16 cells along its longer side (of the
        finest, where none has so many); "1/4", those of a grid with a quarter of the latent's side
    """

    word: Phrase
    of: Literal["own", "source"] = "own"
    at: Literal["model", "edited"] = "model"
    grid: Literal["every", "16", "1/4"] = "every"

    def downsampling(self, grids: Sequence[int], latent: tuple[int, int]) -> int | None:
        """Of these downsamplings that of its sites; None where it is every site's."""
        if self.grid == "every":
            return None
        if self.grid == "1/4":
            return 4
        return coarse(grids, latent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """Common to all edits.

    id: a name for lists and messages; unique in a recipe where it is given
    enabled: an edit that is not changes nothing and is kept
    window: where it acts
    """

    kind: ClassVar[str]
    wants_source: ClassVar[bool] = False
    """Whether every edit of this kind takes from the recipe's source."""

    id: str = ""
    enabled: bool = True
    window: Window = EVERYWHERE

    def __post_init__(self) -> None:
        checks.text(f"{self.kind}.id", self.id)
        checks.flag(f"{self.kind}.enabled", self.enabled)
        if not isinstance(self.window, Window):
            raise BadValue(f"{self.kind}.window", self.window, "a Window")
        self.check()

    def __str__(self) -> str:
        kind = self.kind.replace("_", " ")
        if self.id:
            return f'{kind} "{self.id}"'
        word = getattr(self, "word", None)
        return kind if word is None else f'{kind} of "{phrase_parts(word)[0]}"'

    # What a technique answers

    def check(self) -> None:
        """Raise BadValue for fields that cannot be; `_set` puts a field right."""

    def at(self, site: AttentionSite) -> bool:
        """Whether it changes this site at all, if its window takes it."""
        return site.cross

    def check_sites(self, sites: Sequence[AttentionSite]) -> None:
        """Raise BadValue where a model has none of the sites that it means."""

    def opens(self, index: int, steps: int) -> bool:
        """Whether it acts at step `index` of `steps`, counted from 0: as its window says."""
        return self.window.open(index, steps)

    @property
    def takes_source(self) -> bool:
        """Whether the recipe must have a `source`."""
        return self.wants_source

    @property
    def moves(self) -> bool:
        """Whether `lower` answers differently at each step of its window."""
        return bool(self.live)

    @property
    def live(self) -> tuple[Live, ...]:
        """Words whose maps it needs while the picture is drawn; of its shapes by default."""
        return tuple(Live(shape.word) for shape in inside(self, WordMap))

    @property
    def texts(self) -> tuple[tuple[str | None, ...], ...]:
        """Further prompts to attend to. Each tuple is one key source, its texts joined; None is the row's own."""
        return ()

    def lower(self, here: Here) -> Sequence[Part]:  # noqa: ARG002  what a technique without it answers
        """What it does to one attention call."""
        return ()

    def keep(self, blend: Blend) -> Tensor | None:  # noqa: ARG002
        """After a step in its window: where the picture is its own, 1, and where its source's, 0: [height, width] of
        the latent. None leaves it as it is."""
        return None

    # For the layers that carry it

    @property
    def assets(self) -> tuple[Asset, ...]:
        """Every picture in it."""
        return inside(self, Asset)

    def _set(self, name: str, value: object) -> None:
        # frozen: only while it is being made, so that equal edits are equal however they were written
        object.__setattr__(self, name, value)


def coarse(grids: Sequence[int], latent: tuple[int, int]) -> int:
    """Of these downsamplings that of the coarsest grid with at least 16 cells along its longer side; of the finest,
    where none has so many. latent: (height, width)"""
    return max((grid for grid in grids if -(-max(latent) // grid) >= 16), default=min(grids))


def check_word(parameter: str, word: object) -> None:
    """Raise BadValue for what is no word or phrase, or a blank one."""
    text, _ = phrase_parts(word)  # type: ignore[arg-type]
    checks.text(parameter, text, blank=False)


def inside(value: object, kind: type[Kind]) -> tuple[Kind, ...]:
    """Every value of a kind in a nest of dataclasses and tuples, in order."""
    if isinstance(value, kind):
        return (value,)
    if isinstance(value, tuple):
        return tuple(found for one in value for found in inside(one, kind))
    if hasattr(type(value), "__dataclass_fields__"):
        return tuple(found for one in fields(value) for found in inside(getattr(value, one.name), kind))  # type: ignore[arg-type]
    return ()
