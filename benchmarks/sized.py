"""A model of Stable Diffusion 1.5's size with random weights, so that its speed can be measured without a download."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import torch

from tests.models import spread
from weights.train import tokenizer

FOLDER = "xattn-bench-sd15-size"


def sd15_size() -> Path:
    """The model's folder below the system's temporary one, written on first use (2.1 GB, float16 on disk).

    The real classes at Stable Diffusion 1.5's shapes. The weights are scaled so that no softmax is near uniform and no
    number near denormal: both would change the speed.
    """
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    folder = Path(tempfile.gettempdir()) / FOLDER
    index = folder / "model_index.json"
    if index.is_file():
        return folder
    vocabulary = tokenizer.write(folder / "tokenizer", tokenizer.clip_merges())
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=768,
            intermediate_size=3072,
            projection_dim=768,
            num_hidden_layers=12,
            num_attention_heads=12,
            bos_token_id=vocabulary - 2,
            eos_token_id=vocabulary - 1,
            pad_token_id=vocabulary - 1,
        )
    )
    unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)
    vae = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        sample_size=512,
    )
    parts: tuple[tuple[str, Any], ...] = (("text_encoder", text), ("unet", unet), ("vae", vae))
    for seed, (name, module) in enumerate(parts):
        spread(module, seed)
        module.to(torch.float16).save_pretrained(str(folder / name))
    DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1
    ).save_pretrained(str(folder / "scheduler"))
    # last: a folder that has it is whole
    index.write_text(
        json.dumps(
            {
                "_class_name": "StableDiffusionPipeline",
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
        )
    )
    return folder
