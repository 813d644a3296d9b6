"""The passes of a resolved recipe, each as the loop needs it: a size, a number of steps, and where it begins."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

from pipelines.checks import filled
from pipelines.recipe import MAX_SIDE, Recipe
from pipelines.upscale import Method
from xattn.errors import BadValue


@dataclass(frozen=True, slots=True)
class Stage:
    """One pass through the loop.

    recipe: of one picture, its size and num_inference_steps being this pass's own
    runs: how many of those steps run; the others, at the noisy end, are what the pass begins without
    method: how the result of the pass before is enlarged; None for the first pass
    """

    recipe: Recipe
    runs: int
    method: Method | None = None

    @property
    def skipped(self) -> int:
        """How many steps at the noisy end do not run."""
        return filled("num_inference_steps", self.recipe.num_inference_steps) - self.runs

    @property
    def planned(self) -> Recipe:
        """The recipe with the steps that run: "from half of the steps on" means half of those."""
        return replace(self.recipe, num_inference_steps=max(1, self.runs))

    def __str__(self) -> str:
        recipe = self.recipe
        steps = f"{self.runs} of {recipe.num_inference_steps}" if self.skipped else str(self.runs)
        given = "in a mask" if recipe.mask else "from a picture" if recipe.init else ""
        begins = given if self.method is None else f"enlarged by {self.method}"
        return f"{steps} steps of {recipe.scheduler}, {recipe.width}×{recipe.height}{begins and f', {begins}'}"


def stages(recipe: Recipe) -> tuple[Stage, ...]:
    """The passes of a resolved recipe, in order.

    Raises BadValue where `strength` or `denoise` asks for less than one step, or a pass for too large a picture.
    """
    steps = filled("num_inference_steps", recipe.num_inference_steps)
    runs = steps if recipe.init is None else _share("strength", recipe.strength, steps)
    made = [Stage(recipe, runs)]
    for upscale in recipe.passes:
        before = made[-1].recipe
        width, height = (upscale.enlarged(filled("size", side)) for side in (before.width, before.height))
        if max(width, height) > MAX_SIDE:
            raise BadValue(
                "passes.scale",
                upscale.scale,
                f"such that no side passes {MAX_SIDE}; this would be {width}x{height}",
                "Begin smaller, or scale less",
            )
        if (width, height) == (before.width, before.height):
            raise BadValue("passes.scale", upscale.scale, f"enough to enlarge {width}x{height} by 8 pixels", "Try 2")
        own = upscale.steps or steps
        larger = replace(recipe, width=width, height=height, num_inference_steps=own)
        made.append(Stage(larger, _share("passes.denoise", upscale.denoise, own), upscale.method))
    return tuple(made)


def _share(parameter: str, strength: float, steps: int) -> int:
    """How many of the steps run, rounded down as diffusers does."""
    runs = min(int(steps * strength), steps)
    if strength and not runs:
        least = ceil(1000 / steps) / 1000
        raise BadValue(parameter, strength, f"0, or enough for one of {steps} steps", f"Give {least:g} or more steps")
    return runs
