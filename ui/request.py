"""From what was typed to a Recipe: a prompt, or an earlier picture or recipe, with flags set on top. Needs no torch."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pipelines import checks
from pipelines.assets import Asset, opened
from pipelines.infotext_reader import Imported
from pipelines.metadata import read_any, read_provenance
from pipelines.recipe import EMBEDDED as DEFAULT_MODEL
from pipelines.recipe import MAX_SEED, MAX_SIDE, ModelRef, Recipe
from ui.outputs import IMAGE_SUFFIXES
from xattn.errors import BadModel, BadValue, XattnError

if TYPE_CHECKING:
    from pipelines.pipeline import RecipeFields
    from pipelines.provenance import Provenance
    from pipelines.recipe import Noise

MAX_COUNT = 10_000
VARIATION = 0.1
"""How far --variation goes where it does not say: a picture much like the first."""
# What a message calls a field that came from a flag.
_FLAGS = {
    "seed": "--seed",
    "num_inference_steps": "--steps",
    "guidance_scale": "--guidance",
    "negative_prompt": "--negative",
    "init": "--init-image",
    "strength": "--strength",
    "mask": "--mask",
    "variation_seed": "the seed in --variation",
    "variation_strength": "the strength in --variation",
    "noise": "--noise",
    "width": "the width in --size",
    "height": "the height in --size",
}


@dataclass(frozen=True, slots=True)
class Flags:
    """The flags that set a recipe's fields, as they were typed; None where one was not given."""

    seed: str | None = None
    steps: str | None = None
    size: str | None = None
    scheduler: str | None = None
    guidance: str | None = None
    negative: str | None = None
    init: str | None = None
    strength: str | None = None
    mask: str | None = None
    variation: str | None = None
    noise: str | None = None

    def fields(self) -> RecipeFields:
        """The same as a recipe's fields. Raises BadValue for what is no number or size; the Recipe checks the rest."""
        made: RecipeFields = {}
        if self.seed is not None:
            made["seed"] = parse_whole("--seed", self.seed)
        if self.steps is not None:
            made["num_inference_steps"] = parse_whole("--steps", self.steps)
        if self.size is not None:
            made["width"], made["height"] = parse_size(self.size)
        if self.scheduler is not None:
            # the noise levels go with the scheduler that they were for, unless its name brings some
            made["scheduler"], made["sigmas"] = self.scheduler, "model"
        if self.guidance is not None:
            made["guidance_scale"] = parse_number("--guidance", self.guidance)
        if self.negative is not None:
            made["negative_prompt"] = self.negative
        if self.init is not None:
            made["init"] = read_picture("--init-image", self.init)
        if self.strength is not None:
            made["strength"] = parse_number("--strength", self.strength)
        if self.mask is not None:
            made["mask"] = read_picture("--mask", self.mask)
        if self.variation is not None:
            made["variation_seed"], made["variation_strength"] = parse_variation(self.variation)
        if self.noise is not None:
            made["noise"] = cast("Noise", self.noise)  # the recipe says what it may be
        return made


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be drawn, and with which model.

    recipe: its `model` is what it was made with, if it says
    model: the name or folder to load
    source: the picture or file that the recipe came from; None for a prompt
    notes: what of another tool's picture could not be brought
    made_on: on what the picture says it was made; None where it does not say, or where a flag makes it another
    """

    recipe: Recipe
    model: str
    source: Path | None = None
    notes: tuple[str, ...] = ()
    made_on: Provenance | None = None


def wanted(argument: str, flags: Flags, model: str | None) -> Wanted:
    """Read the argument of `xattn generate`. Raises XattnError with a sentence.

    A name that ends like an image's or in .json is a file, which must be there; anything else is a prompt.
    """
    source = Path(argument) if Path(argument).suffix.lower() in (*IMAGE_SUFFIXES, ".json") else None
    if source is not None:
        _check_there(argument, source)
    imported = Imported(Recipe(prompt=argument)) if source is None else read_any(source)
    recipe = imported.recipe
    fields = flags.fields()
    try:
        recipe = replace(recipe, **fields)
    except BadValue as error:
        if type(error) is BadValue and error.parameter in fields:
            raise BadValue(_FLAGS[error.parameter], error.got, error.expected, error.remedy) from error
        raise
    made_on = _made_on(source) if recipe == imported.recipe else None
    return Wanted(recipe, model or _model_of(recipe, source), source, imported.notes, made_on)


def _check_there(argument: str, source: Path) -> None:
    try:
        there = source.exists()
    except (OSError, ValueError):  # a name too long, or with a null byte
        there = False
    if not there:
        shown = _shortened(argument, 100)
        raise XattnError(f"There is no file {shown!r}; check the name, or leave the suffix off to draw it as a prompt.")


def _made_on(source: Path | None) -> Provenance | None:
    if source is None or source.suffix.lower() == ".json":
        return None
    try:
        return read_provenance(source)
    except BadValue:  # another tool's picture, or a JPEG that had no room for it
        return None


def _model_of(recipe: Recipe, source: Path | None) -> str:
    if recipe.model is None or recipe.model.name == DEFAULT_MODEL:
        return DEFAULT_MODEL
    if source is not None and source.suffix.lower() != ".json":
        # a picture comes from anywhere: what it says is never opened as a path
        raise BadModel(
            f"{str(source)!r} was drawn by the model {recipe.model.portable().name!r}, which is not embedded; "
            "give that model's folder with --model."
        )
    return recipe.model.name


def check_model(asked: Wanted, loaded: ModelRef, explicit: bool) -> str | None:
    """Whether the loaded model is the recipe's own; a notice where `--model` chose another.

    Raises BadModel where the recipe's weights are not these and nobody said that others will do.
    """
    made = asked.recipe.model
    if made is None or made.sha256 is None or made.sha256 == loaded.sha256:
        return None
    was = f"{made.portable().name!r} with sha256 {made.sha256[:12]}…"
    now = f"{loaded.name!r} with sha256 {str(loaded.sha256)[:12]}…"
    if explicit:
        return f"The recipe is for the model {was}; drawing with {now}, so this will be another picture."
    raise BadModel(
        f"The recipe is for the model {was}, but this is {now}; give the folder of the first with --model, "
        f"or --model {asked.model} to draw with this one."
    )


def seeds(first: int | None, count: int) -> tuple[int, ...]:
    """seed … seed + count − 1, from a random one where none is given. Raises BadValue where they pass the limit."""
    checks.whole("--count", count, 1, MAX_COUNT, "Each picture has the next seed")
    start = secrets.randbelow(2**32) if first is None else first
    if start + count - 1 > MAX_SEED:
        raise BadValue("--count", count, f"at most {MAX_SEED - start + 1} with seed {start}", "Seeds end there")
    return tuple(range(start, start + count))


def parse_whole(flag: str, text: str) -> int:
    """A whole number as it was typed. Raises BadValue, which typer's own message does not: it hides what was given."""
    try:
        return int(text)
    except ValueError as error:  # Python reads no more than 4,300 digits
        raise BadValue(flag, _shortened(text), "a whole number such as 20") from error


