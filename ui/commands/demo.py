"""`xattn demo`: the first picture, and what to try next."""

from __future__ import annotations

import io
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.files import write_whole
from pipelines.recipe import EMBEDDED as DEFAULT_MODEL
from pipelines.recipe import Recipe
from ui.commands.generate import Model, draw, load, unknown_words
from ui.progress import bar

if TYPE_CHECKING:
    from pipelines.pipeline import Result

PROMPT, SEED, WORDS = "a fox on purple", 19, ("fox", "purple")
NEXT = """
Next:
  {xattn} generate "a strawberry on blue" --seed 3 --count 4
  {xattn} generate {file} --steps 40      the same picture, drawn in finer steps
  {xattn} maps "a cat on red" --seed 1    where each word looked, as pictures and numbers
  {xattn} words                           what this model knows
  {xattn} --help"""


def demo(
    out: Annotated[str, typer.Option(metavar="DIR", help="The folder that the picture goes to.")] = "out",
    model: Model = None,
) -> None:
    """Draw a first picture into out/, with a map of where its words went, and say what to try next."""
    from ui.outputs import Output

    Output.at(f"{out}/", 1)
    name, asked = model or DEFAULT_MODEL, Recipe(prompt=PROMPT, seed=SEED)
    with bar(f"Loading {Path(name).name}") as shown:
        pipe = load(name)
        for notice in unknown_words(pipe, asked):
            shown.say(notice)
        from pipelines.capture import Capture

        result = next(draw(pipe, [asked], shown, Capture(WORDS)))
    Path(out).mkdir(parents=True, exist_ok=True)
    # the same pictures every time, so a second run replaces them
    file = result.save(Path(out, "demo.png"))
    words = write_whole(Path(out, "demo-words.png"), _sheet(result))
    print(f'{file}        "{PROMPT}", seed {SEED}, drawn in {result.stats.seconds:.1f} s')
    print(f"{words}  where its words looked: {' and '.join(WORDS)}")
    print(NEXT.format(xattn=_called(), file=file))


def _sheet(result: Result) -> bytes:
    """The picture and a heat map for each word, side by side, as a PNG."""
    from pipelines.figures import contact_sheet

    assert result.maps is not None, "words were asked for"
    buffer = io.BytesIO()
    contact_sheet(result.image, result.maps, title=PROMPT).save(buffer, format="PNG")
    return buffer.getvalue()


def _called() -> str:
    """How this program is called from here: its name where the shell finds it, else its path."""
    script = Path(sys.argv[0])
    if script.name != "xattn" or shutil.which("xattn") == str(script):
        return "xattn"
    return os.path.relpath(script) if script.is_absolute() and script.is_relative_to(Path.cwd()) else str(script)
