"""Real models with random weights, in Stable Diffusion's own layout, written by the real classes: small ones here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from weights.train import tokenizer
from weights.train.pack import INDEX

WORDS = ("a", "fox", "cat", "dog", "on", "purple", "red", "and", "ice", "cream")


def spread(module: nn.Module, seed: int) -> None:
    """Weights at which every part speaks: no softmax near uniform, nothing that vanishes or explodes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim < 2:
                base = 1.0 if "norm" in name and name.endswith("weight") else 0.0
                parameter.copy_(base + 0.1 * torch.randn(parameter.shape, generator=generator))
            else:
                fan_in = parameter[0].numel()
                gain = 3.0 if "to_q" in name or "q_proj" in name else 1.0
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * gain * fan_in**-0.5)


def text_tower(vocabulary: int, **config: Any) -> Any:
    """CLIP's text tower over so many tokens, of which the last two begin and end a text."""
    from transformers import CLIPTextConfig, CLIPTextModel

    ids = {"bos_token_id": vocabulary - 2, "eos_token_id": vocabulary - 1, "pad_token_id": vocabulary - 1}
    return CLIPTextModel(CLIPTextConfig(vocab_size=vocabulary, max_position_embeddings=77, **ids, **config))


def write_parts(
    folder: Path, text: Any, unet: Any, vae: Any, scheduler: Any, *, seed: int = 0, dtype: torch.dtype = torch.float32
) -> None:
    """Give the parts of a Stable Diffusion 1 spread weights and save them; a folder with model_index.json is whole."""
    for number, (name, module) in enumerate({"text_encoder": text, "unet": unet, "vae": vae}.items()):
        spread(module, seed + number)
        module.to(dtype).save_pretrained(folder / name)
    scheduler.save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps(INDEX))


def write_model(
    folder: Path, *, seed: int = 0, prediction: str = "epsilon", latent_channels: int = 4, inpaints: bool = False
) -> Path:
    """A Stable Diffusion 1 in small: f8 autoencoder, two-level UNet, two-layer text tower, 64-px pictures.

    inpaints: the UNet reads a mask and a masked picture too, as Stable Diffusion's inpainting models do.
    """
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

    tokenizer.build(folder / "tokenizer", WORDS)
    vocabulary = len(json.loads((folder / "tokenizer" / "vocab.json").read_text()))
    text = text_tower(
        vocabulary, hidden_size=32, intermediate_size=64, projection_dim=32, num_hidden_layers=2, num_attention_heads=4
    )
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=2 * latent_channels + 1 if inpaints else latent_channels,
        out_channels=latent_channels,
        block_out_channels=(32, 64),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        attention_head_dim=4,
        cross_attention_dim=32,
        norm_num_groups=8,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=latent_channels,
        sample_size=64,
    )
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type=prediction,
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    write_parts(folder, text, unet, vae, scheduler, seed=seed)
    return folder


def write_sd2_model(folder: Path, *, seed: int = 0) -> Path:
    """A Stable Diffusion 2 in small: linear projections, heads by level, GELU text, velocity, zero terminal SNR."""
    from diffusers import DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    write_model(folder, seed=seed)
    config = json.loads((folder / "text_encoder" / "config.json").read_text())
    kept = ("vocab_size", "hidden_size", "intermediate_size", "projection_dim", "num_hidden_layers")
    ids = ("num_attention_heads", "max_position_embeddings", "bos_token_id", "eos_token_id", "pad_token_id")
    text = CLIPTextModel(CLIPTextConfig(hidden_act="gelu", **{name: config[name] for name in (*kept, *ids)}))
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(32, 64),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        cross_attention_dim=32,
        norm_num_groups=8,
    )
    for number, (name, module) in enumerate((("text_encoder", text), ("unet", unet))):
        spread(module, seed + 20 + number)
        module.save_pretrained(folder / name)
    DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    ).save_pretrained(folder / "scheduler")
    return folder


def write_xl_model(folder: Path, *, seed: int = 0) -> Path:
    """A Stable Diffusion XL in small: two towers, the second with a projection, pooled text and sizes added."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    write_model(folder, seed=seed)
    tokenizer.build(folder / "tokenizer_2", WORDS)
    config = json.loads((folder / "text_encoder" / "config.json").read_text())
    second = CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=config["vocab_size"],
            hidden_size=48,
            intermediate_size=96,
            projection_dim=40,
            hidden_act="gelu",
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=77,
            bos_token_id=config["bos_token_id"],
            eos_token_id=config["eos_token_id"],
            pad_token_id=config["pad_token_id"],
        )
    )
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(32, 64),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        transformer_layers_per_block=(1, 2),
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        cross_attention_dim=32 + 48,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 40,
        norm_num_groups=8,
    )
    for number, (name, module) in enumerate((("text_encoder_2", second), ("unet", unet))):
        spread(module, seed + 10 + number)
        module.save_pretrained(folder / name)
    index = json.loads((folder / "model_index.json").read_text())
    index |= {
        "_class_name": "StableDiffusionXLPipeline",
        "force_zeros_for_empty_prompt": True,
        "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
        "tokenizer_2": ["transformers", "CLIPTokenizer"],
    }
    del index["safety_checker"], index["requires_safety_checker"]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder
