"""Schedulers by the names that people know, each a fresh diffusers object for one run.

What diffusers keeps to itself (which class takes which field, where a solver keeps its estimate of the picture) is
known in this file alone. Given a model's scheduler_config.json the steps are diffusers' own, except where diffusers
would crash, divide by zero or take a step too many; each such place says so below.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from pipelines.sampler_names import SCHEDULERS as SCHEDULERS
from pipelines.sampler_names import Sigmas, canonical, check_pair, check_sigmas
from pipelines.scheduler_config import checked
from xattn.errors import BadValue, Unsupported

Config = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class _Solver:
    """How diffusers spells one of our schedulers.

    fixed: fields that the name settles, whatever the model's file says
    generator: `step` takes generators
    multistep: keeps its estimates of the picture in `model_outputs`, and divides by differences of log sigmas
    estimate: where `step`'s output has the estimate of the finished latents, if it has
    """

    cls: str
    fixed: Config = field(default_factory=dict)
    generator: bool = True
    multistep: bool = False
    estimate: Literal["pred_original_sample", "denoised"] | None = None


_SOLVERS: Mapping[str, _Solver] = MappingProxyType(
    {
        "ddim": _Solver("DDIMScheduler", estimate="pred_original_sample"),
        "euler": _Solver("EulerDiscreteScheduler", estimate="pred_original_sample"),
        "euler_a": _Solver("EulerAncestralDiscreteScheduler", estimate="pred_original_sample"),
        "dpmpp_2m": _Solver(
            "DPMSolverMultistepScheduler",
            {"algorithm_type": "dpmsolver++", "solver_order": 2, "solver_type": "midpoint"},
            multistep=True,
        ),
        "dpmpp_2m_sde": _Solver(
            "DPMSolverMultistepScheduler",
            {"algorithm_type": "sde-dpmsolver++", "solver_order": 2, "solver_type": "midpoint"},
            multistep=True,
        ),
        "unipc": _Solver(
            "UniPCMultistepScheduler",
            {"solver_order": 2, "solver_type": "bh2", "predict_x0": True, "solver_p": None, "disable_corrector": []},
            generator=False,
            multistep=True,
        ),
        "lcm": _Solver("LCMScheduler", estimate="denoised"),
    }
)

# Without these fields in its file a model means these, not its class's defaults: latents do not live in [-1, 1],
# and StableDiffusionPipeline corrects both in the same way.
_LATENT_DEFAULTS: Config = MappingProxyType({"clip_sample": False, "steps_offset": 1})


class Step(NamedTuple):
    """`latents` after the step and `expected`, the finished latents as now estimated; both [images, c, h, w]."""

    latents: Tensor
    expected: Tensor


class Scheduler:
    """One run's scheduler: it counts steps and remembers past predictions, so it is made anew for every run."""

    def __init__(self, name: str, inner: Any, solver: _Solver, skipped: int = 0) -> None:
        self.name = name
        self._inner = inner
        self._solver = solver
        self._skipped = skipped

    @property
    def timesteps(self) -> Tensor:
        """[steps that run], descending; floating-point for the Euler family."""
        made: Tensor = self._inner.timesteps[self._skipped :]
        return made

    @property
    def sigmas(self) -> tuple[float, ...]:
        """Standard deviation of the noise before each step that runs, sqrt((1 − ᾱ)/ᾱ), the picture's being 1.

        Zero terminal SNR has none; 4096 stands for it there, as in diffusers' Euler schedulers.
        """
        if hasattr(self._inner, "sigmas"):
            some = self._inner.sigmas[self._skipped : self._skipped + len(self.timesteps)]
            return tuple(min(float(sigma), 4096.0) for sigma in some)
        kept = self._inner.alphas_cumprod[self.timesteps.long().cpu()].double().clamp(min=2**-24)
        return tuple(float(sigma) for sigma in ((1 - kept) / kept).sqrt())

    @property
    def init_noise_sigma(self) -> float:
        """The standard deviation that the first latents need."""
        return float(self._inner.init_noise_sigma)

    def noised(self, clean: Tensor, noise: Tensor, index: int) -> Tensor:
        """Clean latents as noisy as latents are before step `index` of those that run; after the last step, clean.

        clean, noise: [images, c, h, w]; noise of unit variance. `index` is the step that the run has come to: some of
        diffusers' schedulers count by themselves and do not ask.
        """
        timesteps = self.timesteps[index : index + 1]
        if not len(timesteps):
            return clean
        made: Tensor = self._inner.add_noise(clean, noise, timesteps)
        return made

    def scale_model_input(self, latents: Tensor, timestep: Tensor) -> Tensor:
        """The latents as the UNet wants them at this step: of unit variance."""
        made: Tensor = self._inner.scale_model_input(latents, timestep)
        return made

    def step(
        self,
        predicted: Tensor,
        timestep: Tensor,
        latents: Tensor,
        generators: Sequence[torch.Generator],
        given: Mapping[int, Tensor] = MappingProxyType({}),
    ) -> Step:
        """One step towards the picture.

        predicted, latents: [images, c, h, w]. generators: one CPU generator an image, from which a stochastic
        sampler draws that image's noise, so an image does not depend on its batch. given: by image, unit noise
        [c, h, w] that it takes instead; only for schedulers that take it (SamplerName.takes_noise).
        """
        if self._solver.generator:
            out = self._inner.step(predicted, timestep, latents, generator=list(generators))
        else:
            out = self._inner.step(predicted, timestep, latents)
        if self._solver.estimate is not None:
            expected = getattr(out, self._solver.estimate)
        else:
            expected = self._inner.model_outputs[-1]
        moved = out.prev_sample
        if given:
            moved = moved.clone()
            for image, noise in given.items():
                step = self._again if self.name == "lcm" else self._ancestral
                moved[image] = step(latents[image], expected[image], noise)
        return Step(moved, expected.to(latents.dtype))

    def _ancestral(self, latents: Tensor, expected: Tensor, noise: Tensor) -> Tensor:
        """The step just taken, of one image, with this noise; all [c, h, w], in units of sigma, as `step` has them.

        x' = x0 + (x - x0) down/sigma + up noise, with up^2 = next^2 (sigma^2 - next^2)/sigma^2, down^2 + up^2 = next^2:
        Euler's step, with the noise of ancestral sampling (Song et al. 2021, "Score-Based Generative Modeling",
        appendix F). diffusers draws the noise itself and takes none.
        """
        place = self._inner.step_index - 1
        sigma, following = (float(self._inner.sigmas[at]) for at in (place, place + 1))
        up = following * math.sqrt(max(0.0, sigma**2 - following**2)) / sigma
        down = math.sqrt(following**2 - up**2)
        wide, clean = latents.float(), expected.float()
        moved = clean + (wide - clean) * (down / sigma) + noise.float() * up
        return moved.to(latents.dtype)

    def _again(self, latents: Tensor, expected: Tensor, noise: Tensor) -> Tensor:
        """The step just taken by an LCM, of one image, with this noise; all [c, h, w].

        x' = √ᾱ' x0 + √(1 − ᾱ') noise, ᾱ' of the next timestep; the last step is x0 (Luo et al. 2023, "Latent
        Consistency Models", algorithm 3).
        """
        if self._inner.step_index >= len(self._inner.timesteps):
            return expected.to(latents.dtype)
        kept = float(self._inner.alphas_cumprod[self._inner.timesteps[self._inner.step_index]])
        moved = math.sqrt(kept) * expected.float() + math.sqrt(1 - kept) * noise.float()
        return moved.to(latents.dtype)


