"""A model of Stable Diffusion 1.5's size with random weights, so that its speed can be measured without a download."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from tests.models import text_tower, write_parts
from weights.train import tokenizer

FOLDER = "xattn-bench-sd15-size"


def sd15_size() -> Path:
    """The model's folder below the system's temporary one, written on first use (2.1 GB, float16 on disk).

    The real classes at Stable Diffusion 1.5's shapes. The weights are scaled so that no softmax is near uniform and no
    number near denormal: both would change the speed.
    """
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

    folder = Path(tempfile.gettempdir()) / FOLDER
    if (folder / "model_index.json").is_file():
        return folder
    vocabulary = tokenizer.write(folder / "tokenizer", tokenizer.clip_merges())
    text = text_tower(
        vocabulary,
        hidden_size=768,
        intermediate_size=3072,
        projection_dim=768,
        num_hidden_layers=12,
        num_attention_heads=12,
    )
    unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)
    vae = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        sample_size=512,
    )
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1
    )
    write_parts(folder, text, unet, vae, scheduler, dtype=torch.float16)
    return folder
