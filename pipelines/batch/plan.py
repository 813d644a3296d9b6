"""What a batch will draw, in which groups: decided from the rows alone, so that every run of them agrees.

A picture's bits depend a little on how many are drawn at once. So groups never depend on what is there already: of a
group that is partly done all pictures are drawn again, in their old places, and only those that are missing are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipelines.batch.models import Models
from pipelines.batch.options import Options
from pipelines.batch.rejected import Rejected
from pipelines.batch.rows import Asked, expand
from pipelines.batch.sources import Source
from pipelines.metadata import has_room
from pipelines.recipe import Recipe
from xattn.errors import XattnError

if TYPE_CHECKING:
    from pipelines.capture import Capture
    from pipelines.pipeline import Pipeline

Size = Callable[["Pipeline", Sequence[Recipe]], int]


@dataclass(frozen=True, slots=True)
class Item:
    """One picture: the row that asks for it, its resolved recipe and that recipe's hash; the model's name to load."""

    row: int
    line: int
    recipe: Recipe
    hash: str
    model: str

    def stem(self, digits: int = 8) -> str:
        """The file's name without its suffix: row, seed, and the beginning of the hash."""
        return f"{self.row:05d}-{self.recipe.seed}-{self.hash[:digits]}"


@dataclass(frozen=True, slots=True)
class Group:
    """Pictures that are drawn at once. `number` counts the groups of the whole plan, from 0.

    size: the most pictures at once, sources that are drawn along included
    """

    number: int
    model: str
    items: tuple[Item, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a file of rows asks for.

    source: the file's name; rows: how many it has; rejected: those that make no picture
    repeated: pictures asked for more than once, which are drawn once
    batch_size: the largest that a group may be
    """

    source: str
    sha256: str
    rows: int
    groups: tuple[Group, ...]
    rejected: tuple[Rejected, ...]
    repeated: int
    batch_size: int

    @property
    def items(self) -> Iterator[Item]:
        """Every picture, group by group."""
        return (item for group in self.groups for item in group.items)

    @property
    def pictures(self) -> int:
        """How many there are."""
        return sum(len(group.items) for group in self.groups)


def make_plan(source: Source, options: Options, models: Models, size: Size) -> Plan:
    """Check every row and put the pictures into groups.

    size: says how large groups may be, given a model and its recipes
    Bad rows are in the plan; what no row can help raises XattnError.
    """
    asked, rejected = expand(source, options.settings)
    by_model: dict[str, list[Asked]] = {}
    for one in asked:
        by_model.setdefault(models.name(one.recipe.model), []).append(one)
    groups: list[Group] = []
    sizes = [1]
    documents = {raw.number: raw.document for raw in source.rows}
    taken: set[str] = set()
    repeated = 0
    bad: list[Rejected] = list(rejected)
    for model, wanted in by_model.items():
        try:
            pipe = models.get(model)
        except XattnError as error:
            if model == models.default:
                raise
            rows = {one.row: one.line for one in wanted}
            bad += [Rejected(source.name, row, line, str(error), dict(documents[row])) for row, line in rows.items()]
            continue
        sound, refused = _checked(wanted, pipe, model, options)
        bad += [
            Rejected(source.name, one.row, one.line, why, dict(documents[one.row])) for one, why in refused.values()
        ]
        items = []
        for item in sound:
            if item.hash in taken:
                repeated += 1
                continue
            taken.add(item.hash)
            items.append(item)
        if items:
            sizes.append(size(pipe, [item.recipe for item in items]))
            groups += _groups(items, sizes[-1], model, len(groups), pipe)
    bad.sort(key=lambda one: one.line)
    return Plan(source.name, source.sha256, len(source.rows), tuple(groups), tuple(bad), repeated, max(sizes))


def _checked(
    asked: Iterable[Asked], pipe: Pipeline, model: str, options: Options
) -> tuple[list[Item], dict[int, tuple[Asked, str]]]:
    """Pictures that can be drawn, and rows that cannot, each with its first reason."""
    capture = capture_of(options)
    refused: dict[int, tuple[Asked, str]] = {}
    sound: list[Item] = []
    known: dict[Recipe, str] = {}
    for one in asked:
        if one.row in refused:
            continue
        try:
            recipe = pipe.resolve(_for(pipe, one.recipe))
            alike = replace(recipe, seed=0)
            if alike not in known:
                known[alike] = ""
                try:
                    # everything is checked when this is called; the run itself would begin at the first event
                    pipe.stream(recipe, maps=capture)
                except XattnError as error:
                    known[alike] = str(error)
            if known[alike]:
                raise XattnError(known[alike])
            if not has_room(recipe, f"picture.{options.form}"):
                raise XattnError(f"The recipe is too long for a .{options.form}; save the batch as png or webp.")
            sound.append(Item(one.row, one.line, recipe, recipe.hash, model))
        except XattnError as error:
            refused[one.row] = (one, str(error))
    return [item for item in sound if item.row not in refused], refused


def _for(pipe: Pipeline, recipe: Recipe) -> Recipe:
    """A recipe that names its model by where it lies, for the pipeline that was loaded from there."""
    strip = recipe.model is not None and recipe.model.sha256 is None
    made = replace(recipe, model=None) if strip else recipe
    if made.source is not None:
        made = replace(made, source=_for(pipe, made.source))
    return made


def capture_of(options: Options) -> Capture | None:
    """What is watched, if anything is."""
    if not options.words:
        return None
    from pipelines.capture import Capture

    return Capture(options.words, options.keep, dtype="float16")


def _groups(items: Sequence[Item], size: int, model: str, first: int, pipe: Pipeline) -> list[Group]:
    """Pictures that can share a batch, at most `size` at once, sources included; groups in the order of their rows."""
    from pipelines.batches import batches

    cut = [
        [place for place, _ in batch.wanted]
        for batch in batches([item.recipe for item in items], size, pipe.model.text)
    ]
    cut.sort(key=lambda places: places[0])
    return [
        Group(first + number, model, tuple(items[place] for place in places), size) for number, places in enumerate(cut)
    ]
