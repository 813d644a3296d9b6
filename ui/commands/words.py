"""`xattn words`: the words that a model knows, or how it reads a prompt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.recipe import EMBEDDED as DEFAULT_MODEL
from ui.commands.generate import Model
from ui.progress import bar
from ui.terminal import answers

if TYPE_CHECKING:
    from rich.console import Console

    from pipelines.ledger import Ledger
    from pipelines.vocabulary import Vocabulary


def words(
    prompt: Annotated[
        str | None, typer.Argument(help="A prompt to read; without one the vocabulary is listed.", show_default=False)
    ] = None,
    model: Model = None,
) -> None:
    """List the words that the model knows, or show which token of a prompt is which word."""
    from pipelines.checks import text
    from pipelines.folders import locate
    from pipelines.vocabulary import Vocabulary

    if prompt is not None:
        text("prompt", prompt, blank=False, remedy='Try xattn words "a fox on purple"')
    name, folder = locate(model or DEFAULT_MODEL)
    vocabulary = Vocabulary.from_folder(folder)
    if prompt is not None:
        with bar(f"Loading {name}"):
            ledger = read(folder, prompt)
        print_ledger(answers(), ledger, vocabulary)
    elif vocabulary is not None:
        print_vocabulary(answers(), name, vocabulary)
    else:
        print(f"The model {name} lists no words: it was trained on language at large, so try any.")


def read(folder: Path, prompt: str) -> Ledger:
    """The prompt's ledger, by the model's tokenizer alone: its weights stay unread."""
    from pipelines.prompt import first
    from pipelines.tokenizer import Tokenizer
    from pipelines.towers import TowerConfig

    positions = TowerConfig.from_file(folder / "text_encoder" / "config.json").positions
    return Tokenizer.from_folder(folder / "tokenizer", positions).ledger(first(prompt))


def print_vocabulary(console: Console, name: str, vocabulary: Vocabulary) -> None:
    """All names, by kind."""
    console.print(f"{name} knows {len(vocabulary.names)} words and phrases.")
    for kind, names in vocabulary.kinds.items():
        console.print(f"\n{kind} ({len(names)})", style="bold")
        console.print(", ".join(names))
    if vocabulary.colorable:
        console.print("\nIn other colours than their own", style="bold")
        console.print(f"{', '.join(vocabulary.colorable)}: each in {', '.join(vocabulary.tints)}")


def print_ledger(console: Console, ledger: Ledger, vocabulary: Vocabulary | None) -> None:
    """One line a token, then the words that the model does not know."""
    from rich.table import Table
    from rich.text import Text

    notices = () if vocabulary is None else vocabulary.unknown(ledger)
    unknown = {notice.word for notice in notices}
    table = Table(box=None, pad_edge=False, header_style="bold")
    weighted = any(token.weight != 1 for token in ledger.tokens)
    for heading in ("column", "token", "word", "characters", *(["weight"] if weighted else [])):
        table.add_column(heading, justify="right" if heading == "column" else "left", overflow="fold")
    for token in ledger.tokens:
        if token.role == "pad":
            continue
        word = "" if token.word is None else ledger.words[token.word].text
        characters = f"{token.start}–{token.end}" if token.role == "text" else ""
        style = "yellow" if word in unknown else "dim" if token.role != "text" else ""
        weight = [f"{token.weight:.3g}" if token.weight != 1 else ""] if weighted else []
        table.add_row(str(token.position), Text(token.text), Text(word), characters, *weight, style=style)
    console.print(table)
    room = sum(token.role in ("text", "pad") for token in ledger.tokens)
    noun = "word" if len(ledger.words) == 1 else "words"
    console.print(f"\n{len(ledger.text_tokens)} of {room} tokens, {len(ledger.words)} {noun}.")
    for notice in (*notices, *(() if vocabulary is None else vocabulary.miscolored(ledger))):
        console.print(str(notice), style="yellow")
