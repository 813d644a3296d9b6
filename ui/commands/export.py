"""`xattn export`: a picture as a page that shows where its words look."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from pipelines.files import check_writable, write_whole
from ui.commands.generate import Model, draw, load, unknown_words
from ui.outputs import slug
from ui.progress import bar
from ui.request import Flags, check_model, wanted
from xattn.errors import BadValue, CannotWrite


def export(
    argument: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE.json|PICTURE|PROMPT",
            help="A recipe, a picture that xattn saved, or a prompt.",
            show_default=False,
        ),
    ],
    html: Annotated[bool, typer.Option("--html", help="One HTML file: picture, maps and viewer, under 3 MB.")] = False,
    seed: Annotated[str | None, typer.Option(metavar="N", show_default="random")] = None,
    steps: Annotated[str | None, typer.Option(metavar="N", show_default="the model's")] = None,
    size: Annotated[str | None, typer.Option(metavar="WxH", show_default="the model's")] = None,
    model: Model = None,
    out: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="A name that ends in .html.", show_default="from prompt and seed"),
    ] = None,
) -> None:
    """Draw, and write a page that works offline, on a phone, without Python: words, steps and heads to scrub."""
    if not html:
        raise BadValue("--html", None, "given: it is the one form there is", "xattn export recipe.json --html")
    if out is not None and Path(out).suffix.lower() not in (".html", ".htm"):
        raise CannotWrite(out, f"a page's name ends in .html; call it {Path(out).stem}.html")
    asked = wanted(argument, Flags(seed, steps, size), model)
    if out is not None:
        check_writable(out)
    with bar(f"Loading {Path(asked.model).name}") as shown:
        pipe = load(asked.model)
        check_model(asked, pipe.model.ref, model is not None)
        for notice in unknown_words(pipe, asked.recipe):
            shown.say(notice)
        from ui.web.runs import Run
        from ui.web.sharing import share_page
        from ui.web.studio import capture, stored

        recipe = pipe.resolve(replace(asked.recipe, model=None))
        before = None if recipe.source is None else next(draw(pipe, [recipe.source], shown)).image
        result = next(draw(pipe, [recipe], shown, capture(pipe, recipe)))
    run = Run(
        result.image,
        result.recipe,
        result.provenance,
        pipe.ledger(recipe.prompt, recipe.syntax),
        result.stats.seconds,
        stored(pipe, result),
        before,
        blends=result.blends,
    )
    target = Path(out) if out is not None else Path(f"{slug(recipe.prompt)}-{recipe.seed}.html")
    write_whole(target, share_page(run).encode())
    print(target)
