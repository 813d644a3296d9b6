"""From a name or a path to a loaded model, every part checked before anything is drawn.

A model is a folder in Stable Diffusion's own layout (model_index.json, unet/, vae/, text_encoder/, tokenizer/,
scheduler/), with two files of ours that may be missing: vocabulary.json and defaults.json.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipelines.files import read_json
from pipelines.folders import Defaults as Defaults
from pipelines.folders import locate as locate
from pipelines.model_hash import model_hash
from pipelines.recipe import ModelRef
from pipelines.text import TextEncoder
from pipelines.vae import Vae
from pipelines.vocabulary import Vocabulary
from unet import UNet, load_unet
from xattn.errors import BadModel, BadValue, UnknownName, Unsupported

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}
_PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")


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
