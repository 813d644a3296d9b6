"""All words of a picture side by side, as one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipelines.attention_maps import AttentionMaps, Made
from pipelines.figures import contact_sheet

if TYPE_CHECKING:
    from PIL.Image import Image

    from ui.web.runs import Run


def side_by_side(run: Run) -> Image:
    """The contact sheet of the means of a run's maps, which it must have."""
    assert run.maps is not None
    means = np.ascontiguousarray(run.maps.mean())
    maps = AttentionMaps(means, run.maps.words, (), (), Made("mass", "mean", "cond", 1))
    return contact_sheet(run.image, maps, title=run.recipe.prompt)
