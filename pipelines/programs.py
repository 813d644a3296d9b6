"""From the edits of a run's pictures to what each attention site does at each step.

Every edit lowers itself for each kind of attention call (not for each site: calls of one kind, grid and number of heads
get one program), the parts of all pictures and watchers are composed together, and what has been composed is kept until
an edit's window opens or closes. So a step costs nothing here unless an edit changes with every step.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from pipelines.ledger import Ledger, check_said, holds
from pipelines.recipe import Recipe
from pipelines.running import Running
from pipelines.techniques.edit import Edit, Live, inside
from pipelines.techniques.fields import Fields
from pipelines.techniques.here import Here, Said, Unsaid
from pipelines.techniques.live import Blend, LiveMaps, blended
from pipelines.techniques.values import WordMap
from pipelines.watchers import LiveWatcher
from pipelines.watching import Columns, RowWatcher, Watcher
from xattn.compose import compose
from xattn.errors import BadValue
from xattn.parts import Bias, Part, Watch, WatchRows
from xattn.program import Program, StepProgram
from xattn.sites import AttentionSite, Role, Row
from xattn.space import Space


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """One picture of a run: its recipe, what its rows' prompts say at each step (one for all where nothing changes),
    which picture of the run is its source, and the names of the key sources of each edit that has texts."""

    recipe: Recipe
    ledgers: Mapping[Role, tuple[Ledger, ...]]
    source: int | None = None
    keys: Mapping[int, tuple[str, ...]] | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """One pass: `latent` (height, width), steps, sigma before each step, K of each key source, where tensors live, and
    the dtype of the programs' numbers. guided: the steps at which all rows run; at others those of the negative prompts
    do not. None is all steps."""

    latent: tuple[int, int]
    steps: int
    sigmas: tuple[float, ...]
    tokens: Mapping[str, int]
    device: torch.device
    dtype: torch.dtype = torch.float32
    guided: range | None = None


@dataclass(frozen=True, slots=True)
class _Kind:
    """Calls that get the same program: `edits` are the (picture, place in its list) that act there."""

    cross: bool
    grid: tuple[int, int]
    downsampling: int
    heads: int
    edits: tuple[tuple[int, int], ...]
    watchers: tuple[int, ...]
    row_watchers: tuple[int, ...]


class Programs:
    """All programs of one pass. Raises what the edits raise, when it is made: BadValue, UnknownWord, Conflict.

    maps: words' maps that another pass over the same pictures gathers; by default this one does
    kept: by (picture, place in its list), the newest mask [height, width] by which an edit gave places back
    """

    def __init__(
        self,
        pictures: Sequence[Drawn],
        rows: Sequence[Row],
        sites: Sequence[AttentionSite],
        setting: Setting,
        watchers: Sequence[Watcher] = (),
        row_watchers: Sequence[RowWatcher] = (),
        *,
        maps: LiveMaps | None = None,
    ) -> None:
        self._pictures, self._rows, self._setting, self.sites = pictures, rows, setting, tuple(sites)
        self._places = {(row.image, row.role): place for place, row in enumerate(rows)}
        self._running = Running(rows, range(setting.steps) if setting.guided is None else setting.guided)
        # sources first: what is taken from one has its own edits, wherever in the batch it is
        ordered = sorted(enumerate(pictures), key=lambda one: one[1].source is not None)
        self._edits = {
            (image, place): edit
            for image, picture in ordered
            for place, edit in enumerate(picture.recipe.edits)
            if edit.enabled
        }
        self._readings = _numbered(pictures, setting.steps)
        self.maps = LiveMaps(setting.latent) if maps is None else maps
        self._fields = [
            Fields(setting.latent, partial(self._live_map, image), setting.device) for image in range(len(pictures))
        ]
        self._check(self.sites)
        self._watchers: list[Watcher] = [*watchers, *(self._live_watchers(sites) if maps is None else ())]
        self._row_watchers = tuple(row_watchers)
        self._row_taps: dict[tuple[int, _Kind, Hashable], tuple[Tensor, Tensor | None]] = {}
        self.kept: dict[tuple[int, int], Tensor] = {}
        self._kinds = {site.name: self._kind(site) for site in sites}
        self._lowering = tuple(dict.fromkeys(edit for kind in self._kinds.values() for edit in kind.edits))
        self._moving = {edit for edit in self._lowering if self._edits[edit].moves}
        self._now: tuple[object, dict[str, Program], dict[str, list[int]]] | None = None
        self._made: dict[_Kind, dict[object, Program | None]] = {}
        self._rehearse()

    # Each step

    def at(self, index: int) -> StepProgram | None:
        """What the UNet's sites do at step `index`, counted from 0; None where that is nothing."""
        state = self._state(index)
        if self._now is None or self._now[0] != state:
            made = {kind: self._program(kind, index) for kind in dict.fromkeys(self._kinds.values())}
            some = {kind: [w for w in kind.watchers if self._columns(w, index)] for kind in made}
            programs = {name: program for name, kind in self._kinds.items() if (program := made[kind]) is not None}
            self._now = state, programs, {name: some[kind] for name, kind in self._kinds.items()}
        _, doing, reading = self._now
        if not doing:
            return None
        return StepProgram(
            doing, record=partial(self._record, index, reading), record_rows=partial(self._record_rows, index)
        )

    def keep(self, index: int, *latents: Tensor) -> tuple[Tensor, ...]:
        """Latents [images, c, h, w] after step `index`, where edits give places back to the source; masks are made of
        the first."""
        result = latents
        setting = self._setting
        for (image, place), edit in self._edits.items():
            source = self._pictures[image].source
            if source is None or type(edit).keep is Edit.keep or not self._open(edit, index):
                continue
            own, theirs = result[0][image], result[0][source]
            maps, field = partial(self._grids, image), partial(self._fields[image], grid=setting.latent)
            blend = Blend(index, setting.steps, setting.latent, own=own, source=theirs, maps=maps, field=field)
            mask = edit.keep(blend)
            if mask is not None:
                self.kept[image, place] = mask
                result = tuple(blended(some, image, source, mask) for some in result)
        return result

    def _record(
        self,
        index: int,
        reading: Mapping[str, Sequence[int]],
        site: AttentionSite,
        grid: tuple[int, int],
        taps: tuple[Tensor, ...],
    ) -> None:
        for number, own in zip(reading[site.name], taps, strict=True):
            self._watchers[number].take(index, site, grid, own)

    def _record_rows(self, index: int, site: AttentionSite, grid: tuple[int, int], rows: tuple[Tensor, ...]) -> None:
        for number, own in zip(self._reading(self._kinds[site.name], index), rows, strict=True):
            self._row_watchers[number].take(index, site, grid, self._running.spread(own, index))

    # What is told before a run (explain.py)

    def busiest(self) -> int:
        """The step, counted from 0, at which the most edits are open; of equals the first at which most rows run."""
        return max(range(self._setting.steps), key=lambda i: (self._busy(i), len(self._running.at(i)), -i))

    def _busy(self, index: int) -> int:
        return sum(self._open(edit, index) for edit in self._edits.values())

    def told(self, site: str, index: int) -> tuple[Program | None, list[Part], Space]:
        """What one site does at a step, the parts that it was composed of, and what they were composed for."""
        kind = self._kinds[site]
        return self._program(kind, index), self._parts(kind, index), self._space(kind, index)

    # Composing

    def _program(self, kind: _Kind, index: int) -> Program | None:
        known = self._made.setdefault(kind, {})
        state = self._state(index, kind)
        if state not in known:
            if self._moving.intersection(kind.edits):
                known.clear()  # it will not come again
            known[state] = self._composed(kind, index)
        return known[state]

    def _state(self, index: int, kind: _Kind | None = None) -> object:
        """What tells this step's program from another's, of one kind or of all."""
        edits = self._lowering if kind is None else kind.edits
        watchers = range(len(self._watchers)) if kind is None else kind.watchers
        row_watchers = range(len(self._row_watchers)) if kind is None else kind.row_watchers
        acting = tuple(edit for edit in edits if self._open(self._edits[edit], index))
        moving = index if self._moving.intersection(acting) else None
        readings = self._readings[index] if acting else None
        columns = tuple(self._columns(number, index) for number in watchers)
        states = tuple(self._row_watchers[number].state(index) for number in row_watchers)
        return self._running.whole(index), acting, moving, readings, columns, states

    def _columns(self, number: int, index: int) -> Columns:
        """What a watcher reads at a step, nothing where its rows do not run."""
        watcher = self._watchers[number]
        return watcher.columns(index) if set(watcher.rows) <= self._running.at(index).keys() else ()

    def _reading(self, kind: _Kind, index: int) -> list[int]:
        """The row watchers whose row runs at a step."""
        running = self._running.at(index)
        return [number for number in kind.row_watchers if self._row_watchers[number].row in running]

    def _composed(self, kind: _Kind, index: int) -> Program | None:
        parts, space = self._parts(kind, index), self._space(kind, index)
        return compose(parts, space) if parts else None

    def _parts(self, kind: _Kind, index: int) -> list[Part]:
        space, running = self._space(kind, index), self._running.at(index)
        parts = self._hidden(space, index) if kind.cross else []
        for image, place in kind.edits:
            edit = self._edits[image, place]
            if self._open(edit, index):
                for role in edit.window.rows:
                    if self._places.get((image, role)) in running:
                        parts += self._lowered(edit, self._here(kind, space, image, place, role, index))
        for number in kind.watchers:
            watcher = self._watchers[number]
            columns = self._columns(number, index)
            if columns:
                weights = _weights(columns, space.width(watcher.keys), mean=watcher.mean).to(self._setting.device)
                lanes, live = space.lanes([running[row] for row in watcher.rows]), isinstance(watcher, LiveWatcher)
                parts.append(Watch(weights, watcher.at, lanes, watcher.keys, steers=live))
        return parts + [self._watch_rows(number, kind, space, index) for number in self._reading(kind, index)]

    def _hidden(self, space: Space, index: int) -> list[Part]:
        """Hides what fills a row's text up to the longest text of the run, where its ledger ends before."""
        parts: list[Part] = []
        for place, position in self._running.at(index).items():
            said = _said(self._pictures[self._rows[place].image], self._rows[place].role, index)
            if len(said.ledger.tokens) < (width := space.width("text")):
                beyond = torch.arange(width, device=space.device) >= len(said.ledger.tokens)
                tokens = torch.zeros(width, dtype=space.dtype, device=space.device).masked_fill(beyond, -torch.inf)
                parts.append(Bias(tokens.new_ones(space.queries), tokens, space.lanes((position,))))
        return parts

    def _watch_rows(self, number: int, kind: _Kind, space: Space, index: int) -> WatchRows:
        watcher = self._row_watchers[number]
        key = (number, kind, watcher.state(index))
        if key not in self._row_taps:
            self._row_taps[key] = watcher.tap(index, kind.grid, kind.downsampling)
        weights, columns = self._row_taps[key]
        return WatchRows(weights, columns, watcher.at, on=space.lanes((self._running.at(index)[watcher.row],)))

    def _space(self, kind: _Kind, index: int) -> Space:
        return Space(
            rows=len(self._running.at(index)),
            heads=kind.heads,
            queries=math.prod(kind.grid),
            keys="text" if kind.cross else "self",
            tokens=self._setting.tokens if kind.cross else {},
            dtype=self._setting.dtype,
            device=self._setting.device,
        )

    def _lowered(self, edit: Edit, here: Here) -> Sequence[Part]:
        try:
            return edit.lower(here)
        except Unsaid:
            return ()

    def _here(self, kind: _Kind, space: Space, image: int, place: int, role: Role, index: int) -> Here:
        picture, setting, running = self._pictures[image], self._setting, self._running.at(index)
        edit = self._edits[image, place]
        heads = [head for head in edit.window.heads if head < kind.heads] if edit.window.heads else None
        source = None if picture.source is None else self._pictures[picture.source]
        return Here(
            space=space,
            cross=kind.cross,
            grid=kind.grid,
            downsampling=kind.downsampling,
            lanes=space.lanes((running[self._places[image, role]],), heads),
            others=None
            if picture.source is None
            else space.lanes((running[self._places[picture.source, role]],), heads),
            index=index,
            steps=setting.steps,
            sigma=setting.sigmas[index],
            keys=(picture.keys or {}).get(place, ()),
            name=f"the {edit}",
            said=_said(picture, role, index),
            source_said=None if source is None else _said(source, role, index),
            fields=self._fields[image],
        )

    def _kind(self, site: AttentionSite) -> _Kind:
        latent = self._setting.latent
        return _Kind(
            site.cross,
            (math.ceil(latent[0] / site.downsampling), math.ceil(latent[1] / site.downsampling)),
            site.downsampling,
            site.heads,
            tuple(at for at, edit in self._edits.items() if edit.window.takes(site) and edit.at(site)),
            tuple(number for number, watcher in enumerate(self._watchers) if watcher.sees(site)),
            tuple(number for number, watcher in enumerate(self._row_watchers) if watcher.sees(site)),
        )

    def _open(self, edit: Edit, index: int) -> bool:
        # where a word looks is not known before it has looked once
        waits = index == 0 and bool(inside(edit, WordMap))
        return not waits and edit.opens(index, self._setting.steps)

    # Checks, before the first step

    def _check(self, sites: tuple[AttentionSite, ...]) -> None:
        for (image, _), edit in self._edits.items():
            edit.window.check_sites(sites)
            edit.check_sites(sites)
            if not any((image, role) in self._places for role in edit.window.rows):
                raise BadValue(
                    f"{edit}: window.rows", list(edit.window.rows), '"cond", since guidance_scale 1 runs no other rows'
                )
            if edit.window.rows == ("uncond",) and not self._running.guided:
                raise BadValue(f"{edit}: window.rows", ["uncond"], '"cond", since no step is guided')

    def _rehearse(self) -> None:
        """Compose everything once, so that what cannot be is told now; live maps are taken as empty for that."""
        states = [self._state(index) for index in range(self._setting.steps)]
        acts = [[self._readings[i], *(self._open(e, i) for e in self._edits.values())] for i in range(len(states))]
        for index, state in enumerate(states):
            if index and state == states[index - 1]:
                continue
            begins = index < 2 or acts[index] != acts[index - 1] or index - self._running.guided.start in (0, 1)
            for kind in dict.fromkeys(self._kinds.values()):
                if begins or not self._moving.intersection(kind.edits):
                    self._program(kind, index)
        for kind, known in self._made.items():
            if self._moving.intersection(kind.edits):
                known.clear()

    # Live maps

    def _live_watchers(self, sites: Sequence[AttentionSite]) -> list[Watcher]:
        grids = sorted({site.downsampling for site in sites if site.cross})
        wanted: dict[tuple[int, Live], list[Edit]] = {}
        for (image, _), edit in self._edits.items():
            for live in edit.live:
                wanted.setdefault((image, live), []).append(edit)
        made: list[Watcher] = []
        for (image, live), edits in wanted.items():
            picture = self._pictures[image]
            whose = image if live.of == "own" or picture.source is None else picture.source
            ledgers = self._pictures[whose].ledgers["cond"]
            check_said(live.word, ledgers, "prompt" if live.of == "own" else "source's prompt")
            row = self._places[whose, "cond"]
            until = max(index for index in range(self._setting.steps) if self._last(edits, index))
            grid = live.downsampling(grids, self._setting.latent)
            # found once: every site asks for them at every step
            sets = tuple((one.columns(live.word),) if holds(one, live.word) else () for one in ledgers)
            made.append(LiveWatcher((image, live), row, sets, until, self.maps, grid))
        return made

    def _last(self, edits: Sequence[Edit], index: int) -> bool:
        return index == 0 or any(edit.opens(index, self._setting.steps) for edit in edits)

    def _live_map(self, image: int, shape: WordMap) -> Tensor:
        key = (image, Live(shape.word))
        if key not in self.maps:  # while everything is composed for the first time
            return torch.full(self._setting.latent, 0.5, device=self._setting.device)
        return self.maps.scaled(key, shape.threshold)

    def _grids(self, image: int, live: Live) -> dict[int, Tensor]:
        key = (image, live)
        return self.maps.on_grids(key) if key in self.maps else {}  # a word that has not been said yet


def _numbered(pictures: Sequence[Drawn], steps: int) -> tuple[tuple[int, ...], ...]:
    """For each step, numbers that are equal where the prompts say the same."""
    known: dict[Ledger, int] = {}
    changing = [ledgers for picture in pictures for ledgers in picture.ledgers.values() if len(ledgers) > 1]
    return tuple(tuple(known.setdefault(ledgers[index], len(known)) for ledgers in changing) for index in range(steps))


def _said(picture: Drawn, role: Role, index: int) -> Said:
    ledgers = picture.ledgers[role]
    whose = "prompt" if role == "cond" else "negative prompt"
    return Said(ledgers[0], (), whose) if len(ledgers) == 1 else Said(ledgers[index], ledgers, whose)


def _weights(columns: Columns, tokens: int, *, mean: bool) -> Tensor:
    weights = torch.zeros(tokens, len(columns))
    for place, some in enumerate(columns):
        weights[list(some), place] = 1.0 / max(1, len(some)) if mean else 1.0
    return weights
