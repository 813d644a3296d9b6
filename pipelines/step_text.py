"""What the rows of a run read at each step, encoded once for each thing that is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from pipelines.checks import filled
from pipelines.ledger import Ledger
from pipelines.prompt import Reading, parse, readings
from pipelines.recipe import Recipe
from pipelines.text import Conditioning, TextEncoder
from unet import Added, TextContext, UNet
from xattn.errors import BadModel, BadValue, Unsupported
from xattn.sites import Row

MAX_READINGS = 100
"""Things that one prompt may say over the steps: each keeps its keys and values, 8 MB in Stable Diffusion 1."""


@dataclass(frozen=True, slots=True, eq=False)
class StepText:
    """What rows read: their text, the keys and values that the UNet makes of it, and SDXL's pooled text and sizes."""

    conditioning: Conditioning
    context: TextContext
    added: Added | None

    def take(self, rows: Sequence[int]) -> StepText:
        """Some rows, in that order; a row may come twice."""
        said, added = self.conditioning, self.added
        index = torch.tensor(rows, device=said.hidden.device)
        taken = Conditioning(
            hidden=said.hidden[index],
            pooled=None if said.pooled is None else said.pooled[index],
            ledgers=tuple(said.ledgers[row] for row in rows),
        )
        both = None if added is None else Added(added.text_embeds[index], added.time_ids[index])
        return StepText(taken, self.context.take(rows), both)


@dataclass(frozen=True, slots=True, eq=False)
class StepTexts:
    """The text of every step.

    every: all that is said in the run; order: which of it each row reads, step by step, or None where every row reads
    its own from the first step to the last
    """

    every: StepText
    order: tuple[tuple[int, ...], ...] | None = None

    def at(self, index: int) -> StepText:
        """What the rows read at step `index`, counted from 0."""
        return self.every if self.order is None else self.every.take(self.order[index])

    def only(self, rows: Sequence[int]) -> StepTexts:
        """The text of some rows alone, in that order."""
        if self.order is None:
            return StepTexts(self.every.take(rows))
        return StepTexts(self.every, tuple(tuple(step[row] for row in rows) for step in self.order))

    def ledgers(self, row: int) -> tuple[Ledger, ...]:
        """The ledgers of a row: of every step, or one for all where nothing changes."""
        known = self.every.conditioning.ledgers
        return (known[row],) if self.order is None else tuple(known[step[row]] for step in self.order)


def said(recipe: Recipe, negative: bool = False) -> tuple[Reading, ...]:
    """What a resolved recipe's prompt, or its negative one, says at each step.

    Raises BadValue where it says over 100 different things, and Unsupported where it asks for a LoRA.
    """
    steps = filled("num_inference_steps", recipe.num_inference_steps)
    prompt = recipe.negative_prompt if negative else recipe.prompt
    if recipe.syntax == "a1111" and (loras := parse(prompt).loras):
        name = loras[0].name
        raise Unsupported(
            f"The prompt asks for the LoRA {name!r}, but this version draws without adapters; take <lora:{name}:…> out "
            'of it, or give syntax="plain" to have it read as words.'
        )
    made = readings(prompt, steps, recipe.syntax)
    if (count := len(set(made))) > MAX_READINGS:
        got = f"{prompt[:40]}… ({count} different readings)"
        raise BadValue("prompt", got, f"such that it says at most {MAX_READINGS} different things over its steps")
    return made


def chunks(recipe: Recipe, text: TextEncoder) -> int:
    """How many chunks a resolved recipe's two prompts take at their longest. Raises as `said`, or where too long."""
    spoken = dict.fromkeys((*said(recipe), *said(recipe, negative=True)))
    return max(text.chunks(reading) for reading in spoken)


