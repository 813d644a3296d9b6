"""A config is built as it says or refused in one sentence that names the key."""

from __future__ import annotations

import inspect

import pytest
import torch
from diffusers import UNet2DConditionModel

from unet import UNet, UNetConfig
from xattn.errors import BadModel, UnknownName

REFUSED = [
    ("num_attention_heads", 8),
    ("attention_type", "gated"),
    ("class_embed_type", "projection"),
    ("class_embeddings_concat", True),
    ("cross_attention_norm", "layer_norm"),
    ("dual_cross_attention", True),
    ("encoder_hid_dim", 64),
    ("encoder_hid_dim_type", "text_proj"),
    ("mid_block_only_cross_attention", True),
    ("num_class_embeds", 10),
    ("only_cross_attention", [True, False, False]),
    ("only_cross_attention", True),
    ("resnet_out_scale_factor", 0.5),
    ("resnet_skip_time_act", True),
    ("resnet_time_scale_shift", "scale_shift"),
    ("time_cond_proj_dim", 256),
    ("time_embedding_act_fn", "silu"),
    ("time_embedding_type", "fourier"),
    ("timestep_post_act", "silu"),
    ("addition_embed_type", "text_image"),
    ("mid_block_type", "UNetMidBlock2DSimpleCrossAttn"),
    ("down_block_types", ["SimpleCrossAttnDownBlock2D", "DownBlock2D", "DownBlock2D"]),
    ("up_block_types", ["UpBlock2D", "AttnUpBlock2D", "UpBlock2D"]),
    ("up_block_types", ["UpBlock2D", "UpBlock2D"]),
    ("act_fn", "tanh"),
    ("in_channels", "4"),
    ("in_channels", True),
    ("out_channels", 0),
    ("block_out_channels", []),
    ("block_out_channels", [16, 30, 32]),
    ("layers_per_block", [1, 2]),
    ("attention_head_dim", None),
    ("attention_head_dim", [4, 5, 4]),
    ("attention_head_dim", [4, 4]),
    ("cross_attention_dim", [24, 24, 32]),
    ("transformer_layers_per_block", [1, 2]),
    ("transformer_layers_per_block", -1),
    ("transformer_layers_per_block", [[1], [1], [1]]),
    ("norm_num_groups", None),
    ("norm_eps", 0),
    ("norm_eps", float("nan")),
    ("mid_block_scale_factor", 0),
    ("dropout", -0.1),
    ("conv_in_kernel", 4),
    ("downsample_padding", 2),
    ("freq_shift", 0.5),
    ("flip_sin_to_cos", 1),
    ("sample_size", [1, 2, 3]),
    ("_class_name", "UNet2DModel"),
    ("made_up", 1),
]


@pytest.mark.parametrize(("key", "value"), REFUSED, ids=[f"{key}={value}" for key, value in REFUSED])
def test_what_is_not_implemented_is_refused_with_the_key_and_the_file(small_settings, key, value):
    UNetConfig.from_dict(small_settings)
    with pytest.raises(BadModel) as error:
        UNetConfig.from_dict({**small_settings, key: value}, source="some/config.json")
    message = str(error.value)
    assert message.startswith("In some/config.json, ")
    assert key in message
    assert message.count(". ") == 0
    assert message.endswith(".")


def test_listed_depths_need_the_way_up_and_one_for_each_layer(small_settings):
    listed = {**small_settings, "transformer_layers_per_block": [[1], [2], 1]}
    with pytest.raises(BadModel, match="reverse_transformer_layers_per_block"):
        UNetConfig.from_dict(listed)
    with pytest.raises(BadModel, match="gives 1 depths to the up block of level 1, but that has 2 residual blocks"):
        UNetConfig.from_dict({**listed, "reverse_transformer_layers_per_block": [1, [3], [1, 1]]})


def test_text_time_needs_its_widths(small_settings):
    for widths in ({}, {"addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": 8}):
        with pytest.raises(BadModel, match="addition_time_embed_dim"):
            UNetConfig.from_dict({**small_settings, "addition_embed_type": "text_time", **widths})


def test_every_setting_of_diffusers_is_known():
    """A setting that a later diffusers adds must be thought about, not skipped."""
    parameters = inspect.signature(UNet2DConditionModel.__init__).parameters
    defaults = {name: parameter.default for name, parameter in parameters.items() if name != "self"}
    assert UNetConfig.from_dict(defaults) == UNetConfig.from_dict({})


def test_a_list_that_says_the_same_everywhere_is_one_number(small_settings):
    listed = small_settings | {"cross_attention_dim": [24, 24, 24], "layers_per_block": [1, 1, 1]}
    listed |= {"only_cross_attention": [False, False, False], "sample_size": [8, 16]}
    plain = UNetConfig.from_dict(small_settings | {"sample_size": (8, 16)})
    assert UNetConfig.from_dict(listed) == plain
    assert plain.sample_size == (8, 16)


def test_an_unknown_backend_is_refused_before_a_network_is_built(small_settings):
    config = UNetConfig.from_dict(small_settings)
    with pytest.raises(UnknownName, match=r"sdap.*Did you mean"):
        UNet(config, backend="sdap")
    with torch.device("meta"), pytest.raises(UnknownName):
        UNet(config).with_backend("none")
