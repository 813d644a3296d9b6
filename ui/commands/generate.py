"""`xattn generate`: a picture from a prompt, or again from a picture or a recipe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.metadata import check_room, keep_assets
from pipelines.recipe import EMBEDDED as DEFAULT_MODEL
from ui.process import without_collection
from ui.progress import Bar, bar
from ui.request import Flags, Wanted, check_model, parse_whole, seeds, wanted

if TYPE_CHECKING:
    from pipelines.capture import Capture
    from pipelines.pipeline import Pipeline, Result
    from pipelines.recipe import Recipe

_GPU_BATCH = 4
"""Pictures drawn at once on a GPU. One on a CPU: no faster together, and the first is there sooner."""

_SAYS_NOTHING = "The prompt says nothing when its brackets and weights are read, so nothing in particular is drawn."

Model = Annotated[
    str | None, typer.Option(metavar="NAME|PATH", help="A model's name or folder.", show_default=DEFAULT_MODEL)
]
Argument = Annotated[
    str,
    typer.Argument(
        metavar="PROMPT|PICTURE|RECIPE.json",
        help="What to draw; or a picture that xattn saved, or a recipe, to draw that again.",
        show_default=False,
    ),
]
Out = Annotated[
    str,
    typer.Option(
        metavar="FILE|DIR",
        help="A name that ends in .png, .jpg or .webp is a file: one that is there is replaced. Anything else is a "
        "folder, made when needed, where names come from prompt and seed and no file is ever replaced.",
    ),
]


def generate(
    argument: Argument,
    seed: Annotated[
        str | None, typer.Option(metavar="N", help="The same seed gives the same picture.", show_default="random")
    ] = None,
    steps: Annotated[str | None, typer.Option(metavar="N", help="Denoising steps.", show_default="the model's")] = None,
    size: Annotated[
        str | None, typer.Option(metavar="WxH", help="Pixels, multiples of 8.", show_default="the model's")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="ddim, euler, euler_a, dpmpp_2m, dpmpp_2m_sde, unipc or lcm; web UIs' names such as 'DPM++ 2M Karras' "
            "do too.",
            show_default="the model's",
        ),
    ] = None,
    guidance: Annotated[
        str | None,
        typer.Option(metavar="X", help="How strictly to follow the prompt; 1 is none.", show_default="the model's"),
    ] = None,
    negative: Annotated[
        str | None, typer.Option(metavar="PROMPT", help="What to keep out of the picture.", show_default=False)
    ] = None,
    init: Annotated[
        str | None,
        typer.Option("--init-image", "--init", metavar="FILE", help="A picture to begin with, stretched to the size."),
    ] = None,
    strength: Annotated[
        str | None,
        typer.Option(metavar="X", help="How much of it is drawn anew, 0 to 1.", show_default="0.8"),
    ] = None,
    mask: Annotated[
        str | None, typer.Option(metavar="FILE", help="White where it is redrawn; of the picture's size.")
    ] = None,
    variation: Annotated[
        str | None,
        typer.Option(
            metavar="SEED[:STRENGTH]",
            help="Go from the seed's picture towards another seed's: 0 is the first, 1 the other.",
        ),
    ] = None,
    noise: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="cpu, or nv: what an NVIDIA GPU draws for the seed, so that its pictures come back.",
            show_default="cpu",
        ),
    ] = None,
    model: Model = None,
    count: Annotated[str, typer.Option(metavar="N", help="How many pictures; each has the next seed.")] = "1",
    out: Out = "out",
    metadata: Annotated[bool, typer.Option("--metadata/--no-metadata", help="Keep the recipe in the picture.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print only JSON: file, seed, recipe and seconds.")] = False,
    dtype: Annotated[str, typer.Option(metavar="NAME", help="float32, bfloat16, float16 or float64.")] = "float32",
    device: Annotated[str, typer.Option(metavar="NAME", help="cpu, cuda, cuda:1 …")] = "cpu",
    backend: Annotated[
        str, typer.Option(metavar="NAME", help="How attention is computed: `xattn doctor` lists the ways.")
    ] = "auto",
) -> None:
    """Draw from a prompt, or draw an earlier picture again.

    Prints the file of each picture. An earlier picture is drawn as its recipe says; flags change what they name.
    """
    from ui.outputs import Output

    flags = Flags(seed, steps, size, scheduler, guidance, negative, init, strength, mask, variation, noise)
    asked = wanted(argument, flags, model)
    if metadata:
        keep_assets(
            asked.recipe, out
        )  # a picture that is to be drawn from again must be there: told before anything is drawn
    series = seeds(asked.recipe.seed, parse_whole("--count", count))
    recipes = [replace(asked.recipe, seed=one, model=None) for one in series]
    output = Output.at(out, len(series))
    with bar(f"Loading {Path(asked.model).name}") as shown:
        pipe = load(asked.model, dtype, device, backend)
        if metadata:
            check_room(pipe.resolve(recipes[0]), out)
        for notice in _notices(pipe, asked, explicit=model is not None):
            shown.say(notice)
        drawn: list[tuple[Path, Result]] = []
        for result in draw(pipe, recipes, shown):
            if not drawn:
                for notice in _elsewhere(asked, result):
                    shown.say(notice)
            drawn.append((output.save(result, metadata=metadata), result))
            if not as_json:
                shown.answer(str(drawn[-1][0]))
    if as_json:
        print(json.dumps({"images": [_document(file, result) for file, result in drawn]}))


def load(model: str, dtype: str = "float32", device: str = "cpu", backend: str = "auto") -> Pipeline:
    """The pipeline; here its libraries are imported, which takes seconds."""
    with without_collection():
        from pipelines.pipeline import Pipeline

        return Pipeline.from_pretrained(model, dtype=dtype, device=device, backend=backend)


def draw(pipe: Pipeline, recipes: list[Recipe], shown: Bar, maps: Capture | None = None) -> Iterator[Result]:
    """The results in order, each as soon as it is there, with the bar moving along; `maps`: what is watched."""
    from pipelines.pipeline import Finished, StepEvent
    from pipelines.stages import stages

    resolved = [pipe.resolve(recipe) for recipe in recipes]
    batch = 1 if pipe.model.device.type == "cpu" else _GPU_BATCH
    shown.begin("Drawing", sum(stage.runs for recipe in resolved for stage in stages(recipe)))
    for start in range(0, len(resolved), batch):
        for event in pipe.stream(resolved[start : start + batch], maps=maps, batch_size=batch):
            if isinstance(event, StepEvent):
                shown.advance(event.images)
            elif isinstance(event, Finished):
                yield from event.results


def unknown_words(pipe: Pipeline, recipe: Recipe) -> list[str]:
    """One sentence for each word that the model never saw, with the nearest that it did, and each colour of a thing.

    Of the prompt and the negative one, in whatever they say at any step; or that the prompt says nothing at any. Raises
    as step_text.said.
    """
    from pipelines.step_text import said

    resolved = pipe.resolve(replace(recipe, model=None))
    if not any(pipe.model.text.ledger(reading).text_tokens for reading in dict.fromkeys(said(resolved))):
        return [_SAYS_NOTHING]
    if (vocabulary := pipe.model.vocabulary) is None:
        return []
    spoken = dict.fromkeys((*said(resolved), *said(resolved, negative=True)))
    ledgers = [pipe.model.text.ledger(reading) for reading in spoken]
    notices = (one for ledger in ledgers for one in (*vocabulary.unknown(ledger), *vocabulary.miscolored(ledger)))
    return list(dict.fromkeys(map(str, notices)))


def _notices(pipe: Pipeline, asked: Wanted, explicit: bool) -> Iterator[str]:
    yield from asked.notes
    other_model = check_model(asked, pipe.model.ref, explicit)
    if other_model is not None:
        yield other_model
    yield from unknown_words(pipe, asked.recipe)


def _elsewhere(asked: Wanted, result: Result) -> Iterator[str]:
    """In what this run differs from the one that made the picture which is drawn again."""
    differences = () if asked.made_on is None else result.provenance.differences(asked.made_on)
    if differences:
        yield f"{str(asked.source)!r} was made in other circumstances, so this may differ from it in some pixels:"
        yield from (f"  {line}" for line in differences)


def _document(file: Path, result: Result) -> dict[str, object]:
    return {
        "file": str(file),
        "seed": result.recipe.seed,
        "recipe": result.recipe.portable().document(),
        # pictures of a batch share its time
        "seconds": round(result.stats.seconds / result.provenance.batch, 3),
    }