@dataclass(frozen=True, slots=True)
class Further:
    """A key source beside "text", for edits that attend to further prompts.

    name: of the source. chunks: that each of its texts is filled up to
    rows: for each row the texts, joined along the tokens; None is what the row itself reads at the step
    columns: which of the joined tokens are there; None is all of them
    """

    name: str
    chunks: int
    rows: tuple[tuple[Reading | None, ...], ...]
    columns: tuple[int, ...] | None = None

    def tokens(self, length: int) -> int:
        """How many keys it has, where a chunk has `length`."""
        return self.chunks * length * len(self.rows[0]) if self.columns is None else len(self.columns)


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a row reads: its prompt (as zeros, perhaps), and its texts of each further source."""

    reading: Reading
    zero: bool
    further: tuple[tuple[Reading, ...], ...]


def step_texts(
    recipes: Sequence[Recipe],
    rows: Sequence[Row],
    unet: UNet,
    text: TextEncoder,
    *,
    zero_empty_negative: bool,
    further: Sequence[Further] = (),
) -> StepTexts:
    """Encode what the rows of resolved recipes read; they agree in steps, size, emphasis and clip_skip.

    zero_empty_negative: zeros instead of the empty prompt's text for a negative prompt that is empty
    """

    def entry(row: int, reading: Reading) -> _Entry:
        texts = tuple(tuple(one or reading for one in source.rows[row]) for source in further)
        return _Entry(reading, zeroed[row], texts)

    spoken = [said(recipes[row.image], negative=row.role == "uncond") for row in rows]
    zeroed = [zero_empty_negative and row.role == "uncond" and not recipes[row.image].negative_prompt for row in rows]
    if all(len(set(steps)) == 1 for steps in spoken):
        entries = [entry(row, steps[0]) for row, steps in enumerate(spoken)]
        return StepTexts(_encoded(entries, recipes[0], unet, text, further))
    by_step = [[entry(row, reading) for row, reading in enumerate(step)] for step in zip(*spoken, strict=True)]
    known = dict.fromkeys(entry for step in by_step for entry in step)
    places = {entry: place for place, entry in enumerate(known)}
    order = tuple(tuple(places[entry] for entry in step) for step in by_step)
    return StepTexts(_encoded(list(places), recipes[0], unet, text, further), order)


def _encoded(
    entries: Sequence[_Entry], recipe: Recipe, unet: UNet, text: TextEncoder, further: Sequence[Further]
) -> StepText:
    """What rows read as the UNet takes it; `recipe` has what they all agree in."""
    spoken = [entry.reading for entry in entries]
    conditioning = text.encode(spoken, emphasis=recipe.emphasis, clip_skip=recipe.clip_skip)
    if any(entry.zero for entry in entries):
        conditioning = _without(conditioning, [entry.zero for entry in entries])
    added = _added(conditioning, recipe) if unet.config.addition_embed_type == "text_time" else None
    sources = {"text": conditioning.hidden}
    for place, source in enumerate(further):
        texts = [one for entry in entries for one in entry.further[place]]
        hidden = text.encode(texts, emphasis=recipe.emphasis, clip_skip=recipe.clip_skip, chunks=source.chunks).hidden
        joined = hidden.unflatten(0, (len(entries), -1)).flatten(1, 2)
        sources[source.name] = joined if source.columns is None else joined[:, list(source.columns)]
    return StepText(conditioning, unet.text_context(sources), added)


def _without(conditioning: Conditioning, zeroed: Sequence[bool]) -> Conditioning:
    kept = torch.tensor([not zero for zero in zeroed], device=conditioning.hidden.device)
    pooled = conditioning.pooled
    return replace(
        conditioning,
        hidden=conditioning.hidden * kept[:, None, None],
        pooled=None if pooled is None else pooled * kept[:, None],
    )


def _added(conditioning: Conditioning, recipe: Recipe) -> Added:
    """SDXL's pooled text and sizes: as drawn at the size asked for, without a crop."""
    pooled = conditioning.pooled
    if pooled is None:
        raise BadModel("The UNet wants SDXL's pooled text, but no text encoder of this model has a text_projection.")
    size = (recipe.height, recipe.width)
    ids = torch.tensor([*size, 0, 0, *size], dtype=pooled.dtype, device=pooled.device)
    return Added(pooled, ids.expand(len(pooled), -1))
