"""From a name or a path to a loaded model, every part checked before anything is drawn.

A model is a folder in Stable Diffusion's own layout (model_index.json, unet/, vae/, text_encoder/, tokenizer/,
scheduler/), with two files of ours that may be missing: vocabulary.json and defaults.json.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

from pipelines.files import read_json
from pipelines.guidance.rules import ClassifierFree
from pipelines.model_hash import model_hash
from pipelines.recipe import EMBEDDED, ModelRef
from pipelines.text import TextEncoder
from pipelines.vae import Vae
from pipelines.vocabulary import Vocabulary
from unet import UNet, load_unet
from xattn.errors import BadModel, BadValue, UnknownName, Unsupported

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}
_PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")


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


@dataclass(frozen=True)
class Model:
    """A loaded model: a value that runs share and never change."""

    ref: ModelRef
    unet: UNet
    text: TextEncoder
    vae: Vae
    scheduler_config: dict[str, Any]
    vocabulary: Vocabulary | None
    defaults: Defaults
    zero_empty_negative: bool
    dtype: torch.dtype
    device: torch.device

    @property
    def native_size(self) -> tuple[int, int]:
        """Width and height in pixels of the pictures that the model was trained on."""
        side = self.unet.config.sample_size or 64
        height, width = (side, side) if isinstance(side, int) else side
        return width * self.vae.factor, height * self.vae.factor

    @property
    def inpaints(self) -> bool:
        """Whether the UNet is shown a mask and the masked picture beside the latents."""
        return self.unet.config.in_channels == 2 * self.vae.channels + 1


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


def check_dtype(name: str) -> torch.dtype:
    """Torch's dtype of that name. Raises UnknownName."""
    if name not in DTYPES:
        raise UnknownName("dtype", name, tuple(DTYPES))
    return DTYPES[name]


def check_device(name: str) -> torch.device:
    """Torch's device of that name, if this machine has it. Raises BadValue, Unsupported."""
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise BadValue("device", name, 'a device that torch knows, such as "cpu", "cuda" or "cuda:1"') from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise Unsupported(f'device is {name!r}, but torch sees no CUDA GPU on this machine; use device="cpu".')
    return device


def load_model(name_or_path: str | Path, *, dtype: str, device: str, backend: str) -> Model:
    """Load and check every part. Raises XattnError with a sentence; nothing is downloaded."""
    kind, where = check_dtype(dtype), check_device(device)
    name, folder = locate(name_or_path)
    for part in _PARTS:
        if not (folder / part).is_dir():
            raise BadModel(
                f"The model folder {folder.name!r} has no {part}/; a Stable Diffusion model folder holds "
                f"{', '.join(f'{p}/' for p in _PARTS)}."
            )
    unet = load_unet(folder / "unet", dtype=kind, device=where, backend=backend)
    text = TextEncoder.from_folder(folder, dtype=kind, device=where)
    vae = Vae.from_folder(folder / "vae", kind, where)
    _check_agreement(folder, unet, vae)
    return Model(
        ref=ModelRef(name, model_hash(folder)),
        unet=unet.eval().requires_grad_(False),
        text=text,
        vae=vae,
        scheduler_config=read_json(folder / "scheduler" / "scheduler_config.json"),
        vocabulary=Vocabulary.from_folder(folder),
        defaults=_load_defaults(folder),
        zero_empty_negative=bool(read_json(folder / "model_index.json").get("force_zeros_for_empty_prompt", False)),
        dtype=kind,
        device=where,
    )


def _load_defaults(folder: Path) -> Defaults:
    path = folder / "defaults.json"
    if not path.is_file():
        return Defaults()
    raw = read_json(path)
    unknown = sorted(set(raw) - set(Defaults.__dataclass_fields__))
    if unknown:
        raise BadModel(
            f"defaults.json has {unknown[0]!r}, but only {', '.join(Defaults.__dataclass_fields__)} are known."
        )
    made = Defaults(**raw)
    try:
        made.guidance  # noqa: B018  an interval that is none is told now
    except BadValue as error:
        raise BadModel(f"defaults.json: {error}") from error
    return made


def _check_agreement(folder: Path, unet: UNet, vae: Vae) -> None:
    if unet.config.in_channels not in (vae.channels, 2 * vae.channels + 1):
        raise BadModel(
            f"In {folder.name!r} the UNet reads {unet.config.in_channels} channels, but with latents of {vae.channels} "
            f"it must be {vae.channels}, or {2 * vae.channels + 1} for inpainting; other kinds are not known here."
        )
    if unet.config.out_channels != vae.channels:
        raise BadModel(
            f"In {folder.name!r} the UNet makes {unet.config.out_channels} latent channels, but the VAE decodes "
            f"{vae.channels}; use a UNet and a VAE of one model."
        )
