"""What a recipe will do, told before it is done: rows, text, and for every attention site its call, kernel and cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from pipelines.batches import batches, most_chunks
from pipelines.capture import Capture
from pipelines.load import Model
from pipelines.plan import guide
from pipelines.recipe import Recipe
from pipelines.run import prepare
from pipelines.site_calls import SiteExplanation, commuting, sites_of, with_program, with_reading
from pipelines.stages import stages
from pipelines.techniques import Edit
from pipelines.techniques.codec import edit_document
from xattn.errors import Conflict
from xattn.sites import Role

_TITLED = ("id", "enabled", "window")
"""Fields of every edit, which its line tells apart from its own."""
_ALWAYS = ("op", "strength", "threshold")
"""Fields of some that are told at their default too, for there is no edit without them."""
_NAMES = ("op", "of", "reach", "renormalise")
"""Fields whose text is one of a few names, and no words of a prompt."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A recipe's plan. `str()` is for people, `document()` for programs.

    step: whose programs these are, counted from 1: the first with the most edits at work
    drawn: pictures in the run, 2 where the recipe has a source
    guided: the steps of the first pass at which all rows run, counted from 0; at the others "uncond" does not
    steps: of the first pass
    watching: what is kept of the attention, and its bytes; empty where nothing is
    map_bytes: of the maps, a picture
    moving: what moves the latents before steps, a sentence an edit; its passes are not among the flops
    """

    recipe: Recipe
    roles: tuple[Role, ...]
    chunks: int
    sites: tuple[SiteExplanation, ...]
    step: int = 1
    drawn: int = 1
    conflicts: tuple[str, ...] = ()
    commuting: tuple[str, ...] = ()
    watching: str = ""
    map_bytes: int = 0
    guided: range = range(0)
    steps: int = 0
    moving: tuple[str, ...] = ()

    @property
    def flops(self) -> int:
        """Of all attention calls of one step."""
        return sum(site.flops for site in self.sites)

    def document(self) -> dict[str, object]:
        """The same as JSON's types."""
        return {
            "recipe": self.recipe.portable().document(),
            "rows": list(self.roles),
            "guided_steps": [self.guided[0] + 1, self.guided[-1] + 1] if self.guided else None,
            "pictures": self.drawn,
            "step": self.step,
            "chunks": self.chunks,
            "attention_flops_a_step": self.flops,
            "map_bytes": self.map_bytes,
            "conflicts": list(self.conflicts),
            "commuting": list(self.commuting),
            "moving": list(self.moving),
            "sites": [
                {
                    "site": one.site.name,
                    "kind": one.site.kind,
                    "grid": list(one.grid),
                    "queries": one.queries,
                    "keys": one.keys,
                    "heads": one.site.heads,
                    "head_dim": one.site.head_dim,
                    "lanes": one.lanes,
                    "kernel": one.kernel,
                    "why": list(one.why),
                    "flops": one.flops,
                    "program": list(one.program),
                }
                for one in self.sites
            ],
        }

    def _interval(self) -> str:
        """At which steps there is guidance, where that is not all of them."""
        if len(self.roles) == 1 or len(self.guided) == self.steps:
            return ""
        if not self.guided:
            return f" (uncond at none of {self.steps} steps)"
        return f" (uncond at steps {self.guided[0] + 1} to {self.guided[-1] + 1} of {self.steps})"

    def __str__(self) -> str:
        recipe = self.recipe
        head = [
            f'"{recipe.prompt}"',
            "; then ".join(map(str, stages(recipe))) + f"; guidance {recipe.guidance_scale:g}, seed {recipe.seed}",
            f"Pictures: {self.drawn}{' (one is the source)' if self.drawn > 1 else ''}. Rows a picture: "
            f"{', '.join(self.roles)}{self._interval()}. Text: {self.chunks} × 77 tokens, keys and values made once.",
            *map(_line, recipe.edits),
            "",
        ]
        table = [("site", "grid", "keys", "lanes", "kernel", "MFLOP", "program")]
        for one in self.sites:
            grid = f"{one.grid[0]}×{one.grid[1]}"
            table.append(
                (
                    one.site.name,
                    grid,
                    str(one.keys),
                    str(one.lanes),
                    one.kernel,
                    f"{one.flops / 1e6:.1f}",
                    ", ".join(one.program) or "plain",
                )
            )
        widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
        ]
        why = {one.kernel: one.why for one in self.sites}
        tail = [f"Attention: {self.flops / 1e9:.2f} GFLOP at step {self.step}."]
        for kernel, answers in why.items():
            tail.append(f"{kernel}, because of these, in auto's order, it is the first that can: " + "; ".join(answers))
        tail += self.moving
        tail += [self.watching] if self.watching else []
        tail += [f"Conflict: {sentence}" for sentence in self.conflicts]
        tail += [f"Commute: {sentence}" for sentence in self.commuting]
        if not self.recipe.edits:
            tail.append("No edits, so nothing conflicts and nothing has an order.")
        return "\n".join([*head, *lines, "", *tail])


