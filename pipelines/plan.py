"""What a run will do, decided before its first step: rows, text, guidance, and each site's program at each step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.checks import filled
from pipelines.guidance.guide import Guide
from pipelines.noise import first_noise, step_noise
from pipelines.programs import Programs
from pipelines.recipe import Recipe
from pipelines.running import Running, rows_for
from pipelines.sampler_names import SCHEDULERS
from pipelines.schedulers import Step
from pipelines.site_calls import sites_of
from pipelines.steering import Steering
from pipelines.step_text import Further, StepText, StepTexts, step_texts
from pipelines.text import Conditioning, TextEncoder
from unet import UNet
from unet.moments import Moment
from xattn.program import StepProgram
from xattn.sites import Role, Row


@dataclass(frozen=True, slots=True)
class Plan:
    """One run of several images with the same steps, scheduler and size.

    running: what each row of the UNet's batch is, ordered by role, then image, and at which steps it runs
    texts: what the rows read at each step, its keys and values made once
    alone: the texts of those that run where others do not; None where all rows run at all steps
    generators: one CPU generator an image, for the first noise and for stochastic samplers
    gpu_seeds: of the images whose steps take a GPU's noise, by place, the seed of that
    programs: what the edits and the watchers do, site by site; None where there are none
    steering: what moves latents before a step, and the texts of the rows that it runs; None where nothing does
    """

    running: Running
    texts: StepTexts
    guidance: Guide
    generators: list[torch.Generator]
    gpu_seeds: Mapping[int, int]
    programs: Programs | None = None
    alone: StepTexts | None = None
    steering: Steering | None = None
    steered: StepTexts | None = None

    def at(self, index: int) -> StepProgram | None:
        """What the UNet's sites do at step `index`, counted from 0."""
        return None if self.programs is None else self.programs.at(index)

    def before(
        self,
        index: int,
        latents: Tensor,
        unet: UNet,
        moment: Moment,
        seen: Callable[[Tensor], Tensor],
        free: Tensor | None,
    ) -> Tensor:
        """The latents to take step `index` from: moved, where an edit moves them (steering.py).

        seen: what the UNet sees of latents at this step; free: where they may move, None is everywhere
        """
        if self.steering is None or self.steered is None:
            return latents
        steering, text = self.steering, self.steered.at(index)

        def forward(moved: Tensor, program: StepProgram) -> object:
            return unet(steering.rows_of(seen(moved)), moment, text.context, text.added, program=program)

        return steering.before(index, latents, forward, free)

    def given_noise(self, index: int, latents: Tensor) -> Mapping[int, Tensor]:
        """By image, the noise [channels, h, w] of step `index`, where that is not its generator's."""
        shape = (latents.shape[1], latents.shape[2], latents.shape[3])
        return {image: step_noise(seed, index, shape).to(latents) for image, seed in self.gpu_seeds.items()}

    def keep(self, index: int, step: Step) -> Step:
        """The latents after step `index`, where edits give places back to the source."""
        return step if self.programs is None else Step(*self.programs.keep(index, step.latents, step.expected))

    def text(self, index: int) -> StepText:
        """What the rows that run read at step `index`, counted from 0."""
        return (self.texts if self.alone is None or self.running.whole(index) else self.alone).at(index)

    @property
    def conditioning(self) -> Conditioning:
        """The rows' text at the first step, which is that of all steps unless a prompt changes on the way."""
        return self.texts.at(0).conditioning

    @property
    def rows(self) -> tuple[Row, ...]:
        """What each row is, whether it runs at every step or not."""
        return self.running.rows

    def rows_of(self, latents: Tensor, index: int) -> tuple[Tensor, int]:
        """The UNet's batch [rows / copies, c, h, w] out of the images' latents [images, c, h, w], and copies."""
        images = [self.rows[place].image for place in self.running.at(index)]
        copies = len(images) // len(latents)
        if images == list(range(len(latents))) * copies:
            return latents, copies
        taken = torch.tensor(images, device=latents.device)
        return latents.index_select(0, taken), 1

    def by_role(self, predicted: Tensor, index: int) -> Mapping[Role, Tensor]:
        """The UNet's answer split by role, each [images, c, h, w]."""
        images = len(self.generators)
        roles = dict.fromkeys(self.rows[place].role for place in self.running.at(index))
        return dict(zip(roles, predicted.split(images), strict=True))

    def kernels(self, unet: UNet, latents: Tensor) -> Counter[str]:
        """Calls of `attend` that one step makes, by the backend that `auto` or the unet's own choice gives them."""
        latent = (latents.shape[-2], latents.shape[-1])
        sites = sites_of(unet, latent, len(self.rows), self.texts.every.conditioning.hidden.shape[1])
        return Counter(site.kernel for site in sites)

    def kernels_before(self, unet: UNet, latents: Tensor) -> Counter[str]:
        """The same of all passes that have moved latents, which end early."""
        calls: Counter[str] = Counter()
        if self.steering is not None:
            latent, tokens = (latents.shape[-2], latents.shape[-1]), self.texts.every.conditioning.hidden.shape[1]
            for site in sites_of(unet, latent, len(self.steering.rows), tokens):
                calls[site.kernel] += self.steering.ran[site.site.name]
        return calls


def make_plan(
    recipes: Sequence[Recipe],
    unet: UNet,
    text: TextEncoder,
    *,
    zero_empty_negative: bool = False,
    further: Sequence[Further] = (),
    programs: Programs | None = None,
    steering: Steering | None = None,
) -> Plan:
    """Plan the run of resolved recipes that agree in steps, scheduler, sigmas, size, emphasis and rule of guidance.

    zero_empty_negative: SDXL's base model was trained with zeros, not with the empty prompt's text, for no prompt.
    """
    guidance = guide(recipes)
    rows = rows_for(len(recipes), guidance.roles)
    running = Running(rows, guidance.guided)
    texts = step_texts(recipes, rows, unet, text, zero_empty_negative=zero_empty_negative, further=further)
    always = all(map(running.whole, range(recipes[0].num_inference_steps or 0)))
    return Plan(
        running=running,
        texts=texts,
        alone=None if always else texts.only(running.prompts),
        guidance=guidance,
        generators=[torch.Generator("cpu").manual_seed(_seed(recipe)) for recipe in recipes],
        gpu_seeds={image: _seed(recipe) for image, recipe in enumerate(recipes) if recipe.noise == "nv"}
        if SCHEDULERS[filled("scheduler", recipes[0].scheduler)].takes_noise
        else {},
        programs=programs,
        steering=steering,
        steered=None if steering is None else texts.only(steering.rows),
    )


def guide(recipes: Sequence[Recipe]) -> Guide:
    """The guidance of a pass of resolved recipes that agree in steps and rule."""
    steps = filled("num_inference_steps", recipes[0].num_inference_steps)
    return Guide(recipes[0].rule, [_scale(recipe) for recipe in recipes], steps)


def _scale(recipe: Recipe) -> float:
    return filled("guidance_scale", recipe.guidance_scale)


def _seed(recipe: Recipe) -> int:
    return filled("seed", recipe.seed)


def first_latents(plan: Plan, recipes: Sequence[Recipe], shape: tuple[int, int, int]) -> Tensor:
    """Unit noise [images, channels, height, width] on the CPU, each image's as its recipe says; `shape` is one's."""
    return torch.cat(
        [first_noise(recipe, generator, shape) for recipe, generator in zip(recipes, plan.generators, strict=True)]
    )
