"""`xattn explain`: what a prompt, picture or recipe will do, before it is done."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ui.commands.generate import Argument, Model, load
from ui.commands.maps import Words, phrases
from ui.progress import bar
from ui.request import Flags, check_model, wanted


def explain(
    argument: Argument,
    size: Annotated[
        str | None, typer.Option(metavar="WxH", help="Pixels, multiples of 8.", show_default="the model's")
    ] = None,
    words: Words = "",
    model: Model = None,
    dtype: Annotated[str, typer.Option(metavar="NAME", help="float32, bfloat16, float16 or float64.")] = "float32",
    device: Annotated[str, typer.Option(metavar="NAME", help="cpu, cuda, cuda:1 …")] = "cpu",
    backend: Annotated[str, typer.Option(metavar="NAME", help="How attention is computed.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print only JSON.")] = False,
) -> None:
    """Say what would be drawn and how: rows, and every attention site's grid, kernel and why, and cost."""
    asked = wanted(argument, Flags(size=size), model)
    with bar(f"Loading {Path(asked.model).name}"):
        pipe = load(asked.model, dtype, device, backend)
        check_model(asked, pipe.model.ref, model is not None)
        told = pipe.explain(replace(asked.recipe, model=None), words=phrases(words))
    print(json.dumps(told.document(), ensure_ascii=False) if as_json else told)
