"""Rows that begin alike are computed once until their texts part them."""

from __future__ import annotations

import pytest
import torch

from unet import Residuals
from xattn.errors import BadValue
from xattn.program import Program, StepProgram, Tap


@pytest.fixture
def run(pair, relative_error):
    """Two samples, each under three texts: (a call of the UNet, the prediction from all six rows written out)."""
    some, six = pair.inputs(2, 9, 6), pair.inputs(6, 9, 6, seed=1)
    with torch.no_grad():
        context = pair.ours.text_context({"text": six.text})
        whole = pair.ours(some.sample.repeat(3, 1, 1, 1), 500, context, six.added)

    def call(sample=some.sample, timestep=500, copies=3, **more):
        with torch.no_grad():
            return pair.ours(sample, timestep, context, six.added, copies=copies, **more)

    return call, whole


def test_copies_give_what_rows_written_out_give(run, relative_error):
    call, whole = run
    assert relative_error(call(), whole) <= 3e-5
    assert relative_error(whole[:2], whole[2:4]) > 1e-2  # the texts do part them


def test_a_time_for_each_row_and_residuals_go_with_copies(pair, run, relative_error):
    call, whole = run
    assert relative_error(call(timestep=torch.full((6,), 500)), whole) <= 3e-5
    shapes, channels = [], pair.ours.config.block_out_channels
    handles = [
        module.register_forward_hook(lambda *call: shapes.append(call[-1].shape[1:]))
        for module in (pair.ours.conv_in, pair.ours.mid_block)
        if module is not None
    ]
    call()
    for handle in handles:
        handle.remove()
    assert shapes[0][0] == channels[0]
    if pair.ours.mid_block is None:
        return
    extra = torch.randn(6, *shapes[1])
    written_out = call(pair.inputs(2, 9, 6).sample.repeat(3, 1, 1, 1), copies=1, residuals=Residuals(mid=extra))
    assert relative_error(call(residuals=Residuals(mid=extra)), written_out) <= 3e-5


def test_watching_copies_changes_no_bit(pair, run):
    call, _ = run
    program = StepProgram(
        {site.name: Program(taps=(Tap(torch.eye(7)),)) for site in pair.ours.sites if site.cross},
        record=lambda *_: None,
    )
    assert torch.equal(call(program=program), call())


def test_what_comes_before_the_first_text_runs_on_the_sample_alone(sd1):
    inputs = sd1.inputs(2, 8, 8)
    rows: dict[str, int] = {}
    watched = {
        name: sd1.ours.get_submodule(name)
        for name in ("conv_in", "down_blocks.0.resnets.0", "down_blocks.0.attentions.0.norm", "mid_block")
    }
    watched["attn1"] = sd1.ours.down_blocks[0].attentions[0].transformer_blocks[0].attn1
    handles = [
        module.register_forward_pre_hook(lambda _, given, name=name: rows.update({name: given[0].shape[0]}))
        for name, module in watched.items()
    ]
    with torch.no_grad():
        sd1.ours(inputs.sample[:1], 500, sd1.ours.text_context({"text": inputs.text}), copies=2)
    for handle in handles:
        handle.remove()
    assert rows.pop("mid_block") == rows.pop("attn1") == 2
    assert set(rows.values()) == {1}


def test_copies_that_do_not_fit_the_text_are_refused(sd1):
    inputs = sd1.inputs(2, 8, 8)
    context = sd1.ours.text_context({"text": inputs.text})
    with pytest.raises(BadValue, match=r"context.rows is 2.*must be 3, as many as the sample has in 3 copies"):
        sd1.ours(inputs.sample[:1], 500, context, copies=3)
