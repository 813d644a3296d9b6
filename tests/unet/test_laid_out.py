"""Weights of convolutions are laid out for the CPU once a run; nobody can tell but by counting."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from unet import laid_out


class Calls(TorchDispatchMode):
    """Counts operators by name."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.counts[str(func.overloadpacket)] += 1
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def _tried():
    """The operators are tried once a process; that is not counted here."""
    for dtype in (torch.float32, torch.bfloat16):
        assert laid_out.refusal(dtype) == ""


def wide_convolutions(unet):
    return [conv for conv in unet.modules() if isinstance(conv, nn.Conv2d) and conv.kernel_size != (1, 1)]


@pytest.fixture
def _no_products(monkeypatch):
    """Convolutions and gated units of few positions run as those of many."""
    monkeypatch.setattr(laid_out, "SMALL", 0)
    monkeypatch.setattr(laid_out, "SHORT", 0)


@pytest.mark.usefixtures("_no_products")
def test_over_three_steps_each_weight_is_laid_out_once(pair):
    inputs = pair.inputs(2, 8, 8)
    wide = len(wide_convolutions(pair.ours))
    with torch.no_grad(), Calls() as calls:
        context = pair.ours.text_context({"text": inputs.text})
        for timestep in (900, 500, 100):
            pair.ours(inputs.sample, timestep, context, inputs.added)
    assert calls.counts["mkldnn._reorder_convolution_weight"] == wide
    assert calls.counts["mkldnn._convolution_pointwise"] == 3 * wide
    assert calls.counts["aten.convolution"] == 0


def test_over_three_steps_each_matrix_is_made_once(pair, monkeypatch):
    made = []
    matrix = laid_out._matrix
    monkeypatch.setattr(laid_out, "_matrix", lambda weight: made.append(weight) or matrix(weight))
    monkeypatch.setattr(laid_out, "SMALL", 128)
    inputs = pair.inputs(1, 8, 8)
    with torch.no_grad(), Calls() as calls:
        context = pair.ours.text_context({"text": inputs.text})
        for timestep in (900, 500, 100):
            pair.ours(inputs.sample, timestep, context, inputs.added)
    assert len(made) == len(wide_convolutions(pair.ours))
    assert calls.counts["mkldnn._reorder_convolution_weight"] == 0


@pytest.mark.usefixtures("_no_products")
def test_no_image_is_copied_into_another_layout_on_the_way(sd1):
    inputs = sd1.inputs(2, 8, 8)
    with torch.no_grad():
        context = sd1.ours.text_context({"text": inputs.text})
        sd1.ours(inputs.sample, 900, context)
        with Calls() as calls:
            sd1.ours(inputs.sample, 500, context)
    attentions = len(sd1.ours.sites)
    # the sample comes in, the prediction goes out, and the heads of each site are joined
    assert calls.counts["aten.clone"] <= 2 + attentions


@pytest.mark.usefixtures("_no_products")
def test_what_does_not_fit_the_room_gives_the_same_bits(sd1, monkeypatch):
    inputs = sd1.inputs(2, 8, 8)

    def predicted():
        with torch.no_grad(), Calls() as calls:
            return sd1.our_prediction(inputs), calls.counts["mkldnn._reorder_convolution_weight"]

    whole, laid = predicted()
    monkeypatch.setattr(laid_out, "ROOM", 4 * 16 * 16 * 9)
    partly, few = predicted()
    monkeypatch.setattr(laid_out, "FEW", 0)
    plain, none = predicted()
    assert laid > few > none == 0
    assert torch.equal(whole, partly)
    assert torch.equal(whole, plain)


