"""Full-size networks, on the meta device: exactly diffusers' parameters, so that real checkpoints load as they are."""

from __future__ import annotations

import pytest
import torch
from diffusers import UNet2DConditionModel

from unet import UNet, UNetConfig

SD1 = {"cross_attention_dim": 768}
SD2 = {"cross_attention_dim": 1024, "attention_head_dim": [5, 10, 20, 20], "use_linear_projection": True}
SDXL = {
    "block_out_channels": [320, 640, 1280],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20],
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
SSD_1B = SDXL | {
    "mid_block_type": "UNetMidBlock2D",
    "transformer_layers_per_block": [1, [2, 2], [4, 4]],
    "reverse_transformer_layers_per_block": [[4, 4, 10], [2, 1, 1], 1],
}
REFINER = {
    "block_out_channels": [384, 768, 1536, 1536],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "transformer_layers_per_block": 4,
    "attention_head_dim": [6, 12, 24, 24],
    "cross_attention_dim": 1280,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2560,
}
# The counts are those of the published checkpoints; where none is given, diffusers' own is the only witness.
FULL_SIZE = {
    "sd1": (SD1, 859_520_964),
    "sd1-inpainting": (SD1 | {"in_channels": 9}, 859_535_364),
    "sd2": (SD2, 865_910_724),
    "sdxl": (SDXL, 2_567_463_684),
    "sdxl-refiner": (REFINER, None),
    "ssd-1b": (SSD_1B, None),
}


@pytest.fixture(scope="module", params=FULL_SIZE)
def skeletons(request):
    settings, count = FULL_SIZE[request.param]
    with torch.device("meta"):
        theirs = UNet2DConditionModel(**settings)
        return theirs, UNet(UNetConfig.from_dict(dict(theirs.config))), count


def test_names_shapes_and_count_of_parameters_are_diffusers(skeletons):
    theirs, ours, count = skeletons
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in theirs.state_dict().items()}
    assert count in (None, sum(parameter.numel() for parameter in ours.parameters()))


def test_sites_are_the_module_paths_of_diffusers_attention(skeletons):
    theirs, ours, _ = skeletons
    attention = {name: module for name, module in theirs.named_modules() if name.endswith((".attn1", ".attn2"))}
    assert {site.name for site in ours.sites} == attention.keys()
    for site in ours.sites:
        module = attention[site.name]
        assert site.heads == module.heads
        assert site.head_dim == module.to_q.out_features // module.heads
        assert site.cross == module.is_cross_attention
        assert site.name.startswith(site.place)


def test_heads_and_downsampling_of_stable_diffusion():
    with torch.device("meta"):
        unets = [UNet(UNetConfig.from_dict(settings)) for settings in (SD1, SD2, SDXL)]
    seen = [sorted({(site.downsampling, site.heads, site.head_dim) for site in unet.sites}) for unet in unets]
    assert seen == [
        [(1, 8, 40), (2, 8, 80), (4, 8, 160), (8, 8, 160)],
        [(1, 5, 64), (2, 10, 64), (4, 20, 64), (8, 20, 64)],
        [(2, 10, 64), (4, 20, 64)],
    ]
    assert [len(unet.sites) for unet in unets] == [32, 32, 140]
