"""A model out of a loaded diffusers pipeline, sharing its tensors: see and edit in what already runs.

Nothing of the pipeline is changed, and nothing is copied: the UNet's parameters lie in the same storage, the
autoencoder and the text encoders are the pipeline's own modules. What later changes them in place (a LoRA that is
loaded, a move to another device) is seen here too, and makes the recorded hash of the weights untrue: borrow anew.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipelines import checks
from pipelines.load import Defaults, Model
from pipelines.recipe import ModelRef
from pipelines.text import TextEncoder
from pipelines.tokenizer import Tokenizer
from pipelines.vae import Vae
from pipelines.vocabulary import Vocabulary
from unet import UNet, UNetConfig
from xattn.errors import BadModel

_PIPELINES = ("StableDiffusionPipeline", "StableDiffusionXLPipeline")


@dataclass(frozen=True, slots=True, eq=False)
class BorrowedTower:
    """A text tower of transformers, called as pipelines.towers.Tower is."""

    module: Any
    length: int
    projection: int | None
    vocab_size: int

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        device: torch.device = self.module.device
        return device

    def __call__(self, ids: Tensor, *, skip: int = 0, normed: bool = True) -> tuple[Tensor, Tensor | None]:
        """Hidden states [chunks, length, width] and pooled text [chunks, projection] or None; see Tower."""
        layers = int(self.module.config.num_hidden_layers)
        checks.whole("clip_skip", skip, 0, layers - 1, f"This tower has {layers} layers")
        with torch.no_grad():
            out = self.module(ids, output_hidden_states=True)
            hidden: Tensor = out.hidden_states[-1 - skip]
            if normed:
                text = getattr(self.module, "text_model", self.module)
                hidden = text.final_layer_norm(hidden)
            return hidden, out.text_embeds if self.projection is not None else None


def borrow(pipe: Any, backend: str) -> Model:
    """The model of a StableDiffusionPipeline (1.x, 2.x) or StableDiffusionXLPipeline. Raises BadModel for others."""
    kind = type(pipe).__name__
    missing = [part for part in ("unet", "vae", "text_encoder", "tokenizer", "scheduler") if not hasattr(pipe, part)]
    if missing:
        raise BadModel(f"A {kind} has no {missing[0]}, so it is none of {', '.join(_PIPELINES)}; give one of those.")
    unet = _unet(pipe, backend)
    return Model(
        ref=ModelRef(_name(pipe), _hash(pipe)),
        unet=unet,
        text=_text(pipe),
        vae=Vae.of(pipe.vae, upcast=hasattr(pipe, "text_encoder_2")),
        scheduler_config=dict(pipe.scheduler.config),
        vocabulary=_vocabulary(pipe),
        defaults=Defaults(),
        zero_empty_negative=bool(pipe.config.get("force_zeros_for_empty_prompt", False)),
        dtype=unet.dtype,
        device=unet.device,
    )


def _unet(pipe: Any, backend: str) -> UNet:
    config = UNetConfig.from_dict(dict(pipe.unet.config), source=f"the UNet of this {type(pipe).__name__}")
    with torch.device("meta"):
        unet = UNet(config, backend)
    theirs, ours = pipe.unet.state_dict(), unet.state_dict()
    if theirs.keys() != ours.keys():
        odd = sorted(theirs.keys() ^ ours.keys())[0]
        raise BadModel(
            f"The pipeline's UNet has other parameters than its config says, {odd} for one; unload adapters first "
            "(pipe.fuse_lora() and pipe.unload_lora_weights() keep their effect)."
        )
    unet.load_state_dict(theirs, assign=True)
    return unet.requires_grad_(False).eval()


def _text(pipe: Any) -> TextEncoder:
    suffixes = [suffix for suffix in ("", "_2") if getattr(pipe, f"text_encoder{suffix}", None) is not None]
    tokenizers, towers = [], []
    for suffix in suffixes:
        module = getattr(pipe, f"text_encoder{suffix}")
        with tempfile.TemporaryDirectory() as folder:
            getattr(pipe, f"tokenizer{suffix}").save_pretrained(folder)
            tokenizer = Tokenizer.from_folder(Path(folder), int(module.config.max_position_embeddings))
        projection = int(module.config.projection_dim) if hasattr(module, "text_projection") else None
        towers.append(BorrowedTower(module, tokenizer.length, projection, int(module.config.vocab_size)))
        tokenizers.append(tokenizer)
    if not all(tokenizer.cuts_like(tokenizers[0]) for tokenizer in tokenizers):
        raise BadModel("The pipeline's two tokenizers cut a prompt differently, so its words have no one column.")
    return TextEncoder(tuple(tokenizers), tuple(towers), penultimate="_2" in suffixes)


def _name(pipe: Any) -> str:
    return Path(str(pipe.config.get("_name_or_path") or type(pipe).__name__)).name


def _vocabulary(pipe: Any) -> Vocabulary | None:
    folder = Path(str(pipe.config.get("_name_or_path") or ""))
    return Vocabulary.from_folder(folder) if folder.is_dir() else None


def _hash(pipe: Any) -> str:
    """sha256 over the names and bytes of all tensors: what is in memory counts, wherever it was loaded from."""
    total = hashlib.sha256()
    for part in ("text_encoder", "text_encoder_2", "unet", "vae"):
        module = getattr(pipe, part, None)
        if module is None:
            continue
        for name, tensor in sorted(module.state_dict().items()):
            total.update(f"{part}.{name}, {tensor.dtype}, {tuple(tensor.shape)}\n".encode())
            total.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return total.hexdigest()
