r"""Prompts to trees, as AUTOMATIC1111's web UI understands them.

There, a prompt is read twice: first for what changes over the steps, by a grammar in which brackets must match; then
what is left for weights, by a scan in which they need not. So does this parser: a first pass makes nodes of matching
brackets, a second (`_bare`) gives brackets without partner the meaning that the scan has for them.

    (a)  (a:1.3)  [a]            weight ×1.1, ×1.3, ÷1.1
    [from:to:when]  [to:when]    from 0 to `when` the one, then the other; 5 is a step, 0.5 and 1.0 are fractions
    [a|b|…]                      in turn
    BREAK                        a new chunk
    <lora:name:weight>
    \( \) \[ \] \\ \: \|         the character itself
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

from pipelines import checks
from pipelines.prompt.syntax import (
    STRONGER,
    WEAKER,
    Alternate,
    Break,
    Change,
    Emphasis,
    Lora,
    Node,
    Prompt,
    Text,
    When,
)
from xattn.errors import BadValue, Unsupported

MAX_DEPTH = 50
MAX_LENGTH = 50_000
"""Characters: the longest prompt, 2,400 tokens, with syntax to spare."""
MAX_WEIGHT = 100.0
"""Twenty nested brackets are ×6.7, and pictures fall apart at ×2: beyond this a prompt is a mistake."""

# nine digits: no number of a prompt has more, and Python refuses to read thousands
_WEIGHT = r"[+-]?(?:[0-9]{1,9}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})"
_TOKEN = re.compile(
    rf"""
      <(?P<tag>lora|lyco|hypernet):(?P<arguments>[^>]+)>
    | \\(?P<escaped>.?)
    | (?P<weighted>:\s*(?P<weight>{_WEIGHT})\s*\))
    | (?P<mark>[()\[\]:|])
    | (?P<plain>[^\\()\[\]:|<]+|<)
    """,
    re.VERBOSE | re.DOTALL,
)
_BREAK = re.compile(r"\bBREAK\b")
_SPACE = re.compile(r"\s*")
_NUMBER = re.compile(rf"\s*({_WEIGHT})\s*")


@dataclass(frozen=True, slots=True)
class _Mark:
    """A character of syntax: ( ) [ ] : or |, or `:1.3)` with its `weight`, that has no partner yet."""

    text: str
    start: int
    weight: float | None = None

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    def literal(self) -> Text:
        return Text(self.text, tuple((place, place + 1) for place in range(self.start, self.end)))


@dataclass(slots=True)
class _Frame:
    """A bracket that is open: its parts between the joints, which are `:` and `|`."""

    mark: _Mark
    parts: list[list[Node]] = field(default_factory=lambda: [[]])
    joints: list[_Mark] = field(default_factory=list)

    def joined_by(self) -> str:
        return "".join(joint.text for joint in self.joints)


def parse(prompt: str, parameter: str = "prompt") -> Prompt:
    """Read a prompt's syntax. Every text has a reading; brackets without partner are as forgiving as in web UIs.

    Raises BadValue for what is no text, for over 50,000 characters, for brackets over 50 deep, for weights beyond ±100
    and for a LoRA tag that cannot be read; Unsupported for a hypernetwork. `parameter` is what they call the prompt.
    """
    checks.text(parameter, prompt)
    if len(prompt) > MAX_LENGTH:
        raise BadValue(parameter, f"{_short(prompt)} ({len(prompt)} characters)", f"at most {MAX_LENGTH}", "Shorten it")
    tokens = list(_tokens(prompt, parameter))
    if _depth(tokens) > MAX_DEPTH:
        raise BadValue(parameter, _short(prompt), f"brackets at most {MAX_DEPTH} deep", _LITERAL)
    made = Prompt(prompt, _bare(_balanced(prompt, tokens), len(prompt)))
    for piece in made.pieces:
        if abs(piece.weight) > MAX_WEIGHT:
            got = f"{piece.weight:.4g} for {_short(piece.text)!r}"
            raise BadValue(f"{parameter} weight", got, f"from -{MAX_WEIGHT:g} to {MAX_WEIGHT:g}", _LITERAL)
    return made


_LITERAL = r"Brackets that are meant as text are written \( \) \[ \]"


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"


# -- tokens ------------------------------------------------------------------------------------------------------------


def _tokens(prompt: str, parameter: str) -> Iterator[Node | _Mark]:
    for found in _TOKEN.finditer(prompt):
        start, end = found.span()
        match found.lastgroup:
            case "arguments":
                yield _lora(found["tag"], found["arguments"], (start, end), parameter)
            case "escaped":
                if found["escaped"]:  # a backslash at the very end is nothing
                    yield Text(found["escaped"], ((start, end),))
            case "weighted":
                yield _Mark(found[0], start, float(found["weight"]) + 0.0)
            case "mark":
                yield _Mark(found[0], start)
            case _:
                yield from _plain(prompt, start, end)


def _plain(prompt: str, start: int, end: int) -> Iterator[Node]:
    # the space around it belongs to it, and is found from the word: a pattern that begins with \s* takes a minute for a
    # prompt of spaces
    for found in _BREAK.finditer(prompt, start, end):
        begins = start + len(prompt[start : found.start()].rstrip())
        after = _SPACE.match(prompt, found.end(), end)
        yield from _text(prompt, start, begins)
        start = found.end() if after is None else after.end()
        yield Break(begins, start)
    yield from _text(prompt, start, end)


def _text(prompt: str, start: int, end: int) -> Iterator[Text]:
    if start < end:
        yield Text(prompt[start:end], tuple((place, place + 1) for place in range(start, end)))


def _lora(tag: str, arguments: str, span: tuple[int, int], parameter: str) -> Lora:
    if tag == "hypernet":
        shown = _short(f"<hypernet:{arguments}>")
        raise Unsupported(f"The {parameter} asks for the hypernetwork {shown}, which does not run here; take it out.")
    name, *rest = arguments.split(":")
    named = dict(argument.split("=", 1) for argument in rest if "=" in argument)
    positional = [argument for argument in rest if "=" not in argument]
    numbers = {key: _number(value) for key, value in [*enumerate(positional), *named.items()]}
    known = name.strip() and len(positional) <= 2 and named.keys() <= {"te", "unet"}
    if not known or None in numbers.values():
        got = _short(f"<{tag}:{arguments}>")
        raise BadValue(
            "prompt", got, "a LoRA such as <lora:name:0.8>", "Two numbers are the text encoder's, the UNet's"
        )
    # as web UIs have it: the text encoder's weight comes first and is the UNet's too where there is no other
    text_weight = numbers.get("te", numbers.get(0, 1.0))
    weight = numbers.get("unet", numbers.get(1, text_weight))
    assert weight is not None
    assert text_weight is not None
    return Lora(name.strip(), weight, text_weight, *span)


def _depth(tokens: Iterable[Node | _Mark]) -> int:
    """The most brackets that are open at once."""
    rounds = squares = deepest = 0
    for token in tokens:
        match token.text[-1:] if isinstance(token, _Mark) else "":
            case "(":
                rounds += 1
            case "[":
                squares += 1
            case ")":
                rounds = max(0, rounds - 1)
            case "]":
                squares = max(0, squares - 1)
        deepest = max(deepest, rounds + squares)
    return deepest


def _number(text: str) -> float | None:
    found = _NUMBER.fullmatch(text)
    return None if found is None else float(found[1]) + 0.0


# -- brackets that match -----------------------------------------------------------------------------------------------


def _balanced(prompt: str, tokens: Iterable[Node | _Mark]) -> list[Node | _Mark]:
    """The prompt with a node for every pair of brackets that means something, and marks for all other syntax."""
    outside: list[Node | _Mark] = []
    frames: list[_Frame] = []

    def give_up() -> None:
        # A bracket may hold only what is whole: one that is not makes all those round it mere marks.
        for frame in frames:
            outside.append(frame.mark)
            for number, part in enumerate(frame.parts):
                outside.extend([frame.joints[number - 1], *part] if number else part)
        frames.clear()

    for token in tokens:
        if not isinstance(token, _Mark):
            (frames[-1].parts[-1] if frames else outside).append(token)
        elif token.text in "([":
            frames.append(_Frame(token))
        elif token.text in ":|" and frames:
            frames[-1].joints.append(token)
            frames[-1].parts.append([])
        elif frames and (node := _closed(prompt, frames[-1], token)) is not None:
            frames.pop()
            (frames[-1].parts[-1] if frames else outside).append(node)
        else:
            give_up()
            outside.append(token)
    give_up()
    return outside


def _closed(prompt: str, frame: _Frame, close: _Mark) -> Node | None:
    """What a pair of brackets means; None where it means nothing."""
    parts, joints, span = frame.parts, frame.joined_by(), (frame.mark.start, close.end)
    match frame.mark.text, close.text[-1], joints:
        case "(", ")", "":
            return Emphasis(_tidy(parts[0]), STRONGER if close.weight is None else close.weight, *span)
        case "(", ")", ":" if close.weight is None:
            return _changing_weight(parts[0], parts[1], span) or Emphasis(
                _tidy([*parts[0], frame.joints[0].literal(), *parts[1]]), STRONGER, *span
            )
        case "[", "]", "":
            return Emphasis(_tidy(parts[0]), WEAKER, *span)
        case "[", "]", ":" | "::":
            when = _when(prompt[frame.joints[-1].end : close.start])
            before = parts[0] if joints == "::" else []
            return None if when is None else Change(_tidy(before), _tidy(parts[-2]), when, *span)
        case "[", "]", _ if set(joints) == {"|"}:
            return Alternate(tuple(_tidy(part) for part in parts), *span)
    return None


def _when(text: str) -> When | None:
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    return When(max(0.0, float(found[1])), fraction="." in found[1])


def _changing_weight(body: list[Node], weight: list[Node], span: tuple[int, int]) -> Node | None:
    """`(a:[1.2:0.8:5])` means `[(a:1.2):(a:0.8):5]`."""
    match [node for node in weight if not (isinstance(node, Text) and node.text.isspace())]:
        case [Change(before=before, after=after, when=when)]:
            options = _weighted(body, (before, after), span)
            return None if options is None else Change(options[0], options[1], when, *span)
        case [Alternate(options=written)]:
            options = _weighted(body, written, span)
            return None if options is None else Alternate(options, *span)
    return None


def _weighted(
    body: list[Node], weights: Iterable[tuple[Node, ...]], span: tuple[int, int]
) -> tuple[tuple[Node, ...], ...] | None:
    made: list[tuple[Node, ...]] = []
    for weight in weights:
        number = _number(weight[0].text) if len(weight) == 1 and isinstance(weight[0], Text) else None
        if number is None:
            return None
        made.append(_tidy([Emphasis(_tidy(body), number, *span)]))
    return tuple(made)


def _tidy(nodes: Iterable[Node]) -> tuple[Node, ...]:
    """Neighbouring texts as one, and no emphasis of nothing."""
    kept = [node for node in nodes if not (isinstance(node, Emphasis) and not node.body)]
    made: list[Node] = []
    for is_text, group in groupby(kept, lambda node: isinstance(node, Text)):
        members = list(group)
        made.extend([_joined(members)] if is_text else members)
    return tuple(made)


def _joined(nodes: Iterable[Node]) -> Text:
    texts = [node for node in nodes if isinstance(node, Text)]
    return Text("".join(text.text for text in texts), tuple(place for text in texts for place in text.places))


# -- brackets that do not ----------------------------------------------------------------------------------------------


def _bare(items: list[Node | _Mark], end: int) -> tuple[Node, ...]:
    """Marks to emphasis or text: round and square brackets pair up apart, and what stays open ends with the prompt.

    Pairs may overlap, as in `(a [b) c]`; the tree then has the inner one in two halves, `(a [b])[ c]`.
    """
    pairs = _pairs(items)
    closers = {close: opener for opener, (close, _) in pairs.items()}
    bodies: list[list[Node]] = [[]]
    opened: list[tuple[int, int]] = []  # index of the opening mark, where it is written

    def close_last(where: int) -> None:
        opener, start = opened.pop()
        body = _tidy(bodies.pop())
        bodies[-1].append(Emphasis(body, pairs[opener][1], start, where))

    for index, item in enumerate(items):
        if not isinstance(item, _Mark):
            bodies[-1].append(item)
        elif index in pairs:
            opened.append((index, item.start))
            bodies.append([])
        elif index in closers:
            crossed: list[int] = []
            while opened[-1][0] != closers[index]:
                crossed.append(opened[-1][0])
                close_last(item.start)
            close_last(item.end)
            for opener in reversed(crossed):
                opened.append((opener, item.end))
                bodies.append([])
        else:
            bodies[-1].append(item.literal())
    while opened:
        close_last(end)
    return _tidy(bodies[0])


def _pairs(items: list[Node | _Mark]) -> dict[int, tuple[int, float]]:
    """Index of each opening mark to that of its closing one (beyond the end: none) and the weight between them."""
    waiting: dict[str, list[int]] = {"(": [], "[": []}
    pairs: dict[int, tuple[int, float]] = {}
    for index, item in enumerate(items):
        if not isinstance(item, _Mark):
            continue
        if item.text in "([":
            waiting[item.text].append(index)
            continue
        openers = waiting[{")": "(", "]": "["}.get(item.text[-1], "(")]
        if item.text not in ":|" and openers:
            usual = WEAKER if item.text == "]" else STRONGER
            pairs[openers.pop()] = (index, usual if item.weight is None else item.weight)
    for mark, usual in (("(", STRONGER), ("[", WEAKER)):
        pairs |= {opener: (len(items), usual) for opener in waiting[mark]}
    return pairs
