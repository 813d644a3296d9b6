"""`xattn edit`: what becomes of a picture when its prompt changes, and only that."""

from __future__ import annotations

import io
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines import checks
from pipelines.files import make_folder, write_whole
from pipelines.recipe import Recipe
from ui.commands.generate import Model, load, unknown_words
from ui.edit_request import EditFlags
from ui.leftovers import of_edits, told
from ui.progress import Bar, bar
from ui.request import Flags, check_model, wanted
from ui.terminal import is_terminal, say
from xattn.errors import BadValue

if TYPE_CHECKING:
    from pipelines.pipeline import Pipeline, Result
    from pipelines.techniques.alignment import Alignment

_MOST = 15
"""Targets of one run: they are drawn together."""


def edit(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="A prompt; or a picture that xattn saved, or a recipe.", show_default=False
        ),
    ],
    targets: Annotated[
        list[str],
        typer.Argument(metavar="TARGET…", help="What it shall be instead: one prompt or more.", show_default=False),
    ],
    cross: Annotated[
        str, typer.Option(metavar="X", help="For which share of the steps words take over the source's maps.")
    ] = "0.8",
    cross_words: Annotated[
        str, typer.Option(metavar="WORD=X,…", help="Another share for words of a target: 0 for a shape of their own.")
    ] = "",
    self_: Annotated[
        str, typer.Option("--self", metavar="X", help="For which share of them the source's layout is injected.")
    ] = "0.4",
    method: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="replace: changed words take over the maps of those that they stand for. refine: only words that both "
            "prompts have do.",
            show_default="refine where words are only added or left out, else replace",
        ),
    ] = None,
    pairs: Annotated[
        str, typer.Option(metavar="WORD=WORD,…", help="Which word of the source stands for which, where it is misread.")
    ] = "",
    blend: Annotated[
        str, typer.Option(metavar="WORD,WORD…", help="Change the picture only where these words look, in both prompts.")
    ] = "",
    threshold: Annotated[str, typer.Option(metavar="X", help="What counts as looking, of the most; 0 to 1.")] = "0.3",
    mask: Annotated[
        str | None, typer.Option(metavar="FILE", help="Change it in the white of this picture too, or only there.")
    ] = None,
    reweight: Annotated[
        str, typer.Option(metavar="WORD=X,…", help="Times so much attention for a word of a target.")
    ] = "",
    edits: Annotated[
        str | None, typer.Option(metavar="FILE.json", help="Further edits of every target, as recipes hold them.")
    ] = None,
    seed: Annotated[str | None, typer.Option(metavar="N", show_default="random")] = None,
    steps: Annotated[str | None, typer.Option(metavar="N", show_default="the model's")] = None,
    size: Annotated[str | None, typer.Option(metavar="WxH", show_default="the model's")] = None,
    scheduler: Annotated[str | None, typer.Option(metavar="NAME", show_default="the model's")] = None,
    guidance: Annotated[str | None, typer.Option(metavar="X", show_default="the model's")] = None,
    negative: Annotated[str | None, typer.Option(metavar="PROMPT", show_default=False)] = None,
    model: Model = None,
    out: Annotated[str, typer.Option(metavar="DIR", help="The folder that everything goes to.")] = "out/edit",
    as_json: Annotated[bool, typer.Option("--json", help="Print only JSON: files, recipes and alignments.")] = False,
) -> None:
    """Draw a picture, and again with other words, alike in everything else (Prompt-to-Prompt).

    Writes source.png, a target-….png for each target, sheet.png with all of them and the maps of the words that
    changed, and each picture's maps in a folder of its own. Files of an earlier call are replaced where they have the
    same name; the others stay, and are named.
    """
    from ui.outputs import Output

    asked = wanted(source, Flags(seed, steps, size, scheduler, guidance, negative), model)
    _check_source(source, asked.recipe)
    wishes = EditFlags(cross, self_, method, pairs, blend, threshold, mask, reweight, edits, cross_words).read()
    checks.whole("the number of targets", len(targets), 1, _MOST)
    Output.at(f"{out}/", 1)
    with bar(f"Loading {Path(asked.model).name}") as shown:
        pipe = load(asked.model)
        check_model(asked, pipe.model.ref, model is not None)
        base = pipe.resolve(replace(asked.recipe, model=None))
        recipes = [replace(base, prompt=prompt, source=base) for prompt in targets]
        recipes, alignments = wishes.of(pipe, base, recipes)
        for notice in dict.fromkeys(notice for one in (base, *recipes) for notice in unknown_words(pipe, one)):
            shown.say(notice)
        if is_terminal(sys.stderr) and not as_json:
            for alignment in alignments:
                shown.say(f"{alignment}\n")
        results = _drawn(pipe, [base, *recipes], shown)
    files, maps = _written(Path(out), results, alignments)
    if left := of_edits(Path(out), [*files, *maps]):
        say(told(Path(out), left))
    if as_json:
        print(json.dumps(_document(files, results, alignments)))
    else:
        print("\n".join(map(str, files)))


