"""Our UNet is diffusers' UNet: same outputs, same gradients, for every form and size."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TOLERANCE = 1e-5  # float32, relative
EXACT = 1e-10  # float64, relative


def assert_equals_diffusers(pair, inputs, relative_error):
    """In float64 to rounding; in float32 too, where some random networks blow rounding up, also diffusers' own."""
    with torch.no_grad():
        ours, theirs = pair.our_prediction(inputs), pair.their_prediction(inputs)
        wide = pair.in_float64()
        truth = wide.their_prediction(inputs.in_float64())
        assert relative_error(wide.our_prediction(inputs.in_float64()), truth) <= EXACT
    assert relative_error(ours.double(), truth) <= max(TOLERANCE, 8 * relative_error(theirs.double(), truth))


@pytest.mark.parametrize(("rows", "height", "width"), [(1, 16, 16), (2, 8, 12), (3, 9, 7)])
def test_prediction_equals_diffusers(pair, rows, height, width, relative_error):
    assert_equals_diffusers(pair, pair.inputs(rows, height, width), relative_error)


def test_gradients_of_sample_text_and_all_parameters_equal_diffusers(pair, relative_error):
    # at least 2 × 2 at the deepest level: over a single key the gradients of the scores are nothing but rounding
    inputs = pair.inputs(2, 9, 10)
    weight = torch.randn(inputs.sample.shape[0], pair.ours.config.out_channels, 9, 10)
    gradients = {}
    for name, model, predict in (
        ("theirs", pair.theirs, pair.their_prediction),
        ("ours", pair.ours, lambda given: pair.our_prediction(given, trainable=True)),
    ):
        leaves = {"sample": inputs.sample.requires_grad_(), "text": inputs.text.requires_grad_()}
        leaves |= dict(model.named_parameters())
        loss = (predict(inputs) * weight).sum()
        gradients[name] = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))
    assert gradients["ours"].keys() == gradients["theirs"].keys()
    for name, expected in gradients["theirs"].items():
        assert expected.abs().max() > 0, name
        assert relative_error(gradients["ours"][name], expected) <= TOLERANCE, name


@given(rows=st.integers(1, 3), height=st.integers(1, 21), width=st.integers(1, 21), seed=st.integers(0, 2**31))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_size_of_latent_equals_diffusers(sd1, relative_error, rows, height, width, seed):
    inputs = sd1.inputs(rows, height, width, seed)
    assert_equals_diffusers(sd1, inputs, relative_error)


@st.composite
def configs(draw):
    """Settings of `UNet2DConditionModel` over all that Stable Diffusion's family uses."""
    levels = draw(st.integers(1, 3))
    attends = draw(st.lists(st.booleans(), min_size=levels, max_size=levels))
    return {
        "block_out_channels": [8 * draw(st.integers(1, 3)) for _ in range(levels)],
        "down_block_types": ["CrossAttnDownBlock2D" if on else "DownBlock2D" for on in attends],
        "up_block_types": ["CrossAttnUpBlock2D" if on else "UpBlock2D" for on in reversed(attends)],
        "mid_block_type": draw(st.sampled_from(["UNetMidBlock2DCrossAttn", "UNetMidBlock2D", None])),
        "layers_per_block": [draw(st.integers(1, 2)) for _ in range(levels)],
        "transformer_layers_per_block": [draw(st.integers(0, 2)) for _ in range(levels)],
        "attention_head_dim": [draw(st.sampled_from([1, 2, 4])) for _ in range(levels)],
        "use_linear_projection": draw(st.booleans()),
        "norm_num_groups": 4,
        "cross_attention_dim": draw(st.integers(1, 9)),
        "in_channels": draw(st.integers(1, 9)),
        "out_channels": draw(st.integers(1, 9)),
    }


@given(config=configs())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_config_of_the_family_equals_diffusers(make_pair, relative_error, config):
    pair = make_pair(config)
    assert_equals_diffusers(pair, pair.inputs(2, 5, 7), relative_error)


@pytest.mark.parametrize("timestep", [0, 999, 37.5, torch.tensor(500), torch.tensor([3, 700])])
def test_every_form_of_timestep_equals_diffusers(sd1, relative_error, timestep):
    inputs = sd1.inputs(2, 4, 4)
    with torch.no_grad():
        ours = sd1.ours(inputs.sample, timestep, sd1.ours.text_context({"text": inputs.text}))
        theirs = sd1.theirs(inputs.sample, timestep, inputs.text).sample
    assert relative_error(ours, theirs) <= TOLERANCE


@pytest.mark.parametrize("backend", ["tiled", "explicit"])
def test_every_backend_equals_diffusers(sd1, relative_error, backend):
    unet = sd1.ours.with_backend(backend)
    inputs = sd1.inputs(2, 7, 8)
    with torch.no_grad():
        ours = unet(inputs.sample, inputs.timestep, unet.text_context({"text": inputs.text}))
        assert relative_error(ours, sd1.their_prediction(inputs)) <= TOLERANCE


def test_channels_last_changes_the_layout_and_not_the_prediction(sd1, make_pair, relative_error):
    inputs = sd1.inputs(2, 8, 6)
    unet = make_pair(dict(sd1.theirs.config)).ours.to(memory_format=torch.channels_last)
    with torch.no_grad():
        plain = sd1.our_prediction(inputs)
        context = unet.text_context({"text": inputs.text})
        ours = unet(inputs.sample.to(memory_format=torch.channels_last), inputs.timestep, context)
    assert ours.is_contiguous(memory_format=torch.channels_last)
    assert relative_error(ours, plain) <= TOLERANCE


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_as_close_to_the_truth_as_diffusers_is(sd1, make_pair, dtype):
    inputs = sd1.inputs(32, 6, 8)  # many rows: of two, chance alone makes 1.1 and more
    half = type(inputs)(inputs.sample.to(dtype), inputs.timestep, inputs.text.to(dtype), None)
    pair = make_pair(dict(sd1.theirs.config))
    pair.theirs.to(dtype)
    pair.ours.to(dtype)
    with torch.no_grad():
        truth = sd1.their_prediction(inputs)
        ours, theirs = ((p(half).float() - truth).square().mean() for p in (pair.our_prediction, pair.their_prediction))
    assert ours <= 1.1 * theirs


def test_attention_of_these_weights_is_far_from_uniform(sd1):
    """Guards the other tests: with uniform attention they could not see a wrong scale."""
    block = sd1.ours.down_blocks[0].attentions[0].transformer_blocks[0]
    inputs = sd1.inputs(2, 8, 8)
    hidden = torch.randn(2, 64, sd1.ours.config.block_out_channels[0])
    with torch.no_grad():
        key, _ = block.attn2.key_value(inputs.text)
        query = block.attn2.to_q(block.norm2(hidden)).unflatten(-1, (block.attn2.heads, -1)).transpose(1, 2)
        scores = query @ key.transpose(-1, -2) / math.sqrt(block.attn2.head_dim)
    assert 2.0 < scores.std() < 4.5
    assert scores.softmax(-1).amax(-1).mean() > 0.5
