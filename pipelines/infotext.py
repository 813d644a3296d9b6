"""The `parameters` text that web UIs write into pictures and read back: prompts, then one line of settings.

A value is JSON-quoted if and only if it holds a comma, a colon or a line break. The text is for other people's
readers: it is not letter for letter what was asked for; the recipe beside it is.
"""

from __future__ import annotations

import json
import re

from pipelines.prompt import Effect, Syntax, escape
from pipelines.recipe import Recipe
from pipelines.sampler_names import SCHEDULERS
from pipelines.techniques.codec import edit_document

# as AUTOMATIC1111's web UI calls them
UPSCALERS = {"latent-bicubic": "Latent (bicubic)", "latent-nearest": "Latent (nearest)", "pixel-lanczos": "Lanczos"}
# a1111 goes without saying, there too
EFFECTS: dict[Effect, str | None] = {"a1111": None, "comfy": "ComfyUI", "none": "Ignore"}
NEGATIVE = "Negative prompt:"


def infotext(recipe: Recipe, version: str) -> str:
    """The text for a recipe, resolved or not; what is open is left out. `version` such as "xattn 0.1.0"."""
    lines = [_prompt(recipe.prompt, recipe.syntax)]
    if negative := _prompt(recipe.negative_prompt, recipe.syntax):
        lines.append(f"{NEGATIVE} {negative}")
    lines.append(", ".join(f"{key}: {_quoted(value)}" for key, value in _settings(recipe, version)))
    return "\n".join(lines)


def _settings(recipe: Recipe, version: str) -> list[tuple[str, str]]:
    sampler = None if recipe.scheduler is None else SCHEDULERS[recipe.scheduler].label
    sized = recipe.width is not None and recipe.height is not None
    settings = (
        ("Steps", recipe.num_inference_steps),
        ("Sampler", sampler),
        ("Schedule type", "Karras" if recipe.sigmas == "karras" else None),
        ("CFG scale", None if recipe.guidance_scale is None else repr(recipe.guidance_scale).removesuffix(".0")),
        ("CFG Rescale", getattr(recipe.rule, "rescale", None) or None),
        ("Guidance", "APG" if recipe.rule.kind == "apg" else None),
        *_interval(recipe),
        ("Emphasis", EFFECTS[recipe.emphasis]),
        ("Clip skip", recipe.clip_skip + 1 if recipe.clip_skip else None),  # web UIs count the layer that is read
        ("Seed", recipe.seed),
        ("Size", f"{recipe.width}x{recipe.height}" if sized else None),
        ("Model", None if recipe.model is None else recipe.model.portable().name),
        ("RNG", "CPU" if recipe.noise == "cpu" else "NV"),
        ("Variation seed", recipe.variation_seed if recipe.variation_strength else None),
        ("Variation seed strength", recipe.variation_strength or None),
        ("Denoising strength", _denoising(recipe)),
        *_hires(recipe),
        ("Cross attention edits", _edits(recipe)),
        ("Version", version),
    )
    return [(key, str(value)) for key, value in settings if value is not None]


def _interval(recipe: Recipe) -> tuple[tuple[str, float | None], ...]:
    """Guidance at some of the steps, under the names of AUTOMATIC1111 (its beginning) and SD.Next (its end).

    The first tool leaves out step i of n where i / n is at most the number: half a step less than ours says just that.
    """
    rule, steps = recipe.rule, recipe.num_inference_steps
    skipped = 0 if steps is None else rule.steps(steps).start
    begins = round((skipped - 0.5) / steps, 6) if steps and skipped else None
    return (("Skip Early CFG", begins), ("CFG end", None if rule.stop == 1.0 else rule.stop))


def _denoising(recipe: Recipe) -> float | None:
    if recipe.init is not None:
        return recipe.strength
    return recipe.passes[0].denoise if len(recipe.passes) == 1 else None


def _hires(recipe: Recipe) -> tuple[tuple[str, object], ...]:
    """The keys for a second pass; web UIs have none for a third, nor for a second one from a picture.

    Their steps are those that run, where ours are those that `denoise` takes its share of.
    """
    if len(recipe.passes) != 1 or recipe.init is not None:
        return ()
    (upscale,) = recipe.passes
    scale = repr(upscale.scale).removesuffix(".0")
    steps = upscale.steps or recipe.num_inference_steps
    runs = int(steps * upscale.denoise) if steps else 0
    return (("Hires upscale", scale), ("Hires steps", runs or None), ("Hires upscaler", UPSCALERS[upscale.method]))


def _edits(recipe: Recipe) -> str | None:
    """The edits as JSON, so that nobody takes the picture for one that the settings beside them give; painted fields by
    their sha256."""
    edits = [edit_document(edit, identity=True) for edit in recipe.edits if edit.enabled]
    if not edits:
        return None
    return json.dumps(edits, ensure_ascii=False, separators=(",", ":")).replace(NEGATIVE, "Negative prompt :")


def _prompt(text: str, syntax: Syntax) -> str:
    """A prompt such that readers find its end: no white space round its lines, no line that ends it too early.

    Readers take brackets for syntax, so a plain prompt's are escaped.
    """
    text = escape(text) if syntax == "plain" else text
    lines = [line.strip() for line in re.split(r"\r\n|\r|\n", text.replace("\0", ""))]
    # readers take what follows these words for the negative prompt, some of them in the middle of a line too
    return "\n".join(lines).strip().replace(NEGATIVE, "Negative prompt :")


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if re.search(r"[,:\n]", value) else value
