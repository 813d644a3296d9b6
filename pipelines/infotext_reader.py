"""Other tools' pictures: the text that web UIs write under `parameters`, read as a Recipe as far as it goes.

    a (red:1.3) fox
    Negative prompt: blurry
    Steps: 30, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7.5, Seed: 42, Size: 512x768, Model: v1-5

What cannot be brought over is told, never dropped in silence. A text without `RNG:` comes from a tool that drew its
noise on a GPU.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipelines import checks
from pipelines.checks import MAX_STEPS
from pipelines.guidance.rules import ClassifierFree, Projected, Rule
from pipelines.infotext import EFFECTS, NEGATIVE, UPSCALERS
from pipelines.prompt import parse
from pipelines.recipe import Recipe
from pipelines.sampler_names import SCHEDULERS, canonical, comes_from_a_gpu
from pipelines.upscale import Upscale
from xattn.errors import BadValue, XattnError

_SETTING = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
_LEAST = 3
"""Fewer settings than this, and the last line is part of the prompt."""
_TAG = re.compile(r"<(?:lora|lyco|hypernet):[^>]+>")
_AND = re.compile(r"\bAND\b")
_NOT_PART = ("Version", "Model", "Model hash", "VAE hash")  # Model and VAE are told


@dataclass(frozen=True, slots=True)
class Imported:
    """A recipe out of a picture, and one sentence for each thing that could not be brought with it."""

    recipe: Recipe
    notes: tuple[str, ...] = ()


def read_infotext(text: str) -> Imported:
    """The recipe in a web UI's infotext. Raises BadValue where there is no prompt to be found."""
    prompt, negative, settings = _split(text)
    if not prompt.strip():
        raise BadValue("parameters", text[:80], "a prompt, and settings in its last line", "This text has no prompt")
    reading = _Reading(settings)
    fields: dict[str, Any] = {}
    for key, (name, read) in _FIELDS.items():
        value = reading.take(key, read)
        if value is not None:
            fields[name] = value
    fields |= reading.size() | reading.scheduler() | reading.noise() | reading.emphasis() | reading.clip_skip()
    recipe = Recipe(reading.text("prompt", prompt), negative_prompt=reading.text("negative prompt", negative))
    rule = reading.guidance(fields.get("num_inference_steps"))
    for group in [*({name: value} for name, value in fields.items()), reading.variation(), rule]:
        recipe = reading.tried(recipe, group)
    sides = fields.get("width"), fields.get("height")
    recipe = reading.tried(recipe, reading.hires(*sides, fields.get("num_inference_steps")))
    return Imported(recipe, (*reading.notes, *reading.rest()))


def _split(text: str) -> tuple[str, str, dict[str, str]]:
    """Prompt, negative prompt and settings, as the tools that write such texts read them."""
    lines = text.strip().split("\n")
    found = _SETTING.findall(lines[-1])
    settings: dict[str, str] = {}
    if len(found) >= _LEAST:
        settings = {key: _unquoted(value) for key, value in found}
        lines = lines[:-1]
    prompt: list[str] = []
    negative: list[str] = []
    into = prompt
    for line in lines:
        bare = line.strip()
        if bare.startswith(NEGATIVE):
            into, bare = negative, bare.removeprefix(NEGATIVE).strip()
        into.append(bare)
    return "\n".join(prompt).strip(), "\n".join(negative).strip(), settings


def _unquoted(value: str) -> str:
    value = value.strip()
    if len(value) > 1 and value[0] == value[-1] == '"':
        try:
            return str(json.loads(value))
        except ValueError:
            return value
    return value


_FIELDS: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "Steps": ("num_inference_steps", int),
    "CFG scale": ("guidance_scale", float),
    "Seed": ("seed", int),
}


