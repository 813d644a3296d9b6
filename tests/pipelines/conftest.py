"""Small real models: a whole one, CLIP's true tokenizer, and random, well-scaled towers as transformers writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pipelines.pipeline import Pipeline
from tests.models import write_model
from weights.train import tokenizer as clip


@pytest.fixture(scope="session")
def sd1_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CLIP's whole tokenizer, padded with end-of-text as in SD 1."""
    folder = tmp_path_factory.mktemp("tokenizer")
    assert clip.write(folder, clip.clip_merges()) == 49_408
    return folder


@pytest.fixture(scope="session")
def sd2_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, padded with "!" as in SD 2 and in SDXL's second tokenizer."""
    folder = tmp_path_factory.mktemp("tokenizer")
    clip.write(folder, clip.clip_merges(), pad_token="!")
    return folder


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Stable Diffusion 1 in small, which draws 64 pixels."""
    return write_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def pipe(folder: Path) -> Pipeline:
    """That model, loaded. A run leaves it as it was, so all tests may share it."""
    return Pipeline.from_pretrained(folder)


def scale_weights(module: nn.Module, seed: int) -> None:
    """Weights that keep activations near one, so that a wrong layer or activation cannot hide."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if "norm" in name:
            parameter.data = 0.2 * noise + (1.0 if name.endswith("weight") else 0.0)
        elif parameter.ndim == 1:
            parameter.data = 0.2 * noise
        else:
            parameter.data = noise if "embedding" in name else noise * parameter.shape[-1] ** -0.5


TowerMaker = Callable[..., Any]


@pytest.fixture(scope="session")
def write_tower() -> TowerMaker:
    """`write_tower(folder, seed=0, projection=False, dtype=float32, **config)` → transformers' model, saved there."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    def write(
        folder: Path, *, seed: int = 0, projection: bool = False, dtype: torch.dtype = torch.float32, **config: object
    ) -> Any:
        small: dict[str, Any] = {
            "vocab_size": 49_408,
            "hidden_size": 32,
            "intermediate_size": 72,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "projection_dim": 24,
            "pad_token_id": 1,
        }
        kind = CLIPTextModelWithProjection if projection else CLIPTextModel
        model = kind(CLIPTextConfig(**(small | config))).eval()
        scale_weights(model, seed)
        model.to(dtype).save_pretrained(folder)
        return model.float()

    return write
