"""Where a model's folder is, and what its defaults.json may say. Needs no torch, so that a page can begin before it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from pipelines.guidance.rules import ClassifierFree
from pipelines.recipe import EMBEDDED
from xattn.errors import BadModel, UnknownName


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a recipe's open fields become for this model."""

    num_inference_steps: int = 20
    guidance_scale: float = 7.5
    scheduler: str = "ddim"
    guidance_start: float = 0.0
    guidance_stop: float = 1.0

    @property
    def guidance(self) -> ClassifierFree | None:
        """The rule that a recipe without one gets; None where that is the plain one, so that old hashes stay."""
        rule = ClassifierFree(start=self.guidance_start, stop=self.guidance_stop)
        return None if rule == ClassifierFree() else rule


def locate(name_or_path: str | Path) -> tuple[str, Path]:
    """The model's name and folder. Raises UnknownName, BadModel."""
    if str(name_or_path) == EMBEDDED:
        return EMBEDDED, _embedded()
    folder = Path(name_or_path).expanduser()
    if folder.is_dir():
        resolved = folder.resolve()
        if not (resolved / "model_index.json").is_file():
            raise BadModel(
                f"{str(folder)!r} is a folder without model_index.json, so it is no Stable Diffusion model folder; "
                "give the folder that holds model_index.json, unet/, vae/, text_encoder/, tokenizer/ and scheduler/."
            )
        return resolved.name, resolved
    if folder.is_file():
        raise BadModel(
            f"{str(folder)!r} is a single file, but a model is a folder in diffusers' layout; convert it once with "
            "diffusers (StableDiffusionPipeline.from_single_file(…).save_pretrained(folder)) and give the folder."
        )
    raise UnknownName("model", str(name_or_path), (EMBEDDED,), "Or give the path of a model's folder.")


def _embedded() -> Path:
    installed = Path(str(files("xattn"))) / "_models" / EMBEDDED
    cloned = Path(__file__).resolve().parent.parent / "weights" / EMBEDDED
    for folder in (installed, cloned):
        if (folder / "model_index.json").is_file():
            return folder
    raise BadModel(
        f"The embedded model {EMBEDDED} is not in this installation; clone the whole repository or install the wheel."
    )