class _Reading:
    """Settings as they are used up, and what had to be said about them."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._left = dict(settings)
        self.notes: list[str] = []
        self._comes_back = True
        self._seeded = "Seed" in settings
        self._theirs = not settings.get("Version", "").startswith("xattn")

    def text(self, name: str, given: str) -> str:
        """A prompt without the tags that have no reading here, such as hypernetworks'."""

        def readable(found: re.Match[str]) -> str:
            try:
                parse(found[0], name)
            except XattnError:
                self.notes.append(f"{found[0]} has no reading here, so it was taken out of the {name}.")
                return ""
            return found[0]

        if _AND.search(given):
            self.notes.append(f"AND in the {name} joins prompts there and is a word here: expect another picture.")
        return _TAG.sub(readable, given)

    def take(self, key: str, read: Callable[[str], object]) -> object:
        """A setting's value, None where it is not there or cannot be read."""
        if key not in self._left:
            return None
        given = self._left.pop(key)
        try:
            return read(given)
        except ValueError:
            self.notes.append(f"{key} is {given!r}, which is no number; the model's own is used.")
            return None

    def tried(self, recipe: Recipe, fields: Mapping[str, Any]) -> Recipe:
        """The recipe with these fields, or without them and with a note why."""
        try:
            return replace(recipe, **fields)
        except XattnError as error:
            self.notes.append(str(error))
            return recipe

    def size(self) -> dict[str, int]:
        """Width and height."""
        given = self._left.pop("Size", None)
        if given is None:
            return {}
        match = re.fullmatch(r"(\d+)x(\d+)", given)
        if match is None:
            self.notes.append(f"Size is {given!r}, which is none; the model's own is used.")
            return {}
        return {"width": int(match[1]), "height": int(match[2])}

    def scheduler(self) -> dict[str, str]:
        """The sampler and its sigmas; newer tools write the sigmas apart, as `Schedule type`."""
        given = self._left.pop("Sampler", None)
        if given is None:
            return {}  # a Schedule type alone is told as one that is not brought
        spacing = self._left.pop("Schedule type", "")
        try:
            name, implied = canonical(given)
        except XattnError as error:
            self.notes.append(f"{error} The model's own is used.")
            return {}
        self._comes_back = comes_from_a_gpu(name)
        karras = implied == "karras" or spacing.casefold() == "karras"
        if spacing and spacing.casefold() not in ("karras", "automatic", "uniform", "normal"):
            self.notes.append(f"Schedule type {spacing} is not known here; the model's own sigmas are used.")
        if karras and not SCHEDULERS[name].karras:
            self.notes.append(f"{given} has no Karras sigmas here; the model's own are used.")
            karras = False
        return {"scheduler": name} | ({"sigmas": "karras"} if karras else {})

    def noise(self) -> dict[str, str]:
        """Where the noise came from: a GPU, unless the text says otherwise."""
        given = self._left.pop("RNG", "GPU")
        if given.casefold() not in ("cpu", "gpu", "nv"):
            self.notes.append(f"RNG {given} is not known here; its noise is taken for a GPU's.")
        if given.casefold() == "cpu" or not self._seeded:
            return {}
        if not self._comes_back:
            self.notes.append(
                "Its sampler drew noise on a GPU at every step, which does not come back here: expect another picture."
            )
            return {}
        return {"noise": "nv"}

    def emphasis(self) -> dict[str, str]:
        """What weights in the prompt did."""
        given = self._left.pop("Emphasis", "Original")
        if given == "None":
            self.notes.append("It was drawn with Emphasis None, so its prompt is read as plain text.")
            return {"syntax": "plain"}
        known = {"Original": "a1111", **{label: effect for effect, label in EFFECTS.items() if label}}
        if given not in known:
            self.notes.append(f"Emphasis {given} is not known here; weights act as in a1111.")
        return {"emphasis": known.get(given, "a1111")}

    def variation(self) -> dict[str, object]:
        """Another seed, and how far towards it."""
        seed, strength = self.take("Variation seed", int), self.take("Variation seed strength", float)
        if seed is None and strength is None:
            return {}
        if seed is None or strength is None:
            self.notes.append("Its variation is given by half, with a seed or a strength only; none is drawn.")
            return {}
        if self._theirs and strength not in (0.0, 1.0):
            self.notes.append(
                "Web UIs mix the noise of two seeds column by column, here it is mixed as a whole: expect a picture "
                "much like it, not the same."
            )
        return {"variation_seed": seed, "variation_strength": strength}

    def clip_skip(self) -> dict[str, int]:
        """The layers left out at the end of the text tower: web UIs count the one that is read."""
        counted = self.take("Clip skip", int)
        if not isinstance(counted, int) or counted < 2:
            return {}
        if self._theirs:
            self.notes.append(
                f"Clip skip {counted} is brought as clip_skip={counted - 1}. Most web UIs heed it with Stable "
                "Diffusion 1 only: with 2 and XL set clip_skip to 0 for the same picture."
            )
        return {"clip_skip": counted - 1}

    def guidance(self, steps: int | None) -> dict[str, Rule]:
        """The rule of guidance; `steps` is how many the text says."""
        rescale = self.take("CFG Rescale", float)
        name = self._left.pop("Guidance", None)
        if name not in (None, "APG"):
            self.notes.append(f"Guidance {name} is not known here; classifier-free guidance is used.")
        changed = self._interval(steps) | ({} if rescale is None else {"rescale": rescale})
        if not changed and name != "APG":
            return {}
        try:
            if name == "APG":
                return {"guidance": replace(Projected(), **{key: changed[key] for key in changed if key != "rescale"})}
            return {"guidance": replace(ClassifierFree(), **changed)}
        except XattnError as error:
            self.notes.append(str(error))
            return {}

    def _interval(self, steps: int | None) -> dict[str, Any]:
        """The share of the steps at which guidance begins and ends, where the text says so (see infotext.py)."""
        skipped, end = self.take("Skip Early CFG", float), self.take("CFG end", float)
        made: dict[str, Any] = {} if end is None else {"stop": end}
        if isinstance(skipped, float) and skipped > 0 and steps:
            first = math.floor(skipped * steps) + 1
            # a little more than first / steps, which may round down to a step less
            made["start"] = first / steps if int(first / steps * steps) == first else (first + 0.5) / steps
        return made

    def hires(self, width: int | None, height: int | None, steps: int | None) -> dict[str, object]:
        """A second, larger pass, of a first one of this size and so many steps."""
        scale = self.take("Hires upscale", float) or self._resize(width, height)
        if not isinstance(scale, float):
            return {}  # what else there is of it is told as not brought
        runs, denoise = self.take("Hires steps", int) or steps, self.take("Denoising strength", float)
        upscaler = self._left.pop("Hires upscaler", "Latent")
        methods = {"Latent": "latent-bicubic", **{name: method for method, name in UPSCALERS.items()}}
        if upscaler not in methods:
            self.notes.append(f"The upscaler {upscaler} is not known here; latents are enlarged instead.")
        if upscaler == "Latent":
            self.notes.append("The upscaler Latent is bilinear there and bicubic here: expect another picture.")
        method = methods.get(upscaler, "latent-bicubic")
        try:
            made = Upscale(scale, denoise, method)  # type: ignore[arg-type]
            share = _share_of(runs, made.denoise)
            made = replace(made, steps=None if share == steps else share)
        except XattnError as error:
            self.notes.append(str(error))
            return {}
        return {"passes": (made,)}

    def _resize(self, width: int | None, height: int | None) -> float | None:
        """The scale that leads to `Hires resize`, where one scale does; it is left to be told where none."""
        match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", self._left.get("Hires resize", ""))
        if match is None or not width or not height:
            return None
        across, down = int(match[1]), int(match[2])
        if across * height != down * width:
            return None
        del self._left["Hires resize"]
        return across / width

    def rest(self) -> list[str]:
        """What nothing here reads, in one sentence."""
        model = self._left.get("Model")
        notes = [f"It was drawn by the model {model}; load that one for the same picture."] if model else []
        others = [key for key in self._left if key not in _NOT_PART]
        return [*notes, f"Not brought over: {', '.join(others)}."] if others else notes


def _share_of(runs: object, denoise: float) -> int | None:
    """The steps of a pass of which so many run: web UIs say how many run, whatever the strength. Raises BadValue."""
    if not isinstance(runs, int) or runs < 1 or denoise == 0.0:
        return None
    if runs > (most := denoise * MAX_STEPS):
        raise BadValue("Hires steps", checks.shown(runs), f"at most {int(most)} at a denoising strength of {denoise:g}")
    whole = math.ceil(runs / denoise)
    return whole if int(whole * denoise) == runs else whole + 1  # the quotient may be a rounding error too small
