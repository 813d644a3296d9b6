"""What comes out of a run: events while it goes on, and at the end pictures with all that it takes to remake them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.attention_maps import AttentionMaps
from pipelines.provenance import Provenance
from pipelines.recipe import Recipe
from pipelines.stats import RunStats

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class StepEvent:
    """One step is done. `step` counts from 1 to `steps`; `timestep` is the scheduler's; `images` are being drawn.

    latents: [images, channels, height, width] after the step
    """

    step: int
    steps: int
    timestep: float
    images: int
    latents: Tensor
    _decode: Callable[[], list[Image.Image]]
    _look: Callable[[], tuple[AttentionMaps, ...]] | None = None

    @property
    def maps(self) -> tuple[AttentionMaps, ...] | None:
        """The maps so far of each picture of the run; None where none were asked for."""
        return None if self._look is None else self._look()

    def preview(self) -> list[Image.Image]:
        """Where each picture of the run is heading, decoded now; costs one decoding a picture."""
        return self._decode()


@dataclass(frozen=True, slots=True)
class Result:
    """One picture and everything that it takes to make it again.

    blends: where local blending let it differ from its source, by the place of each such edit in `recipe.edits`:
        [height, width] of the latents, 1 where it may, 0 where it has the source's, after the last step that blended
    """

    image: Image.Image
    recipe: Recipe
    provenance: Provenance
    stats: RunStats
    maps: AttentionMaps | None = None
    blends: Mapping[int, NDArray[np.float32]] = field(default_factory=dict)

    def save(self, path: str | Path, *, metadata: bool = True) -> Path:
        """Write a .png, .jpg or .webp, the recipe inside unless `metadata` is False, whole or not at all.

        A JPEG changes bits of the picture, and refers to pictures in the recipe instead of holding them
        (metadata.save_picture). Raises CannotWrite.
        """
        from pipelines.metadata import save_picture

        return save_picture(self, path, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event of a stream."""

    results: tuple[Result, ...]
