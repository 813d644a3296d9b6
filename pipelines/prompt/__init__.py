"""Prompts as people write them for web UIs: weights, changes over the steps, breaks and LoRA tags.

`parse(prompt)` gives a `Prompt`: what is written, where, with which weight. `prompt.at(step, steps)` gives the
`Reading` of one step, which is what gets tokenised. docs/prompts.md has the syntax and its odd cases.
"""

from pipelines.prompt.parser import parse
from pipelines.prompt.schedule import Effect, Reading, Run, Syntax, first, read, readings
from pipelines.prompt.syntax import Alternate, Break, Change, Emphasis, Lora, Node, Piece, Prompt, Text, When, escape

__all__ = [
    "Alternate",
    "Break",
    "Change",
    "Effect",
    "Emphasis",
    "Lora",
    "Node",
    "Piece",
    "Prompt",
    "Reading",
    "Run",
    "Syntax",
    "Text",
    "When",
    "escape",
    "first",
    "parse",
    "read",
    "readings",
]