def parse_number(flag: str, text: str) -> float:
    """A number as it was typed. Raises BadValue."""
    try:
        return float(text)
    except ValueError as error:
        raise BadValue(flag, _shortened(text), "a number such as 7.5") from error


def _shortened(text: str, limit: int = 40) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"


def read_picture(flag: str, path: str) -> Asset:
    """A picture's file, decoded once so that a damaged one is told before a model is loaded. Raises BadValue."""
    try:
        asset = Asset.from_file(path)
        opened(flag, asset)
    except BadValue as error:
        remedy = error.remedy or ("Convert it to PNG first" if error.expected.startswith("a PNG") else "")
        raise BadValue(flag, path, error.expected, remedy) from error
    return asset


def parse_variation(text: str) -> tuple[int, float]:
    """Seed and strength from "7:0.2", or "7", which goes by a tenth. Raises BadValue."""
    seed, colon, strength = text.partition(":")
    expected, remedy = "SEED or SEED:STRENGTH, the strength from 0 to 1", "Try --variation 7:0.2"
    try:
        return int(seed), float(strength) if colon else VARIATION
    except ValueError as error:
        raise BadValue("--variation", _shortened(text), expected, remedy) from error


def parse_size(size: str) -> tuple[int, int]:
    """Width and height in pixels from "512x768". Raises BadValue."""
    found = re.fullmatch(r"\s*(\d{1,9})\s*[xX×*]\s*(\d{1,9})\s*", size)
    if found is None:
        raise BadValue(
            "--size",
            _shortened(size),
            f"WIDTHxHEIGHT in pixels, each a multiple of 8 up to {MAX_SIDE}",
            "Try --size 128x128",
        )
    return int(found[1]), int(found[2])