def _when(edit: Edit) -> str:
    """An edit's window in words."""
    if not edit.enabled:
        return "off"
    first, last = edit.window.steps
    steps = f"steps {first} to {last}" if isinstance(first, int) else f"from {first:.0%} to {last:.0%} of the steps"
    where = [*edit.window.sites, *(f"head {head}" for head in edit.window.heads)]
    return ", ".join([steps, f"rows {' and '.join(edit.window.rows)}", *where])


def _line(edit: Edit) -> str:
    """An edit in a line: what it is about, what it says, and where it acts."""
    return f"{_capital(str(edit))}: {'; '.join(part for part in (_own(edit), _when(edit)) if part)}"


def _own(edit: Edit) -> str:
    """What an edit says beside its word and its window: its numbers, places and choices, in the order of its fields."""
    document = edit_document(edit)
    for name in _ALWAYS:
        if hasattr(edit, name):
            document.setdefault(name, getattr(edit, name))
    own = [field.name for field in fields(edit) if field.name in document and field.name not in _TITLED]
    told = [_field(name, document[name]) for name in own]
    return ", ".join(text for text in told if not str(edit).endswith(f" of {text.partition(' ')[2]}"))


def _field(name: str, value: object) -> str:
    if isinstance(value, bool):
        return name if value else {"hard": "soft"}.get(name, f"not {name}")
    named = "" if name == "regions" else f"{name.replace('_', ' ')} "
    return f"{named}{value if name in _NAMES else _value(value)}"


def _value(value: Any) -> str:
    """JSON's types as a person reads them."""
    match value:
        case str():
            return f'"{value}"'
        case int() | float():
            return f"{value:g}"
        case {"sha256": _, "width": width, "height": height}:
            return f"painted {width}×{height}"
        case {"box": [*sides]}:
            return f"box {_value(sides)}"
        case {"word_map": word}:
            return f"where {_value(word)} looks" + (f" over {value['threshold']:g}" if "threshold" in value else "")
        case {"prompt": prompt, "field": place, **rest}:  # a region
            strength = _field("strength", rest.get("strength", 1.0))
            return f"{_value(prompt)} ({_value(place)}), {strength}"
        case [str(word), int(occurrence)]:
            return f"{_value(word)} ({occurrence})"
        case [[int() | float(), int() | float()], *_]:  # points over the steps
            return ", ".join(f"{number:g} at {at:.0%}" for at, number in value)
        case [word, [int() | float() as first, int() | float() as last]]:  # a word's own steps
            return f"{_value(word)} from {first:g} to {last:g}"
        case [*several]:
            if any(isinstance(one, Mapping | list) for one in several):
                return "; ".join(map(_value, several))
            return (" " if isinstance(several[0], int | float) else ", ").join(map(_value, several))
    return str(value)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def explain(model: Model, recipe: Recipe, capture: Capture | None) -> Explanation:
    """The explanation of one resolved recipe, at its own size (later passes run the same sites on larger grids).

    Raises Unsupported, UnknownWord: what is wrong with a recipe is told here as it would be before its run; only two
    edits that cannot both hold are told as a conflict, beside the plan without any.
    """
    conflicts: tuple[str, ...] = ()
    try:
        run = prepare(model, batches([recipe], 1, model.text)[0], capture)
    except Conflict as error:
        conflicts = (str(error),)
        bare = replace(recipe, edits=tuple(replace(edit, enabled=False) for edit in recipe.edits))
        run = prepare(model, batches([bare], 1, model.text)[0], capture)
    first = run.passes[0]
    drawn = len(run.batch.recipes)
    guidance = guide([first.stages[0].planned])
    roles, guided, steps = guidance.roles, guidance.guided, first.stages[0].runs
    chunks = max(most_chunks(one, model.text)[0] for one in run.batch.recipes)
    latent = ((recipe.height or 0) // model.vae.factor, (recipe.width or 0) // model.vae.factor)
    tokens = chunks * len(model.text.ledger("").tokens)
    index = first.programs.busiest() if steps else None
    running = roles if index is None or index in guided else roles[-1:]
    plain = sites_of(model.unet, latent, drawn * len(running), tokens)
    watching, kept = ("", 0) if run.recorder is None else (run.recorder.told(), run.recorder.nbytes)
    if index is None:
        return Explanation(recipe, roles, chunks, plain, drawn=drawn, conflicts=conflicts, guided=guided)
    told = {one.site.name: first.programs.told(one.site.name, index) for one in plain}
    pairs = dict.fromkeys(pair for one in told.values() for pair in commuting(one))
    sites = [with_program(one, told[one.site.name]) for one in plain]
    moving = first.steering
    if moving is not None:
        sites = [with_reading(one, moving.read_at(index, one.site)) for one in sites]
    return Explanation(
        recipe,
        roles,
        chunks,
        tuple(sites),
        step=index + 1,
        drawn=drawn,
        conflicts=conflicts,
        commuting=tuple(f"{first} and {second}, in either order" for first, second in pairs),
        watching=watching,
        map_bytes=kept,
        guided=guided,
        steps=steps,
        moving=() if moving is None else moving.told(),
    )