def make_scheduler(
    name: str,
    config: Config,
    sigmas: Sigmas = "model",
    steps: int = 20,
    device: torch.device | str = "cpu",
    *,
    skipped: int = 0,
) -> Scheduler:
    """A fresh scheduler, its `steps` timesteps set.

    config: the model's scheduler/scheduler_config.json, whichever class of diffusers wrote it
    sigmas: "model" as the config says, "karras" for Karras et al. 2022, equation 5
    skipped: how many steps at the noisy end do not run, where a picture is given to begin with

    Raises UnknownName; BadModel where the config is no diffusion model's; Unsupported where the scheduler cannot do
    what model or sigmas ask; BadValue where it cannot take that many steps.
    """
    ours, implied = canonical(name)
    sigmas = implied or check_sigmas(sigmas)
    check_pair(ours, sigmas)
    solver = _SOLVERS[ours]
    arguments = _arguments(ours, solver, checked(config), sigmas)
    inner = _diffusers_class(solver)(**arguments)
    if not _set_timesteps(inner, solver, steps, device):
        _refuse(ours, solver, arguments, steps)
    if skipped and hasattr(inner, "set_begin_index"):
        inner.set_begin_index(skipped)
    return Scheduler(ours, inner, solver, skipped)


def kept(config: Config) -> Tensor:
    """ᾱ of every step that the model was trained on, [steps], float32: how much of the picture's variance is left."""
    solver = _SOLVERS["ddim"]
    made: Tensor = _diffusers_class(solver)(**_arguments("ddim", solver, checked(config), "model")).alphas_cumprod
    return made


