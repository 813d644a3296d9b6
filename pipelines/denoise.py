"""The one loop. Everything that a run does step by step is here or hangs from its plan."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from pipelines.canvas import Canvas
from pipelines.plan import Plan
from pipelines.schedulers import Scheduler
from unet import UNet
from xattn.errors import Cancelled, NonFinite


@dataclass(frozen=True, slots=True)
class Denoised:
    """One finished step: `latents` [images, channels, height, width], and where they are heading (`expected`)."""

    index: int
    timestep: float
    latents: Tensor
    expected: Tensor


def denoise(
    unet: UNet, scheduler: Scheduler, canvas: Canvas, plan: Plan, cancel: threading.Event | None = None
) -> Iterator[Denoised]:
    """Yield after every step; the last one holds the final latents.

    `canvas` has the latents that the loop begins with and what it keeps of a given picture; `scheduler` is this run's
    own and has its timesteps. Raises `Cancelled` between two steps once `cancel` is set, `NonFinite` after the last.
    """
    # no_grad ends before each yield: a suspended generator must not leave its caller's thread without gradients
    latents = canvas.latents
    moments = unet.moments(scheduler.timesteps)
    for index, (timestep, moment) in enumerate(zip(scheduler.timesteps, moments, strict=True)):
        if cancel is not None and cancel.is_set():
            raise Cancelled(f"stopped before step {index + 1} of {len(scheduler.timesteps)}")
        with torch.no_grad():
            seen = partial(_seen, canvas, scheduler, timestep)
            latents = plan.before(index, latents, unet, moment, seen, canvas.redrawn)
            step, text = plan.at(index), plan.text(index)
            rows, copies = plan.rows_of(seen(latents), index)
            predicted = unet(rows, moment, text.context, text.added, program=step, copies=copies)
            guided = plan.guidance(plan.by_role(predicted, index))
            given = plan.given_noise(index, latents)
            moved = scheduler.step(guided, timestep, latents, plan.generators, given)
            latents, expected = plan.keep(index, canvas.keep(moved, scheduler, index + 1))
        yield Denoised(index, float(timestep), latents, expected)
    if not bool(torch.isfinite(latents).all()):
        raise NonFinite(
            "The latents hold NaN or infinity after the last step, so there is no picture; "
            "use dtype float32, a lower guidance_scale or another scheduler."
        )


def _seen(canvas: Canvas, scheduler: Scheduler, timestep: Tensor, latents: Tensor) -> Tensor:
    """What the UNet sees of each image at a step, [images, input channels, h, w]."""
    return canvas.seen(scheduler.scale_model_input(latents, timestep))
