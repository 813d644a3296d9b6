"""The recipe of a picture as text that runs as it is: Python, a command, a line of a batch file, the recipe itself."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from pipelines import recipe_json
from pipelines.assets import INLINE_BYTES
from pipelines.recipe import EMBEDDED as DEFAULT_MODEL
from pipelines.recipe import Recipe

if TYPE_CHECKING:
    from pathlib import Path

_PLAIN = (
    "prompt", "negative_prompt", "seed", "num_inference_steps", "guidance_scale", "scheduler", "sigmas", "width",
    "height", "model", "engine",
)  # fmt: skip
_FLAGS = ("prompt", "negative_prompt", "seed", "num_inference_steps", "guidance_scale", "scheduler", "width", "height")


@dataclass(frozen=True, slots=True)
class Copy:
    """One text: what it is, and how it is to be used."""

    label: str
    hint: str
    text: str


def copies(recipe: Recipe, folder: Path | None = None) -> tuple[Copy, ...]:
    """All of them. folder: of the model, where it is not the embedded one."""
    model = DEFAULT_MODEL if folder is None else str(folder)
    away = any(one.data is None or len(one.data) > INLINE_BYTES for one in recipe.assets)
    beside = " The picture that it begins with is in this machine's store, too large to be inside." if away else ""
    portable = recipe.portable().to_json()
    return (
        Copy("Python", f"Runs as it is where xattn is installed.{beside}", python(recipe, model)),
        Copy("Command", f"Paste it into a shell.{beside}", command(recipe, model)),
        Copy("Batch line", f"One line of a file for xattn batch.{beside}", batch_line(recipe)),
        Copy("Recipe", f"Save it as recipe.json; xattn generate recipe.json draws it.{beside}", portable),
    )


def python(recipe: Recipe, model: str = DEFAULT_MODEL) -> str:
    """A script that draws the picture and saves it."""
    load = "Pipeline.from_pretrained()" if model == DEFAULT_MODEL else f"Pipeline.from_pretrained({model!r})"
    if _only(recipe, _PLAIN):
        given = [
            f"    {field.name}={getattr(recipe, field.name)!r},"
            for field in fields(recipe)
            if field.name in _PLAIN[1:-2] and getattr(recipe, field.name) != field.default
        ]
        call = "\n".join(["result = pipe(", f"    {recipe.prompt!r},", *given, ")"])
        return f'from xattn import Pipeline\n\npipe = {load}\n{call}\nresult.save("picture.png")\n'
    document = replace(recipe, model=None).portable().to_json()
    return (
        "from xattn import Pipeline, Recipe\n\n"
        f"pipe = {load}\n"
        f"recipe = Recipe.from_json({document!r})\n"
        "result = pipe(recipe)\n"
        'result.save("picture.png")\n'
    )


def command(recipe: Recipe, model: str = DEFAULT_MODEL) -> str:
    """A command line; a recipe that flags cannot say goes through a here-document."""
    loaded = [] if model == DEFAULT_MODEL else ["--model", model]
    if _only(recipe, (*_FLAGS, "model", "engine")) and not recipe.prompt.startswith("-"):
        words = ["xattn", "generate", recipe.prompt]
        words += [] if recipe.seed is None else ["--seed", str(recipe.seed)]
        words += [] if recipe.num_inference_steps is None else ["--steps", str(recipe.num_inference_steps)]
        words += [] if recipe.guidance_scale is None else ["--guidance", repr(recipe.guidance_scale).removesuffix(".0")]
        words += [] if recipe.scheduler is None else ["--scheduler", recipe.scheduler]
        words += [] if None in (recipe.width, recipe.height) else ["--size", f"{recipe.width}x{recipe.height}"]
        words += [] if not recipe.negative_prompt else ["--negative", recipe.negative_prompt]
        return _line([*words, *loaded, "--out", "picture.png"])
    document = recipe.portable().to_json()
    draw = _line(["xattn", "generate", "recipe.json", *loaded, "--out", "picture.png"])
    return f"cat > recipe.json <<'RECIPE'\n{document}\nRECIPE\n{draw}"


def batch_line(recipe: Recipe) -> str:
    """One line of a JSONL file: the recipe's own JSON, without the model, which the command names."""
    document = replace(recipe, model=None, source=_without_model(recipe.source)).portable().document()
    return recipe_json.canonical(document)


def _without_model(recipe: Recipe | None) -> Recipe | None:
    return None if recipe is None else replace(recipe, model=None)


def _only(recipe: Recipe, names: Sequence[str]) -> bool:
    """Whether every field that is not at its default is one of these."""
    return all(field.name in names or getattr(recipe, field.name) == field.default for field in fields(recipe))


def _line(words: Sequence[str]) -> str:
    return " ".join(map(shlex.quote, words))
