"""What a pass is drawn on: the latents that it begins with, and what of a given picture it keeps.

Image to image (Meng et al. 2022, "SDEdit", https://arxiv.org/abs/2108.01073) begins with the picture's latents at the
noise of a later step. A second pass does the same with the enlarged result of the first.

Inpainting redraws where the mask is white. What happens to the rest depends on the UNet:

- with as many input channels as the latents have, whatever it made outside the mask is replaced after every step by the
  init picture's latents at that step's noise (Lugmayr et al. 2022, "RePaint", equation 8, without its resampling).
  So at the end the latents outside the mask are the init picture's own, and the pixels there what the autoencoder makes
  of them: close to the picture's, not equal; less so within some cells of the mask's edge, where both are decoded.
- an inpainting UNet (9 channels for 4) is shown the mask and the latents of the picture with its white places greyed
  out. Nothing is replaced: what is kept outside the mask is kept by what the UNet has learnt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.assets import Asset
from pipelines.checks import filled
from pipelines.load import Model
from pipelines.pictures import check_mask, in_cells, mask, opened, picture, pixels
from pipelines.plan import Plan, first_latents
from pipelines.recipe import Recipe
from pipelines.schedulers import Scheduler, Step
from pipelines.stages import Stage, stages
from pipelines.upscale import Method
from xattn.errors import BadValue


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """clean: the init pictures' latents; noise: the run's own, of unit variance; mask [images, 1, h, w]: 1 redraws."""

    clean: Tensor
    noise: Tensor
    mask: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """latents [images, c, h, w]: what the loop begins with, as noisy as its scheduler wants them.

    kept: what replaces the latents outside a mask, for a UNet that knows no masks
    shown: mask and masked picture, [images, 1 + c, h, w], for a UNet that does
    """

    latents: Tensor
    kept: Kept | None = None
    shown: Tensor | None = None

    @property
    def redrawn(self) -> Tensor | None:
        """[images, 1, h, w]: 1 where latents are free, 0 where they are put back after a step; None is everywhere."""
        return None if self.kept is None else self.kept.mask

    def seen(self, latents: Tensor) -> Tensor:
        """What the UNet sees of an image beside its latents: [images, input channels, h, w]."""
        return latents if self.shown is None else torch.cat([latents, self.shown], dim=1)

    def keep(self, step: Step, scheduler: Scheduler, index: int) -> Step:
        """The step's latents with what is kept put back, as noisy as they are before step `index`."""
        if self.kept is None:
            return step
        clean, redrawn = self.kept.clean, self.kept.mask
        noisy = scheduler.noised(clean, self.kept.noise, index)
        return Step((1 - redrawn) * noisy + redrawn * step.latents, (1 - redrawn) * clean + redrawn * step.expected)


def make_canvas(
    passes: Sequence[Stage], plan: Plan, model: Model, scheduler: Scheduler, before: Tensor | None
) -> Canvas:
    """The canvas of one pass of several images that agree in size, steps and what is given.

    before: the latents of the pass before, at its size; None in the first pass.

    Everything random comes from the images' own CPU generators in the order in which diffusers draws: the picture's
    latents, the noise, the masked picture's latents.
    """
    stage, recipes, generators = passes[0], [one.recipe for one in passes], plan.generators
    masked = recipes[0].mask is not None
    shows = masked and model.inpaints
    width, height = _size(recipes[0])
    start = None if before is None else _enlarged(before, stage.method, (width, height), model, generators)
    # full strength with a mask begins with pure noise; without one a trace of the picture stays, both as in diffusers
    begins = start is None and recipes[0].init is not None and not (masked and stage.skipped == 0)
    clean = None
    if begins or (masked and not shows):
        clean = model.vae.encode(_pictures(recipes), generators).to(model.device, model.dtype)
    shape = (model.vae.channels, height // model.vae.factor, width // model.vae.factor)
    noise = first_latents(plan, recipes, shape).to(model.device, model.dtype)
    start = clean if begins else start
    latents = noise * scheduler.init_noise_sigma if start is None else scheduler.noised(start, noise, 0)
    if not masked:
        return Canvas(latents)
    redrawn = _masks(recipes)
    cells = in_cells(redrawn, model.vae.factor).to(model.device, model.dtype)
    if shows:
        hidden = model.vae.encode(_pictures(recipes) * (1 - redrawn), generators)
        return Canvas(latents, shown=torch.cat([cells, hidden.to(model.device, model.dtype)], dim=1))
    for generator in generators:
        # diffusers encodes the masked picture here too and does not use it; stochastic samplers go on from there
        torch.randn((1, *shape), generator=generator)
    assert clean is not None, "a mask comes with an init picture"
    return Canvas(latents, kept=Kept(clean, noise, cells))


def check_pictures(recipes: Sequence[Recipe], model: Model) -> None:
    """That the pictures of resolved recipes can be opened and suit the model, before anything is drawn.

    Raises BadValue.
    """
    inits: dict[tuple[Asset, bool], None] = {}  # each once: a thousand seeds may begin with one picture
    masks: dict[tuple[Asset, bool, tuple[int, int]], None] = {}
    for recipe in recipes:
        if model.inpaints and recipe.mask is None:
            raise BadValue(
                "mask",
                None,
                f"given with {model.ref.name!r}, whose UNet redraws masked parts of a picture",
                "Give init and mask, or load a model that draws from text alone",
            )
        if recipe.init is not None:
            inits[recipe.init, recipe.init.data is None] = None
        for stage in stages(recipe):
            if recipe.mask is not None:
                masks[recipe.mask, recipe.mask.data is None, _size(stage.recipe)] = None
    for init, _ in inits:
        opened("init", init)
    for given, _, size in masks:
        check_mask(given, *size, model.vae.factor)


def _enlarged(
    latents: Tensor,
    method: Method | None,
    size: tuple[int, int],
    model: Model,
    generators: Sequence[torch.Generator],
) -> Tensor:
    width, height = size
    if method == "pixel-lanczos":
        larger = torch.cat([pixels(image, width, height) for image in model.vae.decode(latents)])
        return model.vae.encode(larger, generators).to(latents)
    cells = (height // model.vae.factor, width // model.vae.factor)
    if method == "latent-nearest":
        return F.interpolate(latents, cells, mode="nearest")
    return F.interpolate(latents, cells, mode="bicubic")


def _pictures(recipes: Sequence[Recipe]) -> Tensor:
    return torch.cat([picture(recipe.init, *_size(recipe)) for recipe in recipes if recipe.init is not None])


def _masks(recipes: Sequence[Recipe]) -> Tensor:
    return torch.cat([mask(recipe.mask, *_size(recipe)) for recipe in recipes if recipe.mask is not None])


def _size(recipe: Recipe) -> tuple[int, int]:
    return filled("width", recipe.width), filled("height", recipe.height)
