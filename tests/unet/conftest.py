"""Small UNets of every form, as diffusers builds them and as we do, with the same well-scaled weights.

Random weights as torch initialises them make a poor oracle: attention is all but uniform, so a wrong scale or a swapped
key hides below the tolerance. Here every layer keeps its input's size and the scores have a deviation of 3.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from unet import Added, UNet, UNetConfig

SCORE_DEVIATION = 3.0

CROSS3 = {
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
}
SMALL = {**CROSS3, "block_out_channels": (16, 32, 32), "norm_num_groups": 8, "cross_attention_dim": 24}

SHAPES: Mapping[str, Mapping[str, object]] = {
    "sd1": {**SMALL, "layers_per_block": 2, "attention_head_dim": 4},
    "sd2": {**SMALL, "layers_per_block": 2, "attention_head_dim": [2, 4, 4], "use_linear_projection": True},
    "sdxl": {
        "block_out_channels": (16, 32, 48),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "norm_num_groups": 8,
        "layers_per_block": 2,
        "cross_attention_dim": 24,
        "attention_head_dim": [2, 4, 6],
        "transformer_layers_per_block": [1, 2, 3],
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 20 + 6 * 8,
    },
    "sdxl-reversed": {
        **SMALL,
        "layers_per_block": 1,
        "attention_head_dim": 4,
        "transformer_layers_per_block": [[2], [1], 1],
        "reverse_transformer_layers_per_block": [1, [3, 1], [1, 2]],
        "use_linear_projection": True,
    },
    "inpainting": {**SMALL, "layers_per_block": 1, "attention_head_dim": 4, "in_channels": 9},
    "emoji": {
        **CROSS3,
        "in_channels": 8,
        "out_channels": 8,
        "block_out_channels": (96, 160, 224),
        "layers_per_block": 1,
        "cross_attention_dim": 128,
        "attention_head_dim": [3, 5, 7],
    },
    "unusual": {
        **SMALL,
        "layers_per_block": [1, 2, 1],
        "attention_head_dim": 4,
        "downsample_padding": 0,
        "flip_sin_to_cos": False,
        "freq_shift": 1,
        "center_input_sample": True,
        "mid_block_scale_factor": 1.4142,
        "act_fn": "gelu",
        "time_embedding_dim": 40,
        "conv_in_kernel": 5,
        "conv_out_kernel": 1,
        "norm_eps": 1e-3,
    },
    "no-middle": {**SMALL, "layers_per_block": 1, "attention_head_dim": 4, "mid_block_type": None},
    "plain-middle": {**SMALL, "layers_per_block": 1, "attention_head_dim": 4, "mid_block_type": "UNetMidBlock2D"},
}


@dataclass(frozen=True)
class Inputs:
    """One batch of what a UNet is called with."""

    sample: Tensor
    timestep: Tensor
    text: Tensor
    added: Added | None

    @staticmethod
    def random(config: UNetConfig, rows: int, height: int, width: int, seed: int = 0, tokens: int = 7) -> Inputs:
        generator = torch.Generator().manual_seed(seed)

        def noise(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator)

        added = None
        if config.addition_embed_type == "text_time":
            pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
            added = Added(noise(rows, pooled), torch.randint(0, 1024, (rows, 6), generator=generator))
        return Inputs(
            noise(rows, config.in_channels, height, width),
            torch.randint(0, 1000, (rows,), generator=generator),
            noise(rows, tokens, config.cross_attention_dim),
            added,
        )

    def in_float64(self) -> Inputs:
        """The same numbers in float64."""
        added = self.added and replace(self.added, text_embeds=self.added.text_embeds.double())
        return replace(self, sample=self.sample.double(), text=self.text.double(), added=added)


def scaled_weights(model: torch.nn.Module, seed: int = 0) -> None:
    """Fill `model` so that layers keep the size of their inputs and attention is far from uniform."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() > 1:
                fan_in = math.prod(parameter.shape[1:])
                gain = math.sqrt(SCORE_DEVIATION) if ".to_q." in name or ".to_k." in name else 1.0
                parameter.copy_(noise * gain / math.sqrt(fan_in))
            else:
                parameter.copy_(noise * 0.1 + (1.0 if "norm" in name and name.endswith("weight") else 0.0))


@dataclass(frozen=True)
class Pair:
    """The same network twice: diffusers', which is the oracle, and ours."""

    theirs: UNet2DConditionModel
    ours: UNet

    @staticmethod
    def of(settings: Mapping[str, object]) -> Pair:
        theirs = UNet2DConditionModel(**settings).eval()
        scaled_weights(theirs)
        ours = UNet(UNetConfig.from_dict(dict(theirs.config))).eval()
        ours.load_state_dict(theirs.state_dict())
        return Pair(theirs, ours)

    def in_float64(self) -> Pair:
        """The same weights in float64."""
        return Pair(copy.deepcopy(self.theirs).double(), copy.deepcopy(self.ours).double())

    def inputs(self, rows: int, height: int, width: int, seed: int = 0) -> Inputs:
        return Inputs.random(self.ours.config, rows, height, width, seed)

    def their_prediction(self, inputs: Inputs, **more: object) -> Tensor:
        added = inputs.added and {"text_embeds": inputs.added.text_embeds, "time_ids": inputs.added.time_ids}
        arguments = {"encoder_hidden_states": inputs.text, "added_cond_kwargs": added, **more}
        return self.theirs(inputs.sample, inputs.timestep, **arguments).sample

    def our_prediction(self, inputs: Inputs, *, trainable: bool = False) -> Tensor:
        context = self.ours.text_context({"text": inputs.text}, trainable=trainable)
        return self.ours(inputs.sample, inputs.timestep, context, inputs.added)


@pytest.fixture(scope="session")
def make_pair() -> Callable[..., Pair]:
    """Build a pair of UNets from diffusers' settings."""
    return Pair.of


@pytest.fixture(scope="session", params=SHAPES)
def pair(request: pytest.FixtureRequest) -> Pair:
    """Each form in turn."""
    return Pair.of(SHAPES[request.param])


@pytest.fixture(scope="session")
def sd1() -> Pair:
    """The form of Stable Diffusion 1."""
    return Pair.of(SHAPES["sd1"])


@pytest.fixture(scope="session")
def sdxl() -> Pair:
    """The form of Stable Diffusion XL."""
    return Pair.of(SHAPES["sdxl"])


@pytest.fixture(scope="session")
def small_settings() -> Mapping[str, object]:
    """Settings of the smallest useful UNet, to be varied."""
    return SHAPES["inpainting"] | {"in_channels": 4}


@pytest.fixture(scope="session")
def relative_error() -> Callable[[Tensor, Tensor], float]:
    """Largest difference, relative to the largest expected value."""
    return lambda got, expected: float((got - expected).abs().max() / expected.abs().max())
