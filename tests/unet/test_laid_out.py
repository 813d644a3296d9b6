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


def wide_convolutions(unet):
    return [conv for conv in unet.modules() if isinstance(conv, nn.Conv2d) and conv.kernel_size != (1, 1)]


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
    assert not any(name.startswith("mkldnn") for name in calls.counts)