def _diffusers_class(solver: _Solver) -> Any:
    import diffusers  # takes seconds: only who draws pays for it

    return getattr(diffusers, solver.cls)


def _arguments(name: str, solver: _Solver, config: Config, sigmas: Sigmas) -> dict[str, object]:
    """The fields of the config that this class takes, then what the name and `sigmas` settle."""
    accepted = set(inspect.signature(_diffusers_class(solver).__init__).parameters) - {"self"}
    if config.get("prediction_type") == "sample" and name == "euler_a":
        raise Unsupported(
            'The scheduler euler_a cannot run a model whose prediction_type is "sample"; '
            "use one of ddim, euler, dpmpp_2m, dpmpp_2m_sde, unipc, lcm."
        )
    given = {key: value for key, value in {**_LATENT_DEFAULTS, **config}.items() if key in accepted}
    if sigmas == "karras":
        spacings = ("use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas")
        given.update(dict.fromkeys(accepted.intersection(spacings), False), use_karras_sigmas=True)
    return {**given, **solver.fixed}


def _set_timesteps(inner: Any, solver: _Solver, steps: int, device: torch.device | str) -> bool:
    """Set the timesteps; False where this scheduler cannot take that many steps."""
    trained = int(inner.config.num_train_timesteps)
    if steps > int(inner.config.get("original_inference_steps", trained)):
        return False
    inner.set_timesteps(steps, device=device)
    if hasattr(inner, "set_begin_index"):
        # Karras timesteps are rounded and may repeat; without this diffusers would begin at the second of two equal
        # ones and run past the end
        inner.set_begin_index(0)
    _drop_surplus(inner, steps)
    first, last = float(inner.timesteps[0]), float(inner.timesteps[-1])
    # "leading" and "linspace" with one step begin at the clean end, and pure noise would come out
    if last < 0 or first > trained - 1 or first < (trained - 1) / 2:
        return False
    # two equal sigmas make a multistep solver divide by zero
    return not solver.multistep or bool((inner.sigmas.diff() < 0).all())


def _drop_surplus(inner: Any, steps: int) -> None:
    """Take back the step too many that "trailing" makes for 61, 103, 121… steps, at timestep −1.

    There arange(1000, 0, −1000/steps) ends a rounding error above zero.
    """
    if len(inner.timesteps) == steps:
        return
    inner.timesteps = inner.timesteps[:steps]
    if hasattr(inner, "sigmas"):
        inner.sigmas = torch.cat([inner.sigmas[:steps], inner.sigmas[-1:]])
    inner.num_inference_steps = steps


def _refuse(name: str, solver: _Solver, arguments: dict[str, object], steps: int) -> None:
    """Say how many steps would do."""
    cls = _diffusers_class(solver)
    trained = int(cls(**arguments).config.num_train_timesteps)
    fewer_first = [*range(min(steps - 1, trained), 0, -1), *range(steps + 1, trained + 1)]
    able = next((n for n in fewer_first if _set_timesteps(cls(**arguments), solver, n, "cpu")), None)
    remedy = "" if able is None else f"The nearest that works is {able}"
    spacing = arguments.get("timestep_spacing")
    with_spacing = f' with its timesteps spaced "{spacing}"' if spacing and name != "lcm" else ""
    raise BadValue("num_inference_steps", steps, f"a number that {name} can take on this model{with_spacing}", remedy)
