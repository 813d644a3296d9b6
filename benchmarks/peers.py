"""Who is measured: ours and diffusers, on the same tensors, each as it comes and tuned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from xattn import Pipeline, Recipe, StepEvent

Setting = Literal["plain", "tuned", "medium"]
SETTINGS: tuple[Setting, ...] = ("plain", "tuned", "medium")
Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Task:
    """One picture to be drawn by everyone: DDIM, the noise being torch's CPU noise for `seed`."""

    prompt: str
    negative_prompt: str
    steps: int
    guidance_scale: float
    width: int
    height: int
    seed: int = 7


class Peer(Protocol):
    """Someone who draws. `draw` goes from the prompt to pixels; `denoise` ends before the autoencoder."""

    @property
    def name(self) -> str:
        """Who it is in the table."""

    def draw(self, task: Task) -> Picture:
        """The picture [height, width, 3]."""

    def denoise(self, task: Task) -> None:
        """The same without decoding."""


@dataclass(frozen=True, slots=True)
class Ours:
    """xattn's pipeline."""

    pipe: Pipeline
    name: str = "xattn"

    def draw(self, task: Task) -> Picture:
        """The picture [height, width, 3]."""
        return np.asarray(self.pipe(self._recipe(task)).image)

    def denoise(self, task: Task) -> None:
        """The same without decoding: the stream is closed after its last step."""
        for event in self.pipe.stream(self._recipe(task)):
            if isinstance(event, StepEvent) and event.step == event.steps:
                return

    def _recipe(self, task: Task) -> Recipe:
        return Recipe(
            task.prompt,
            negative_prompt=task.negative_prompt,
            seed=task.seed,
            num_inference_steps=task.steps,
            guidance_scale=task.guidance_scale,
            scheduler="ddim",
            width=task.width,
            height=task.height,
        )


@dataclass(frozen=True, slots=True)
class Theirs:
    """diffusers' StableDiffusionPipeline."""

    pipe: Any
    name: str = "diffusers"

    def draw(self, task: Task) -> Picture:
        """The picture [height, width, 3]."""
        return np.asarray(self._call(task, "pil")[0])

    def denoise(self, task: Task) -> None:
        """The same without decoding."""
        self._call(task, "latent")

    def _call(self, task: Task, output_type: str) -> Any:
        return self.pipe(
            task.prompt,
            negative_prompt=task.negative_prompt,
            num_inference_steps=task.steps,
            guidance_scale=task.guidance_scale,
            width=task.width,
            height=task.height,
            generator=torch.Generator().manual_seed(task.seed),
            output_type=output_type,
        ).images


def load(folder: Path, dtype: str, *, tuned: bool) -> tuple[Ours, Theirs]:
    """Both on one set of tensors: ours borrows them from diffusers' pipeline.

    tuned: what diffusers' pages on speed say for a run without a compiler. `channels_last` goes to both; fused
    projections are diffusers' own.
    """
    theirs = load_theirs(folder, dtype)
    if tuned:
        theirs.unet.to(memory_format=torch.channels_last)
        theirs.vae.to(memory_format=torch.channels_last)
    ours = Pipeline.from_diffusers(theirs)
    if tuned:
        theirs.fuse_qkv_projections()
    return Ours(ours), Theirs(theirs)


def load_theirs(folder: Path, dtype: str) -> Any:
    """diffusers' pipeline as it comes, but for its progress bars."""
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.disable_progress_bar()
    made = diffusers.StableDiffusionPipeline.from_pretrained(
        str(folder), dtype=getattr(torch, dtype), local_files_only=True
    )
    made.set_progress_bar_config(disable=True)
    return made


def everyone(folder: Path, dtype: str, settings: Sequence[Setting]) -> Mapping[Setting, tuple[Ours, Theirs]]:
    """Both peers in these settings; "medium" differs from "tuned" in `precision` alone."""
    loaded = {tuned: load(folder, dtype, tuned=tuned) for tuned in sorted({one != "plain" for one in settings})}
    return {one: loaded[one != "plain"] for one in settings}


@contextmanager
def precision(setting: Setting) -> Iterator[None]:
    """The process-wide precision of float32 products, for both peers alike, and back again."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium" if setting == "medium" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
