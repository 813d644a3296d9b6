"""Read a UNet from the folder that diffusers writes: `config.json` and safetensors, whole or in shards.

Everything is compared before a tensor is read: each key the config asks for must be there with its shape, and no other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from unet.config import UNetConfig
from unet.model import UNet
from xattn.errors import BadModel, BadValue

CONFIG = "config.json"
WEIGHTS = "diffusion_pytorch_model.safetensors"
INDEX = "diffusion_pytorch_model.safetensors.index.json"
_PICKLES = (".ckpt", ".bin", ".pt", ".pth")
_STORED = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def load_unet(
    folder: str | PathLike[str],
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    backend: str = "auto",
) -> UNet:
    """The UNet in `folder`, in evaluation mode, its weights as `dtype` on `device` and without gradients.

    Raises BadModel, naming file and key, where the folder is none, its config asks for what is not implemented, a
    file is cut short or of another kind, or weights and config disagree; BadValue for a dtype that is not floating.
    """
    if not dtype.is_floating_point:
        raise BadValue("dtype", dtype, "a floating dtype: torch.float32, torch.bfloat16 or torch.float16")
    path = Path(folder)
    config = read_config(path)
    with torch.device("meta"):
        unet = UNet(config, backend)
    expected = {key: tuple(value.shape) for key, value in unet.state_dict().items()}
    files = _weight_files(path)
    stored = [_read_header(file) for file in files]
    _check(expected, stored)
    tensors: dict[str, Tensor] = {}
    for header in stored:
        tensors.update(_read_tensors(header, dtype, device))
    unet.load_state_dict(tensors, assign=True)
    return unet.requires_grad_(False).eval()


def read_config(folder: Path) -> UNetConfig:
    """The config in `folder`. Raises BadModel where there is none or it is not a UNet's."""
    if not folder.is_dir():
        kind = "is a file" if folder.exists() else "does not exist"
        raise BadModel(f"{folder} {kind}, but a UNet is a folder with {CONFIG} and {WEIGHTS}, as diffusers writes it.")
    file = folder / CONFIG
    if not file.is_file():
        inner = folder / "unet" / CONFIG
        remedy = f"give its folder {folder / 'unet'}" if inner.is_file() else "give a folder that diffusers wrote"
        raise BadModel(f"{folder} holds no {CONFIG}, which says what the UNet looks like; {remedy}.")
    return UNetConfig.from_dict(_read_json(file), source=str(file))


@dataclass(frozen=True, slots=True)
class _Header:
    """What a safetensors file says it holds."""

    file: Path
    shapes: Mapping[str, tuple[int, ...]]


def _read_json(file: Path) -> dict[str, object]:
    try:
        parsed = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadModel(f"{file} is not JSON ({error}); get the file again from where the model came from.") from error
    if not isinstance(parsed, dict):
        raise BadModel(f"{file} holds a {type(parsed).__name__}, but it must hold a JSON object of settings.")
    return parsed


def _weight_files(folder: Path) -> list[Path]:
    """The safetensors of a folder: the one file, or the shards of its index."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if (folder / INDEX).is_file():
        return _shards(folder / INDEX)
    others = sorted(file.name for file in folder.iterdir() if file.suffix in (*_PICKLES, ".safetensors"))
    if not others:
        raise BadModel(f"{folder} holds no weights: {WEIGHTS} is missing; get it from where the model came from.")
    if any(name.endswith(".safetensors") for name in others):
        found = next(name for name in others if name.endswith(".safetensors"))
        raise BadModel(f"{folder} holds {found}, but the weights must be called {WEIGHTS}; rename the file.")
    raise BadModel(
        f"{folder / others[0]} is a pickle, which can run any code when it is opened, but weights must be in "
        f"{WEIGHTS}; convert it with diffusers' save_pretrained."
    )


def _shards(index: Path) -> list[Path]:
    names = _read_json(index).get("weight_map")
    if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
        raise BadModel(
            f"{index} has no weight_map from keys to file names; get it again from where the model came from."
        )
    files = []
    for name in sorted(set(names.values())):
        # A name that leads out of the folder is never followed.
        if Path(name).name != name or Path(name).suffix != ".safetensors":
            raise BadModel(f"{index} names the shard {name!r}, but a shard must be a safetensors file beside it.")
        if not (index.parent / name).is_file():
            raise BadModel(f"{index.parent} lacks the shard {name}, which {index.name} names; get it as well.")
        files.append(index.parent / name)
    return files


def _read_header(file: Path) -> _Header:
    shapes: dict[str, tuple[int, ...]] = {}
    try:
        with safe_open(file, framework="pt") as opened:
            for key in opened.keys():  # noqa: SIM118  not a dict
                part = opened.get_slice(key)
                if part.get_dtype() not in _STORED:
                    raise BadModel(
                        f"{file} stores {key} as {part.get_dtype()}, but weights must be one of "
                        f"{', '.join(_STORED)}; use the model's unquantised weights."
                    )
                shapes[key] = tuple(part.get_shape())
    except SafetensorError as error:
        raise BadModel(
            f"{file} is no whole safetensors file ({error}): it is cut short or of another kind; "
            "get it again from where the model came from."
        ) from error
    return _Header(file, shapes)


def _check(expected: Mapping[str, tuple[int, ...]], stored: list[_Header]) -> None:
    """Raise BadModel for the first key that is missing, unexpected, twice there, or of another shape."""
    where: dict[str, _Header] = {}
    for header in stored:
        for key in header.shapes:
            if key in where:
                raise BadModel(f"{header.file} holds {key}, and so does {where[key].file.name}; keep one of them.")
            where[key] = header
    files = f"{stored[0].file}" if len(stored) == 1 else f"{stored[0].file.parent} ({len(stored)} shards)"
    if not where.keys() & expected.keys():
        example = min(where, default=None)
        holds = "nothing" if example is None else f"{len(where)} tensors such as {example}"
        raise BadModel(
            f"{files} holds {holds}, but a UNet's are called as diffusers calls them, {min(expected)} for one; "
            "convert an original single-file checkpoint with diffusers first."
        )
    for key, shape in expected.items():
        if key not in where:
            raise BadModel(
                f"{files} lacks {key} {list(shape)}{_more(expected.keys() - where.keys())}, which {CONFIG} asks for; "
                f"use the {CONFIG} that belongs to these weights."
            )
        found = where[key].shapes[key]
        if found != shape:
            raise BadModel(
                f"{where[key].file} holds {key} as {list(found)}, but {CONFIG} makes it {list(shape)}; "
                f"use the {CONFIG} that belongs to these weights."
            )
    unexpected = where.keys() - expected.keys()
    if unexpected:
        key = min(unexpected)
        raise BadModel(
            f"{where[key].file} holds {key} {list(where[key].shapes[key])}{_more(unexpected)}, which {CONFIG} has no "
            f"place for; use the {CONFIG} that belongs to these weights."
        )


def _more(keys: set[str]) -> str:
    return f" and {len(keys) - 1} more" if len(keys) > 1 else ""


def _read_tensors(header: _Header, dtype: torch.dtype, device: str | torch.device) -> dict[str, Tensor]:
    try:
        with safe_open(header.file, framework="pt") as opened:
            # A copy: the tensors that safetensors gives are the file itself in memory, and would change with it.
            return {key: opened.get_tensor(key).to(device=device, dtype=dtype, copy=True) for key in header.shapes}
    except SafetensorError as error:
        raise BadModel(f"{header.file} could not be read to its end ({error}); get it again.") from error