def test_a_weight_that_changes_between_steps_counts_from_the_next_one(make_pair, small_settings):
    unet = make_pair(small_settings).ours
    sample, text = torch.randn(2, 4, 8, 8), torch.randn(2, 7, 24)
    with torch.no_grad():
        context = unet.text_context({"text": text})
        before = unet(sample, 500, context)
        for change in (lambda conv: conv.weight.mul_(1.5), lambda conv: setattr(conv, "weight", halved(conv))):
            change(unet.up_blocks[1].resnets[0].conv2)
            after = unet(sample, 500, context)
            assert not torch.equal(after, before)
            assert torch.equal(after, unet(sample, 500, unet.text_context({"text": text})))


@pytest.mark.parametrize("sides", [(4, 4), (3, 5), (1, 2)])
@pytest.mark.parametrize(
    "settings", [{"padding": 1}, {"padding": (0, 1), "stride": 2}, {"padding": 2, "stride": (1, 3)}]
)
@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_a_convolution_of_few_positions_is_torchs_to_rounding(sides, settings, bias):
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 10, (1 if settings["padding"] == (0, 1) else 3, 3), bias=bias, **settings)
    image = torch.randn(3, 6, *sides).contiguous(memory_format=torch.channels_last)
    with Calls() as calls:
        made = laid_out.LaidOut().convolve(conv, image, conv.bias)
    assert calls.counts["aten.addmm"] == bias, "without a bias the kernel runs"
    torch.testing.assert_close(made, conv(image), rtol=1e-5, atol=1e-5)
    assert made.is_contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def test_a_run_may_change_its_number_of_positions(monkeypatch):
    monkeypatch.setattr(laid_out, "SMALL", 32)
    conv, laid = nn.Conv2d(6, 10, 3, padding=1), laid_out.LaidOut()
    for rows in (2, 3, 2, 3):
        image = torch.randn(rows, 6, 4, 4).contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(laid.convolve(conv, image, conv.bias), conv(image), rtol=1e-5, atol=1e-5)


def halved(conv):
    return nn.Parameter(conv.weight * 0.5, requires_grad=False)


def test_a_hooked_convolution_runs_as_a_module(make_pair, small_settings):
    unet = make_pair(small_settings).ours
    sample, text = torch.randn(2, 4, 8, 8), torch.randn(2, 7, 24)
    seen = Counter()
    with torch.no_grad():
        context = unet.text_context({"text": text})
        plain = unet(sample, 500, context)
        for conv in wide_convolutions(unet):
            conv.register_forward_hook(lambda module, *_: seen.update([module]))
        hooked = unet(sample, 500, context)
    assert set(seen.values()) == {1}
    assert len(seen) == len(wide_convolutions(unet))
    torch.testing.assert_close(hooked, plain)


@pytest.mark.parametrize("switch", ["gradients", "oneDNN off", "autocast", "float64", "large"])
def test_it_stays_off_where_it_would_not_do(make_pair, small_settings, monkeypatch, switch):
    unet = make_pair(small_settings).ours
    sample, text = torch.randn(2, 4, 8, 8), torch.randn(2, 7, 24)
    if switch == "float64":
        unet, sample, text = unet.double(), sample.double(), text.double()
    if switch == "large":
        monkeypatch.setattr(laid_out, "LARGE", 10_000)
    if switch == "oneDNN off":
        monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    with (
        torch.set_grad_enabled(switch == "gradients"),
        torch.autocast("cpu", dtype=torch.bfloat16, enabled=switch == "autocast"),
        Calls() as calls,
    ):
        unet(sample, 500, unet.text_context({"text": text}))
    layouts = ("mkldnn._reorder_convolution_weight", "mkldnn._reorder_linear_weight")
    convolutions = ("mkldnn._convolution_pointwise", *layouts)
    forbidden = convolutions if switch == "large" else [name for name in calls.counts if name.startswith("mkldnn")]
    assert not any(calls.counts[name] for name in forbidden)


def a_gated_unit(dtype):
    torch.manual_seed(0)
    return nn.Linear(24, 96, dtype=dtype), torch.randn(2, 35, 24, dtype=dtype)