def _check_source(argument: str, recipe: Recipe) -> None:
    """Raise BadValue for a picture that was made from another by edits."""
    first = recipe.source
    if first is None:
        return
    seed = "" if first.seed is None else f"--seed {first.seed} "
    raise BadValue(
        "SOURCE",
        argument,
        "a picture that was not made from another, for edits go one step deep",
        "Give the one that it was made from, source.png beside it, or that one's prompt: "
        f"xattn edit {shlex.quote(first.prompt)} {seed}TARGET",
    )


def _drawn(pipe: Pipeline, recipes: list[Recipe], shown: Bar) -> list[Result]:
    """All pictures of one run, with the maps of all words."""
    from pipelines.capture import Capture
    from pipelines.pipeline import Finished
    from pipelines.stages import stages

    shown.begin("Drawing", sum(stage.runs for stage in stages(recipes[0])))
    results: list[Result] = []
    for event in pipe.stream(recipes, maps=Capture("*"), batch_size=len(recipes)):
        if isinstance(event, Finished):
            results = list(event.results)
        else:
            shown.advance()
    return results


def _written(folder: Path, results: Sequence[Result], alignments: Sequence[Alignment]) -> tuple[list[Path], list[Path]]:
    """The pictures' files and the sheet's, and their maps'."""
    from pipelines.edit_sheet import edit_sheet

    names = _names([result.recipe.prompt for result in results[1:]])
    make_folder(folder)
    named = list(zip(("source", *names), results, strict=True))
    # pictures first: where the disk fills up, maps are what can be had again from them
    files = [result.save(folder / f"{name}.png") for name, result in named]
    maps: list[Path] = []
    for name, result in named:
        assert result.maps is not None, "words were asked for"
        maps += result.maps.save(folder / f"{name}-maps")
    buffer = io.BytesIO()
    edit_sheet(results[0], results[1:], alignments).save(buffer, format="PNG")
    return [*files, write_whole(folder / "sheet.png", buffer.getvalue())], maps


def _names(prompts: Sequence[str]) -> list[str]:
    """target-a-dog-on-purple, with a number for the second of equal ones."""
    from ui.outputs import slug

    made: list[str] = []
    for prompt in prompts:
        name = f"target-{slug(prompt)}"
        further = (f"{name}-{number}" for number in count(2))
        made.append(next(one for one in chain([name], further) if one not in made))
    return made


def _document(files: Sequence[Path], results: Sequence[Result], alignments: Sequence[Alignment]) -> dict[str, object]:
    told: list[dict[str, object]] = [
        {
            "file": str(file),
            "seed": result.recipe.seed,
            "recipe": result.recipe.portable().document(),
            "seconds": round(result.stats.seconds / result.provenance.batch, 3),
        }
        for file, result in zip(files, results, strict=False)
    ]
    for one, alignment in zip(told[1:], alignments, strict=True):
        one["alignment"] = alignment.document()
    return {"images": told, "sheet": str(files[-1])}
