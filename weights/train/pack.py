"""From a run to the model folder that ships, and back: the committed weights are enough to train on.

The folder has Stable Diffusion's own layout, so vanilla diffusers runs it, with float16 tensors.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import diffusers
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextModel, CLIPTokenizer

from weights.train import card, stages, unet
from weights.train.draw import GUIDANCE
from weights.train.history import history
from weights.train.tint import PLAIN, TINTS
from weights.train.unet import Pair
from weights.train.world import world

LIMIT = 40_000_000
"""Bytes that a packed model may take."""
DEFAULTS: dict[str, int | float | str] = {"num_inference_steps": 20, "guidance_scale": GUIDANCE, "scheduler": "ddim"}
INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": diffusers.__version__,
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


def pack(run: Path, model: Path, *, machine: str | None = None, limit: int = LIMIT) -> int:
    """Write the run's averaged weights as a model folder, replacing what was there. Returns its size in bytes.

    Figures of the model before it go with it: `evaluate --keep` makes new ones. Raises ValueError above `limit` bytes,
    before anything is replaced.
    """
    tokenizer = run / "tokenizer"
    vae = stages.load_autoencoder(run)
    pair = stages.load_pair(run, len(json.loads((tokenizer / "vocab.json").read_text())))
    building = model.with_name(model.name + ".new")
    shutil.rmtree(building, ignore_errors=True)
    shutil.copytree(tokenizer, building / "tokenizer")
    for part, name in ((vae, "vae"), (pair.unet, "unet"), (pair.text, "text_encoder")):
        part.half().save_pretrained(str(building / name))
    # trailing timesteps ignore the offset, but vanilla diffusers warns of any other than 1
    DDIMScheduler.from_config(unet.scheduler().config, steps_offset=1).save_pretrained(str(building / "scheduler"))
    # transformers takes the dtype to compute in from here; float16 beside a float32 UNet would fail
    _amend(building / "text_encoder" / "config.json", dtype="float32")
    for config in sorted(building.rglob("*.json")):
        _forget_path(config)
    for tensors in building.rglob("*.safetensors"):
        tensors.chmod(0o644)  # safetensors writes for the owner alone
    _write(building / "model_index.json", INDEX)
    _write(building / "defaults.json", DEFAULTS)
    _write(building / "vocabulary.json", vocabulary())
    _write(building / "training.json", history(run, machine))
    size = size_of(building)
    if size > limit:
        raise ValueError(f"The model takes {size:,} bytes, more than {limit:,}: it is left in {building}.")
    shutil.rmtree(model, ignore_errors=True)
    building.rename(model)
    card.write(model)
    return size_of(model)


def unpack(model: Path, run: Path) -> None:
    """Make a run that trains on from a model folder alone: its autoencoder, its tokenizer, `start.pt`, its hours.

    Raises FileExistsError where the run has states of its own, which would be lost or mixed.
    """
    states = [
        name
        for name in ("vae.pt", "vae_final.pt", "text.pt", "unet.pt", "decoder.pt", "start.pt")
        if (run / name).exists()
    ]
    if states:
        raise FileExistsError(f"{run} already holds {', '.join(states)}: start from {model} in an empty folder.")
    run.mkdir(parents=True, exist_ok=True)
    shutil.copytree(model / "tokenizer", run / "tokenizer", dirs_exist_ok=True)
    shutil.copy(model / "training.json", run / "before.json")
    vae = AutoencoderKL.from_pretrained(str(model / "vae"), torch_dtype=torch.float32)
    torch.save(vae.state_dict(), run / "vae_final.pt")
    torch.save(start_pair(model).state_dict(), run / "start.pt")


def start_pair(model: Path) -> Pair:
    """The packed UNet and text tower in the classes that train, in float32."""
    tokenizer = CLIPTokenizer.from_pretrained(str(model / "tokenizer"))
    pair = stages.new_pair(len(tokenizer))
    packed_unet = UNet2DConditionModel.from_pretrained(str(model / "unet"), torch_dtype=torch.float32)
    packed_text = CLIPTextModel.from_pretrained(str(model / "text_encoder"), dtype=torch.float32)
    _fill(pair.unet, packed_unet)
    _fill(pair.text, packed_text)
    return pair


def vocabulary() -> dict[str, object]:
    """The words that the model knows, by kind."""
    known = world()
    fillers = [word for word in stages.FILLERS if word not in known.relations]
    kinds = {
        "object": list(known.objects),
        "color": list(known.colors),
        "relation": list(known.relations),
        "filler": fillers,
        # objects and colours once more: which objects a prompt may colour, and how
        "colorable": list(PLAIN),
        "tint": list(TINTS),
    }
    return {"version": 1, "kinds": kinds}


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _fill(model: nn.Module, other: nn.Module) -> None:
    model.load_state_dict(other.state_dict())


def _write(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _amend(path: Path, **values: object) -> None:
    _write(path, json.loads(path.read_text(encoding="utf-8")) | values)


def _forget_path(path: Path) -> None:
    """Drop `_name_or_path`: where a model was loaded from is nobody's business."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(content, dict) and "_name_or_path" in content:
        del content["_name_or_path"]
        _write(path, content)