@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("lay", [False, True], ids=["as it is", "laid out"])
@pytest.mark.parametrize("few", [0, 2048])
@pytest.mark.parametrize("short", [0, 512])
@torch.no_grad()
def test_a_gated_unit_is_torchs_to_rounding(monkeypatch, dtype, within, few, lay, short):
    monkeypatch.setattr(laid_out, "SHORT", short)
    monkeypatch.setattr(laid_out, "FEW", few)
    proj, tokens = a_gated_unit(dtype)
    for bias in (proj.bias, None):
        proj.bias = bias
        hidden, gate = proj(tokens).chunk(2, dim=-1)
        expected = hidden * nn.functional.gelu(gate)
        torch.testing.assert_close(laid_out.LaidOut().gated(proj, tokens, lay=lay), expected, rtol=within, atol=within)


@pytest.mark.parametrize(("channels", "groups"), [(96, 32), (64, 4)])
@torch.no_grad()
def test_groups_of_few_channels_are_normalised_alike_and_stay_channels_last(channels, groups):
    torch.manual_seed(0)
    norm = nn.GroupNorm(groups, channels).to(torch.bfloat16)
    image = torch.randn(2, channels, 6, 5, dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last)
    made = laid_out.group_norm(norm, image)
    assert laid_out.channels_last(made)
    torch.testing.assert_close(made, norm(image), rtol=2e-2, atol=2e-2)


def missing(*_, **__):
    raise AttributeError("no such operator")


def refusing(*_, **__):
    raise RuntimeError("could not create a primitive descriptor\nand much more")


@pytest.mark.parametrize(
    ("operator", "how", "says"),
    [
        ("_none", None, "has no operator mkldnn._none"),
        ("_linear_pointwise", missing, "refuses oneDNN's operators: no such operator"),
        ("_reorder_convolution_weight", refusing, "refuses oneDNN's operators: could not create a primitive"),
        ("_convolution_pointwise", lambda image, *_: 2 * image, "off torch's own layers"),
    ],
)
def test_without_the_operators_torchs_own_layers_run_and_it_is_said_why(sd1, monkeypatch, operator, how, says):
    inputs = sd1.inputs(2, 8, 8)
    with torch.no_grad():
        expected = sd1.our_prediction(inputs)
    laid_out.refusal.cache_clear()
    try:
        if how is None:
            monkeypatch.setattr(laid_out, "_OPERATORS", (operator,))
        else:
            monkeypatch.setattr(torch.ops.mkldnn, operator, how)
        with torch.no_grad():
            torch.testing.assert_close(sd1.our_prediction(inputs), expected, rtol=1e-4, atol=1e-4)
        assert says in laid_out.refusal(torch.float32)
    finally:
        laid_out.refusal.cache_clear()


def test_trying_the_operators_draws_nothing_from_the_callers_generator():
    laid_out.refusal.cache_clear()
    before = torch.get_rng_state()
    assert laid_out.refusal(torch.float32) == ""
    assert torch.equal(torch.get_rng_state(), before)


def test_moments_made_ahead_are_the_times_themselves(pair, monkeypatch):
    inputs = pair.inputs(2, 8, 8)
    monkeypatch.setattr("unet.model.TOGETHER", 2)
    times = torch.tensor([900.0, 500.0, 3.5])
    with torch.no_grad():
        context = pair.ours.text_context({"text": inputs.text})
        for time, moment in zip(times, pair.ours.moments(times), strict=True):
            assert not torch.is_grad_enabled()
            ahead = pair.ours(inputs.sample, moment, context, inputs.added)
            torch.testing.assert_close(
                ahead, pair.ours(inputs.sample, time, context, inputs.added), rtol=1e-4, atol=1e-5
            )


def test_moments_leave_their_caller_its_gradients(sd1):
    moments = sd1.ours.moments(torch.arange(3))
    assert next(moments).embedding.shape[0] == 1
    assert torch.is_grad_enabled()
