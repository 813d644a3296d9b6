"""Maps on a real picture: add noise, ask the model once, and see where the words look. No inversion, no new picture.

At time t the model sees √ᾱ_t · picture + √(1 − ᾱ_t) · noise, just what it was trained to see, so its attention says
what it would make of each place. With little noise (early times) it looks at what is there; with much it looks at what
it expects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pipelines import checks
from pipelines.assets import Asset
from pipelines.attention_maps import AttentionMaps
from pipelines.capture import Capture
from pipelines.load import Model
from pipelines.pictures import coloured, opened, pixels
from pipelines.programs import Drawn, Programs, Setting
from pipelines.recipe import Recipe
from pipelines.recorder import Recorder, probe_sources
from pipelines.schedulers import kept
from pipelines.step_text import said, step_texts
from pipelines.watchers import WatchedPass
from xattn.errors import BadValue, NonFinite, Unsupported
from xattn.program import StepProgram
from xattn.sites import Row

Picture = Image.Image | Asset | str | Path


def size_for(picture: Image.Image, model: Model) -> tuple[int, int]:
    """Width and height at which a picture is looked at: its shape, its longer side as the model's own pictures'."""
    factor = max(model.native_size) / max(picture.size)
    unit = model.vae.factor
    width, height = (max(unit, round(side * factor / unit) * unit) for side in picture.size)
    return width, height


def opened_picture(image: Picture) -> Image.Image:
    """An RGB picture. Raises BadValue for what is none."""
    if isinstance(image, Image.Image):
        return coloured(image)
    if not isinstance(image, Asset):
        image = Asset.from_file(image)
    return coloured(opened("image", image))


def look(model: Model, picture: Image.Image, recipe: Recipe, capture: Capture, at: Sequence[float]) -> AttentionMaps:
    """Maps of a resolved recipe's prompt on an RGB picture at some times, at the recipe's size and with its seed.

    Raises BadValue, UnknownWord, Unsupported, NonFinite.
    """
    times = _times(at)
    if model.inpaints:
        raise Unsupported(
            f"{model.ref.name!r} redraws masked parts and sees no whole picture; look with another model."
        )
    if capture.role != "cond":
        raise BadValue("role", capture.role, '"cond" where a picture is looked at: there is only the prompt')
    readings = dict.fromkeys(said(recipe))
    if len(readings) > 1:
        raise BadValue("prompt", recipe.prompt, "one that says the same at every step where a picture is looked at")
    width, height = checks.filled("width", recipe.width), checks.filled("height", recipe.height)
    latent = (height // model.vae.factor, width // model.vae.factor)
    left = kept(model.scheduler_config)
    places = [round(time * (len(left) - 1)) for time in times]
    sigmas = tuple(float(((1 - left[place]) / left[place].clamp(min=2**-24)).sqrt()) for place in places)

    rows = (Row(0, 0, "cond"),)
    (reading,) = readings
    chunks = model.text.chunks(reading)
    ledgers = (model.text.ledger(reading, chunks),)
    length = len(ledgers[0].tokens)
    further, probes = probe_sources(capture, 1, chunks, model.text)
    by_time = capture if "step" in capture.keep else replace(capture, keep=("step", *capture.keep))
    recorder = Recorder(by_time, {0: ledgers}, model.unet.sites, latent)
    watching = recorder.watchers({0: ledgers}, WatchedPass(0, latent, sigmas, length, probes))
    tokens = {"text": length} | {source.name: source.tokens(length // chunks) for source in further}
    setting = Setting(latent, len(times), sigmas, tokens, torch.device(model.device))
    programs = Programs([Drawn(recipe, {"cond": ledgers})], rows, model.unet.sites, setting, *watching)

    with torch.no_grad():
        text = step_texts(
            [recipe], rows, model.unet, model.text, zero_empty_negative=model.zero_empty_negative, further=further
        ).at(0)
        generator = torch.Generator("cpu").manual_seed(checks.filled("seed", recipe.seed))
        clean = model.vae.encode(pixels(picture, width, height), [generator]).float()
        noise = torch.randn(clean.shape, generator=generator).to(clean)
        for index, place in enumerate(places):
            noisy = _noisy(clean, noise, left[place]).to(model.device, model.dtype)
            model.unet(noisy, float(place), text.context, text.added, program=_shortest(programs.at(index), model))
    (maps,) = recorder.maps()
    if not all(np.isfinite(values).all() for values in (maps.values, maps.levels) if values is not None):
        raise NonFinite("Attention on the picture is NaN or infinity, so there are no maps; use dtype float32.")
    return _timed(maps, times)


def _noisy(clean: Tensor, noise: Tensor, left: Tensor) -> Tensor:
    share = left.to(clean)
    return share.sqrt() * clean + (1 - share).sqrt() * noise


def _shortest(step: StepProgram | None, model: Model) -> StepProgram | None:
    """The same, ending after the last site that is read: nobody asks for the prediction."""
    if step is None:
        return None
    read = [site.name for site in model.unet.sites if site.name in step.sites]
    return replace(step, stop_after=read[-1])


def _times(at: Sequence[float]) -> tuple[float, ...]:
    given: object = at
    if isinstance(given, int | float):
        at = (given,)
    times = tuple(checks.number("at", time, 0.0, 1.0, "0 is the picture, 1 is noise") for time in at)
    if not times or len(set(times)) != len(times):
        raise BadValue("at", at, "different shares of the noise, such as (0.2, 0.4, 0.6)")
    return times


def _timed(maps: AttentionMaps, times: tuple[float, ...]) -> AttentionMaps:
    """The maps with times where the steps are."""
    parts = {name: _timed(part, times) if part.steps else part for name, part in maps.parts.items()}
    return replace(maps, steps=(), times=times, parts=parts)
