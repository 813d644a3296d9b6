"""A picture to show to others: one HTML file with its maps and the viewer, which works anywhere and asks no host."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from PIL import Image

from ui.web.viewer.data import Mode
from ui.web.viewer.page import LIMIT, fitting, page
from ui.web.views import data_url, small_url, view_of

if TYPE_CHECKING:
    from ui.web.runs import Run
    from ui.web.viewer.data import Block

_CODE = 260_000
"""Bytes kept for the viewer's own code, the words and the recipe."""
_PICTURE = 900_000
"""Characters of a picture."""


def share_page(run: Run) -> str:
    """The file's text, under 3 MB; what of the maps does not fit is averaged over an axis, steps last."""
    view = view_of(run)
    before = None if run.before is None else _light(run.before)
    view = replace(view, picture=_light(run.image), before=before, fields={}, regions=(), plain=False)
    recipe = run.recipe.portable().to_json()
    budget = LIMIT - _CODE - len(recipe) - len(view.picture or "") - len(view.before or "")
    modes: list[Mode] = ["look", "words"]
    shown = replace(
        view,
        maps=_fitting(run, view.maps, budget),
        modes=tuple([*modes, "compare"] if before else modes) if run.maps is not None else None,
        mode="look" if run.maps is not None else None,
    )
    about = {
        "Prompt": run.recipe.prompt,
        "Seed": str(run.recipe.seed),
        "Steps": str(run.recipe.num_inference_steps),
        "Model": run.recipe.portable().model.name if run.recipe.model is not None else "",  # type: ignore[union-attr]
    }
    return page(shown, title=run.recipe.prompt, about=about, recipe=recipe)


def _light(image: Image.Image) -> str:
    """As small_url, and smaller where that is still too large: two of them leave room for maps."""
    url = small_url(image)
    while len(url) > _PICTURE:
        image = image.resize((max(1, image.width * 3 // 4), max(1, image.height * 3 // 4)), Image.Resampling.LANCZOS)
        url = data_url(image, "JPEG")
    return url


def _fitting(run: Run, blocks: tuple[Block, ...], budget: int) -> tuple[Block, ...]:
    """The joint block where it fits; else means, steps, and layers and heads, in this order of worth."""
    if run.maps is None:
        return ()
    if len(json.dumps([block.to_json(compress=True) for block in blocks])) <= budget:
        return blocks
    return fitting(run.maps.marginals(), budget=budget)
