"""What a prompt says at each step: runs of text, each of one weight, in blocks that begin a chunk of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from pipelines import checks
from pipelines.prompt.parser import parse
from pipelines.prompt.syntax import Alternate, Break, Change, Emphasis, Node, Place, Prompt, Text, branches, product

Syntax = Literal["a1111", "plain"]
"""How a prompt is written: for AUTOMATIC1111's web UI, or letter for letter."""

Effect = Literal["a1111", "comfy", "none"]
"""What a weight does to the text (emphasis.py)."""


_MANY = 1000


@dataclass(frozen=True, slots=True)
class Run:
    """Text of one weight, which is tokenised by itself; `places[i]` is where `text[i]` is written in the prompt."""

    text: str
    weight: float
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """A prompt as it is written, and what it says at some step."""

    prompt: str
    blocks: tuple[tuple[Run, ...], ...]

    @classmethod
    def plain(cls, prompt: str) -> Reading:
        """The prompt letter for letter. Raises BadValue for what is no text."""
        checks.text("prompt", prompt)
        return cls(prompt, ((Run(prompt, 1.0, tuple((place, place + 1) for place in range(len(prompt)))),),))

    @property
    def text(self) -> str:
        """All that is read, without syntax; blocks are parted by a line break."""
        return "\n".join("".join(run.text for run in block) for block in self.blocks)


def read(prompt: Prompt, step: int, steps: int) -> Reading:
    """What the prompt says at `step` of `steps`, counted from 0."""
    blocks: list[list[Run]] = [[]]
    # neighbours of one weight are one run, so that "fo(x:1)" is a fox
    for weight, group in groupby(_said(prompt.nodes, (), step, steps), lambda pair: pair[1]):
        if weight is None:
            blocks.extend([] for _ in group)
        else:
            texts = [said for said, _ in group if isinstance(said, Text)]
            places = tuple(place for text in texts for place in text.places)
            blocks[-1].append(Run("".join(text.text for text in texts), weight, places))
    return Reading(prompt.text, tuple(tuple(block) for block in blocks))


def first(prompt: str, syntax: Syntax = "a1111") -> Reading:
    """What the prompt says at the first step of many. Raises as `parse`."""
    return Reading.plain(prompt) if syntax == "plain" else read(parse(prompt), 0, _MANY)


def readings(prompt: str, steps: int, syntax: Syntax = "a1111") -> tuple[Reading, ...]:
    """What the prompt says at each of `steps`; steps at which it says the same share one value. Raises as `parse`."""
    if syntax == "plain":
        return (Reading.plain(prompt),) * steps
    parsed = parse(prompt)
    known: dict[tuple[int, ...], Reading] = {}
    made: list[Reading] = []
    for step in range(steps):
        choices = tuple(_choices(parsed.nodes, step, steps))
        if choices not in known:
            known[choices] = read(parsed, step, steps)
        made.append(known[choices])
    return tuple(made)


def _said(
    nodes: Sequence[Node], weights: tuple[float, ...], step: int, steps: int
) -> Iterator[tuple[Text | Break, float | None]]:
    """Texts with their weights, and breaks."""
    for node in nodes:
        match node:
            case Text():
                yield node, product(weights)
            case Break():
                yield node, None
            case Emphasis(body=body, weight=weight):
                yield from _said(body, (*weights, weight), step, steps)
            case Change() | Alternate():
                yield from _said(branches(node)[_branch(node, step, steps)], weights, step, steps)


def _choices(nodes: Sequence[Node], step: int, steps: int) -> Iterator[int]:
    """Which branch is taken at each fork that is come to."""
    for node in nodes:
        match node:
            case Emphasis(body=body):
                yield from _choices(body, step, steps)
            case Change() | Alternate():
                branch = _branch(node, step, steps)
                yield branch
                yield from _choices(branches(node)[branch], step, steps)


def _branch(node: Change | Alternate, step: int, steps: int) -> int:
    match node:
        case Change(when=when):
            return int(step >= when.step(steps))
        case Alternate(options=options):
            return step % len(options)
