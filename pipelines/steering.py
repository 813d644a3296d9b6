"""Before a step the latents of some pictures move down the gradient of a loss on where their words look.

Each such pass of the UNet runs the rows of the prompts alone, those of the pictures that are moved (and of the sources
that their other edits take from), with gradients on the latents and on nothing else. It does what the step itself will
do to the attention, reads the maps that the loss wants from explicit probabilities before the edits of their site
(N×77 at a few sites; everything else is fused), and ends after the last of them. Its layers are torch's own, for those
of unet/laid_out.py have no backward. What is watched knows nothing of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from pipelines.ledger import check_said
from pipelines.programs import Drawn, Programs, Setting
from pipelines.techniques.descent import Descent, Read
from pipelines.techniques.live import LiveMaps
from pipelines.watching import Columns
from xattn.conflicts import lanes_of
from xattn.errors import Conflict, Unsupported
from xattn.parts import Mix, Part, Replace, SetMap
from xattn.program import StepProgram
from xattn.sites import AttentionSite, Row
from xattn.space import Space
from xattn.tiled import working_dtype

Forward = Callable[[Tensor, StepProgram], object]
"""One pass of the UNet on the latents of all pictures [images, c, h, w], with a program for the rows that steer."""


@dataclass(slots=True, eq=False)
class _Eye:
    """Reads what one edit of one picture wants of one pass, a sum over heads and sites.

    row: among the rows that steer; reads: at each step, or once where the prompt never changes
    """

    image: int
    row: int
    edit: Descent
    steps: int
    sites: tuple[AttentionSite, ...]
    reads: tuple[Read, ...]
    total: Tensor | None = None
    heads: int = 0
    at: Literal["model"] = "model"
    keys: str = "text"
    mean: bool = False

    @property
    def rows(self) -> tuple[int, ...]:
        """See `Watcher.rows`."""
        return (self.row,)

    def sees(self, site: AttentionSite) -> bool:
        """See `Watcher.sees`."""
        return site in self.sites

    def read(self, index: int) -> Read:
        """What it reads before a step; no words where it is idle."""
        return self.reads[0 if len(self.reads) == 1 else index] if self.edit.opens(index, self.steps) else Read(())

    def columns(self, index: int) -> Columns:
        """See `Watcher.columns`."""
        words, others = self.read(index)
        return (*words, *others) if words else ()

    def take(self, index: int, site: AttentionSite, grid: tuple[int, int], taps: Tensor) -> None:  # noqa: ARG002
        """See `Watcher.take`."""
        asked = [head for head in self.edit.window.heads if head < site.heads]
        own = taps[0, asked] if asked else taps[0]
        if self.edit.window.heads and not asked:
            return
        seen = own.sum(dim=0).mT.unflatten(1, grid)
        self.total = seen if self.total is None else self.total + seen
        self.heads += own.shape[0]

    def loss(self, index: int) -> Tensor:
        """Of the pass that has just been."""
        assert self.total is not None, "its sites have run"
        made = self.edit.loss(self.total / self.heads, len(self.read(index).words))
        self.total, self.heads = None, 0
        return made


@dataclass(frozen=True, slots=True, eq=False)
class Steering:
    """What is moved in one pass of a run's pictures, before which steps.

    rows: places, among the run's rows, of those that steer; images: whose each is
    ran: how often each site has run so far, by name; passes: of the UNet before each step so far
    coupled: whether one moved picture is another's source, so that losses must be told apart
    """

    rows: tuple[int, ...]
    images: tuple[int, ...]
    eyes: tuple[_Eye, ...]
    programs: Programs
    steps: int
    coupled: bool
    ran: Counter[str] = field(default_factory=Counter)
    passes: Counter[int] = field(default_factory=Counter)

    def before(self, index: int, latents: Tensor, forward: Forward, free: Tensor | None = None) -> Tensor:
        """The latents [images, c, h, w] to take step `index` from, counted from 0.

        free: [images, 1, h, w], 0 where a given picture is kept and nothing may move
        """
        program = self.at(index)
        active = [eye for eye in self.eyes if eye.columns(index)]
        if program is None:
            return latents
        # in half precision small moves would vanish one by one: rounded once, when all are made
        exact = latents.to(working_dtype(latents.dtype))
        ending: set[int] = set()
        count = 0
        while active:
            losses, slopes = self._slopes(index, exact.to(latents.dtype), forward, program)
            count += 1
            left = []
            moved = exact.clone()
            for eye in active:
                over, most, once_more = eye.edit.patience(index, self.steps)
                change = eye.edit.step(index, self.steps) * slopes[eye.image]
                moved[eye.image] -= change if free is None else change * free[eye.image].to(change)
                high = losses[eye.image] > over
                last = once_more and not high and count > 1 and eye.image not in ending
                # what has not moved will not: a word whose share is saturated has no gradient
                if count <= most and (high or last) and not torch.equal(moved[eye.image], exact[eye.image]):
                    left.append(eye)
                if last:
                    ending.add(eye.image)
            exact, active = moved, left
        self.passes[index] += count
        self.ran.update({site.name: count for site in self.sites(index)})
        return exact.to(latents.dtype)

    def at(self, index: int) -> StepProgram | None:
        """What the sites do in a pass before step `index`: it ends after the last that is read."""
        program = self.programs.at(index)
        open_sites = {site.name for eye in self.eyes if eye.columns(index) for site in eye.sites}
        if program is None or not open_sites:
            return None
        last = [site for site in self.programs.sites if site.name in open_sites][-1]
        return replace(program, stop_after=last.name)

    def sites(self, index: int) -> tuple[AttentionSite, ...]:
        """Those that run in a pass before step `index`."""
        program = self.at(index)
        names = [site.name for site in self.programs.sites]
        if program is None or program.stop_after is None:
            return ()
        return self.programs.sites[: names.index(program.stop_after) + 1]

    def rows_of(self, latents: Tensor) -> Tensor:
        """The rows that steer, [rows, c, h, w], of what the UNet sees of all images."""
        if self.images == tuple(range(len(latents))):
            return latents
        return latents.index_select(0, torch.tensor(self.images, device=latents.device))

    def _slopes(
        self, index: int, latents: Tensor, forward: Forward, program: StepProgram
    ) -> tuple[dict[int, float], dict[int, Tensor]]:
        """Of each picture its loss, and the gradient of it [c, h, w], at least float32."""
        with torch.enable_grad():
            start = latents.detach().requires_grad_(True)
            forward(start, program)
            losses = {eye.image: eye.loss(index) for eye in self.eyes if eye.columns(index)}
            if not self.coupled:
                (slope,) = torch.autograd.grad(torch.stack(list(losses.values())).sum(), start)
                slopes = dict.fromkeys(losses, slope)
            else:  # a picture's own loss only: what moves its source for its sake would move the source's picture
                slopes = {
                    image: torch.autograd.grad(loss, start, retain_graph=True)[0] for image, loss in losses.items()
                }
        told = torch.stack([loss.detach() for loss in losses.values()]).tolist()
        return dict(zip(losses, told, strict=True)), {
            image: slope[image].to(losses[image].dtype) for image, slope in slopes.items()
        }

    # What is told before a run

    def read_at(self, index: int, site: AttentionSite) -> int:
        """How many maps of a site are read before step `index`."""
        return sum(len(eye.columns(index)) for eye in self.eyes if eye.sees(site))

    def told(self) -> tuple[str, ...]:
        """A sentence for each edit: when, how often, what it reads and what of the UNet runs for it."""
        made = []
        for eye in self.eyes:
            steps = [index for index in range(self.steps) if eye.columns(index)]
            if not steps:
                continue
            names = ", ".join(site.name for site in eye.sites)
            patience = {index: eye.edit.patience(index, self.steps).most for index in steps}
            again = ", ".join(f"{most} more before step {index + 1}" for index, most in patience.items() if most)
            ran = self.sites(steps[0])
            made.append(
                f"{_capital(str(eye.edit))}: before steps {_ranges(steps)} one pass of {_rows(len(self.rows))} with "
                f"gradients on the latents{again and f' (up to {again})'}, which ends after {ran[-1].name}, {len(ran)} "
                f"of {len(self.programs.sites)} attention sites; {len(eye.columns(steps[0]))} maps by explicit "
                f"probabilities at {names}, all else fused."
            )
        return tuple(made)


def make_steering(
    pictures: Sequence[Drawn],
    rows: Sequence[Row],
    sites: Sequence[AttentionSite],
    setting: Setting,
    maps: LiveMaps,
) -> Steering | None:
    """What the edits of a pass's pictures move; None where that is nothing.

    maps: words' maps that the pass itself gathers. Raises BadValue, UnknownWord, Conflict, and Unsupported where torch
    has been told that nothing will ever need a gradient.
    """
    found = dict(_descents(pictures))
    if not found:
        return None
    if torch.is_inference_mode_enabled():
        names = ", ".join(f"the {edit}" for edits in found.values() for edit in edits)
        raise Unsupported(
            f"{_capital(names)} needs gradients, and there are none in torch.inference_mode(); leave it out, or use "
            "torch.no_grad()."
        )
    sources = {image: _source(picture, sites) for image, picture in enumerate(pictures) if image in found}
    images = sorted({*found, *(source for source in sources.values() if source is not None)})
    places = [place for place, row in enumerate(rows) if row.role == "cond" and row.image in images]
    own_rows = [rows[place] for place in places]
    drawn = [_alone(picture, image in images, sources.get(image)) for image, picture in enumerate(pictures)]
    eyes: list[_Eye] = []
    for image, edits in found.items():
        row = [one.image for one in own_rows].index(image)
        eyes += [_eye(edit, image, row, pictures[image], sites, setting) for edit in edits]
    programs = Programs(drawn, own_rows, sites, replace(setting, guided=None), eyes, maps=maps)
    steering = Steering(
        rows=tuple(places),
        images=tuple(row.image for row in own_rows),
        eyes=tuple(eyes),
        programs=programs,
        steps=setting.steps,
        coupled=any(source in found for source in sources.values()),
    )
    _check(steering)
    return steering


def _descents(pictures: Sequence[Drawn]) -> Iterator[tuple[int, list[Descent]]]:
    for image, picture in enumerate(pictures):
        edits = [edit for edit in picture.recipe.edits if isinstance(edit, Descent) and edit.enabled]
        if edits:
            yield image, edits


def _source(picture: Drawn, sites: Sequence[AttentionSite]) -> int | None:
    """The source that edits of a picture take attention from, if some do."""
    takes = any(
        edit.enabled and edit.takes_source and "cond" in edit.window.rows and any(map(edit.at, sites))
        for edit in picture.recipe.edits
    )
    return picture.source if takes else None


def _alone(picture: Drawn, runs: bool, source: int | None) -> Drawn:
    """A picture as its row of the prompt sees it: without edits that act on other rows only."""
    edits = tuple(
        replace(edit, enabled=edit.enabled and runs and "cond" in edit.window.rows) for edit in picture.recipe.edits
    )
    return replace(picture, recipe=replace(picture.recipe, edits=edits), source=source)


def _eye(edit: Descent, image: int, row: int, picture: Drawn, sites: Sequence[AttentionSite], setting: Setting) -> _Eye:
    ledgers = picture.ledgers["cond"]
    for word in edit.meant:
        check_said(word, ledgers)
    reads = tuple(edit.read(ledger) for ledger in ledgers)
    return _Eye(image, row, edit, setting.steps, edit.reads(sites, setting.latent), reads)


def _check(steering: Steering) -> None:
    """Raise Conflict where two move one picture before one step, or where what a loss reads is thrown away."""
    for index in range(steering.steps):
        by_image: dict[int, _Eye] = {}
        for eye in steering.eyes:
            if not eye.columns(index):
                continue
            if eye.image in by_image:
                raise Conflict(
                    f"{_capital(str(by_image[eye.image].edit))} and {eye.edit} both move the latents before step "
                    f"{index + 1}: give one edit the words of both, or give them other steps."
                )
            by_image[eye.image] = eye
            _check_read(steering.programs, eye, index)


def _check_read(programs: Programs, eye: _Eye, index: int) -> None:
    wanted = {column for some in eye.read(index).words for column in some}
    for site in eye.sites:
        _, parts, space = programs.told(site.name, index)
        lanes = set(space.lanes((eye.row,), [h for h in eye.edit.window.heads if h < site.heads] or None))
        for part in parts:
            if lanes & set(lanes_of(part, space)) and _put(part, space) & wanted:
                raise Conflict(
                    f"The {eye.edit} and {part.name} cannot both hold: one moves the picture by a word's own map, and "
                    "the other puts another in its place. Leave that word out, or give them other steps."
                )


def _put(part: Part, space: Space) -> set[int]:
    """The columns of the text whose maps are not made of the model's own any more."""
    if isinstance(part, SetMap):
        return set(part.columns)
    if isinstance(part, Replace):
        return set(range(space.width("text")))
    if isinstance(part, Mix):
        width = space.width(part.keys or space.keys)
        taken = space.tensor(part.alpha, len(lanes_of(part, space)), (width,), "alpha") == 1
        return set(taken.any(dim=0).nonzero().flatten().tolist())
    return set()


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _rows(count: int) -> str:
    return "the prompt's row" if count == 1 else f"{count} rows of prompts"


def _ranges(steps: Sequence[int]) -> str:
    """Step numbers from 1, runs of them shortened."""
    runs: list[list[int]] = []
    for index in steps:
        if runs and index == runs[-1][-1] + 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return ", ".join(str(run[0] + 1) if len(run) == 1 else f"{run[0] + 1} to {run[-1] + 1}" for run in runs)
