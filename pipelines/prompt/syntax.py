"""A prompt's parts as frozen values, and how they are written.

Two prompts are equal when they mean the same, wherever their parts stand: spans are left out of comparisons, so that
`parse(str(prompt)) == prompt`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

STRONGER = 1.1
WEAKER = 1 / 1.1
"""What round and square brackets multiply by where no number is written."""

Place = tuple[int, int]
"""Where a character is written, as a slice of the prompt: one character, or two with its backslash."""


@dataclass(frozen=True, slots=True)
class Text:
    """Words to be read; `places[i]` is where the character `text[i]` is written."""

    text: str
    places: tuple[Place, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Emphasis:
    """`(body:weight)`, `(body)` or `[body]`; weights of nested ones multiply. A bracket left open ends with the prompt.

    start, end: the prompt's slice with the brackets
    """

    body: tuple[Node, ...]
    weight: float
    start: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class When:
    """After how many steps: a number of steps, or (`fraction`) a part of them."""

    amount: float
    fraction: bool

    def step(self, steps: int) -> int:
        """The first step of `steps`, counted from 0, that comes after it."""
        return min(steps, int(self.amount * steps if self.fraction else self.amount))

    def __str__(self) -> str:
        return decimal(self.amount) if self.fraction else str(int(self.amount))


@dataclass(frozen=True, slots=True)
class Change:
    """`[before:after:when]`; either may be empty."""

    before: tuple[Node, ...]
    after: tuple[Node, ...]
    when: When
    start: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Alternate:
    """`[one|other|…]`: each option for one step, in turn."""

    options: tuple[tuple[Node, ...], ...]
    start: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Break:
    """`BREAK`: what follows begins a new chunk of tokens."""

    start: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Lora:
    """`<lora:name:weight>`: it is read as nothing. `weight` is the UNet's, `text_weight` the text encoder's."""

    name: str
    weight: float
    text_weight: float
    start: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)


Node = Text | Emphasis | Change | Alternate | Break | Lora


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text as one chip would show it.

    weight: of all brackets round it
    within: the innermost `[from:to:when]` or `[a|b]` that it stands in, and which of its branches; None: always there
    """

    text: str
    start: int
    end: int
    weight: float
    within: Change | Alternate | None = None
    branch: int = 0


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt that was read. `str(prompt)` writes it in normal form, which reads the same."""

    text: str = field(compare=False)
    nodes: tuple[Node, ...]

    @property
    def loras(self) -> tuple[Lora, ...]:
        """All LoRA tags, wherever they stand, in the order in which they are written."""
        return tuple(node for node in walk(self.nodes) if isinstance(node, Lora))

    @property
    def changes(self) -> bool:
        """Whether it says different things at different steps."""
        return any(isinstance(node, Change | Alternate) for node in walk(self.nodes))

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """Every stretch of text of every branch, in the order in which they are written."""
        return tuple(_pieces(self.nodes, (), None, 0))

    def __str__(self) -> str:
        return write(self.nodes)


def branches(node: Node) -> tuple[tuple[Node, ...], ...]:
    """What stands inside a node: one body, several branches, or nothing."""
    match node:
        case Emphasis(body=body):
            return (body,)
        case Change(before=before, after=after):
            return (before, after)
        case Alternate(options=options):
            return options
        case _:
            return ()


def walk(nodes: Sequence[Node]) -> Iterator[Node]:
    """All nodes, outer ones before what is inside them."""
    for node in nodes:
        yield node
        for branch in branches(node):
            yield from walk(branch)


def product(weights: Sequence[float]) -> float:
    """The weight of text inside brackets of these `weights`, outermost first."""
    total = 1.0
    for weight in reversed(weights):  # from the inside out, as web UIs multiply: the last bit may depend on it
        total *= weight
    return total


def _pieces(
    nodes: Sequence[Node], weights: tuple[float, ...], within: Change | Alternate | None, branch: int
) -> Iterator[Piece]:
    for node in nodes:
        match node:
            case Text(text=text, places=places):
                start, end = (places[0][0], places[-1][1]) if places else (0, 0)
                yield Piece(text, start, end, product(weights), within, branch)
            case Emphasis(body=body, weight=weight):
                yield from _pieces(body, (*weights, weight), within, branch)
            case Change() | Alternate():
                for number, inside in enumerate(branches(node)):
                    yield from _pieces(inside, weights, node, number)


# -- writing -----------------------------------------------------------------------------------------------------------

_ALWAYS = re.compile(r"[\\()\[\]]")
_INSIDE = re.compile(r"[\\()\[\]:|]")
# What is a break or a tag as it stands. A backslash in it undoes that, in web UIs too.
_BREAK = re.compile(r"\bB(?=REAK\b)")
_TAG = re.compile(r"<(?=(?:lora|lyco|hypernet):)")


def escape(text: str, inside: bool = False) -> str:
    r"""`text` so that it is read letter for letter: `(` becomes `\(`. `inside` brackets, `:` and `|` count too."""
    made = (_INSIDE if inside else _ALWAYS).sub(lambda found: f"\\{found[0]}", text)
    return _TAG.sub(r"<\\", _BREAK.sub(r"B\\", made))


def write(nodes: Sequence[Node], inside: bool = False) -> str:
    """The nodes in normal form: brackets closed, numbers plain, nothing escaped that need not be."""
    return "".join(_written(node, inside) for node in nodes)


def _written(node: Node, inside: bool) -> str:
    match node:
        case Text(text=text):
            return escape(text, inside)
        case Emphasis(body=body, weight=weight):
            within = write(body, inside=True)
            if weight == WEAKER:
                return f"[{within}]"
            return f"({within})" if weight == STRONGER else f"({within}:{decimal(weight)})"
        case Change(before=before, after=after, when=when):
            first = f"{write(before, inside=True)}:" if before else ""
            return f"[{first}{write(after, inside=True)}:{when}]"
        case Alternate(options=options):
            return f"[{'|'.join(write(option, inside=True) for option in options)}]"
        case Break():
            return " BREAK "
        case Lora(name=name, weight=weight, text_weight=text_weight):
            both = "" if weight == text_weight else f"{decimal(text_weight)}:"
            return f"<lora:{name}:{both}{decimal(weight)}>"


def decimal(value: float) -> str:
    """The shortest digits that read back equal, with a point and without an exponent, which no prompt's syntax has."""
    digits = format(Decimal(repr(value)), "f")
    return digits if "." in digits else f"{digits}.0"
