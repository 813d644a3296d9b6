"""From rows to recipes: defaults under them, seeds, templates and sweeps."""

from __future__ import annotations

import copy
import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipelines import checks
from pipelines.assets import Asset
from pipelines.batch.paths import assign
from pipelines.batch.rejected import Rejected
from pipelines.batch.sources import Raw, Source
from pipelines.batch.templates import Templates
from pipelines.recipe import MAX_SEED, Recipe
from xattn.errors import BadValue, XattnError

MAX_PICTURES = 1_000_000
"""In one batch. Millions more would not fit into one manifest that is read at every start."""
_RANGE = re.compile(r"\s*(\d{1,19})\s*-\s*(\d{1,19})\s*")
_SEEDS = 'a whole number, a range such as "0-9", or a list of them'


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for every row.

    defaults: fields that a row may set otherwise
    sweep: values by a field's path; every combination of them is drawn of every row, each with the row's own seeds
    count: how many seeds a row has that says nothing of it
    templates: how prompts are read that hold {variants} and __wildcards__; None takes them letter for letter
    """

    defaults: Mapping[str, object] = field(default_factory=dict, hash=False)
    sweep: Mapping[str, Sequence[object]] = field(default_factory=dict, hash=False)
    count: int = 1
    templates: Templates | None = None

    def __post_init__(self) -> None:
        checks.whole("count", self.count, 1, MAX_PICTURES)
        # what depends on a row's other fields is told with the row
        late = ("seed", "count", "init", "mask", "strength", "source", "noise", "edits", "adapters")
        Recipe.from_json({"prompt": "a", **{name: one for name, one in self.defaults.items() if name not in late}})
        for path, values in self.sweep.items():
            if path in ("seed", "count"):
                raise BadValue("sweep", path, "a field other than the seed", 'Give "seed": "0-9", or count, instead')
            if isinstance(values, str) or not values:
                raise BadValue(f"sweep.{path}", values, "a list of at least one value")


@dataclass(frozen=True, slots=True)
class Asked:
    """One picture that a row asks for; the recipe may still be open in what a model decides."""

    row: int
    line: int
    recipe: Recipe


def expand(
    source: Source, settings: Settings, limit: int = MAX_PICTURES
) -> tuple[tuple[Asked, ...], tuple[Rejected, ...]]:
    """Every picture that the rows ask for, and every row that asks for none that can be.

    A row is drawn whole or not at all. Raises BadValue where there would be more than `limit`.
    """
    seen: Counter[str] = Counter()
    asked: list[Asked] = []
    rejected: list[Rejected] = []
    pictures = _Pictures(source.folder)
    for raw in source.rows:
        try:
            if raw.problem:
                raise XattnError(raw.problem)
            made = list(_row(raw, settings, seen, pictures, limit - len(asked)))
        except _TooMany as error:
            remedy = "Split the file, or count or sweep less"
            raise BadValue("rows", "more", f"at most {limit} pictures", remedy) from error
        except XattnError as error:
            rejected.append(Rejected(source.name, raw.number, raw.line, str(error), dict(raw.document)))
            continue
        asked += made
    return tuple(asked), tuple(rejected)


class _TooMany(Exception):
    pass


def _row(raw: Raw, settings: Settings, seen: Counter[str], pictures: _Pictures, room: int) -> Iterator[Asked]:
    document = copy.deepcopy({**settings.defaults, **raw.document})
    for path, value in list(document.items()):
        if "." in path:  # a dotted name among the fields of an object
            del document[path]
            assign(document, path, value, grow=True)
    count = checks.whole("count", document.pop("count", settings.count), 1, MAX_PICTURES)
    prompt = checks.text("prompt", document.get("prompt"), blank=False, remedy='Add "prompt": "a fox on purple"')
    seen[prompt] += 1
    given = document.pop("seed", None)
    source = document.get("source")
    if given is None and isinstance(source, dict):
        given = source.get("seed")  # an edited picture has its source's seed
    seeds = _seeds(given, count, prompt, seen[prompt])
    sweeps = list(itertools.product(*settings.sweep.values()))
    spoken = [(prompt, seed) for seed in seeds]
    if settings.templates is not None:
        spoken = list(itertools.islice(settings.templates.spoken(prompt, seeds), room + 1))
    if len(spoken) * len(sweeps) > room:
        raise _TooMany
    assets = pictures.put_in(document)
    for words, seed in spoken:
        for values in sweeps:
            made = copy.deepcopy(document) | {"prompt": words, "seed": seed}
            for path, value in zip(settings.sweep, values, strict=True):
                assign(made, path, copy.deepcopy(value))
            yield Asked(raw.number, raw.line, _with_data(Recipe.from_json(made), assets))


def _seeds(given: object, count: int, prompt: str, occurrence: int) -> list[int]:
    """The seeds of a row. One that gives none has seeds that follow from its prompt and from which of the rows with
    that prompt it is: so they stay when other rows come and go.
    """
    if given is None:
        said = hashlib.sha256(f"{occurrence}\n{prompt}".encode()).digest()
        given = int.from_bytes(said[:4], "big")
    if isinstance(given, list):
        seeds = [seed for one in given for seed in _seeds(one, 1, prompt, occurrence)]
    elif isinstance(given, str) and (found := _RANGE.fullmatch(given)):
        first, last = int(found[1]), int(found[2])
        if last < first or last - first >= MAX_PICTURES:
            raise BadValue("seed", given, f"a range from less to more, of at most {MAX_PICTURES} seeds")
        seeds = list(range(first, last + 1))
    elif isinstance(given, str) and given.strip().isdecimal():
        return _seeds(int(given), count, prompt, occurrence)
    else:
        first = checks.whole("seed", given, 0, MAX_SEED - count + 1, f"It may be {_SEEDS}")
        return list(range(first, first + count))
    if count != 1:
        raise BadValue("count", count, "left out where seed is a range or a list", "Give one of the two")
    if not seeds:
        raise BadValue("seed", given, _SEEDS)
    return seeds


class _Pictures:
    """Picture files that rows name, each read once. Only a batch file's own rows may name files; recipes never do."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, Asset] = {}

    def put_in(self, document: dict[str, object]) -> dict[str, Asset]:
        """Set an asset's document where a path stands, here and in the source; the assets by their sha256."""
        found: dict[str, Asset] = {}
        source = document.get("source")
        for place in (document, source):
            if not isinstance(place, dict):
                continue
            for name in ("init", "mask"):
                if isinstance(path := place.get(name), str):
                    asset = self._asset(path)
                    place[name] = asset.document()
                    found[asset.sha256] = asset
        return found

    def _asset(self, path: str) -> Asset:
        if path not in self._read:
            self._read[path] = Asset.from_file(self._folder / path)
        return self._read[path]


def _with_data(recipe: Recipe, assets: Mapping[str, Asset]) -> Recipe:
    """The recipe with the bytes that were too many for its JSON."""
    if not assets:
        return recipe
    return replace(
        recipe,
        init=None if recipe.init is None else assets.get(recipe.init.sha256, recipe.init),
        mask=None if recipe.mask is None else assets.get(recipe.mask.sha256, recipe.mask),
        source=None if recipe.source is None else _with_data(recipe.source, assets),
    )
