"""What techniques reach the UNet through: the text's keys, a program a site, stopping early, residuals; no state."""

from __future__ import annotations

import dataclasses
import threading
from collections import Counter
from contextlib import contextmanager

import pytest
import torch

from unet import Added, Residuals, TextContext
from xattn.errors import BadValue
from xattn.module import Attention, KeyValue
from xattn.program import Lanes, Program, StepProgram, Tap


def call(unet, inputs, **more):
    """One forward pass of `unet`, without gradients."""
    with torch.no_grad():
        context = unet.text_context({"text": inputs.text})
        return unet(inputs.sample, inputs.timestep, context, inputs.added, **more)


@contextmanager
def calls_counted(unet):
    """Count, while it is open, how often each module of `unet` runs."""
    counts = Counter()
    handles = [
        module.register_forward_hook(lambda *_, name=name: counts.update([name]))
        for name, module in unet.named_modules()
    ]
    yield counts
    for handle in handles:
        handle.remove()


def tap_of_all_tokens(tokens: int) -> Program:
    return Program(taps=(Tap(torch.eye(tokens)),))


def test_an_empty_program_gives_the_same_bits(pair):
    inputs = pair.inputs(2, 7, 6)
    plain = call(pair.ours, inputs)
    idle = {site.name: Program() for site in pair.ours.sites}
    for program in (StepProgram(), StepProgram(idle), StepProgram(record=lambda *_: None)):
        assert torch.equal(call(pair.ours, inputs, program=program), plain)


def test_keys_and_values_of_the_text_are_made_once_and_reused_over_steps(sd1):
    inputs = sd1.inputs(2, 6, 6)
    cross = {site.name for site in sd1.ours.sites if site.cross}
    text_projections = {f"{name}.{layer}" for name in cross for layer in ("to_k", "to_v")}
    with calls_counted(sd1.ours) as counts:
        context = sd1.ours.text_context({"text": inputs.text})
        assert counts == dict.fromkeys(text_projections, 1)
        for timestep in (900, 500, 100):
            sd1.ours(inputs.sample, timestep, context)
    assert {name: counts[name] for name in text_projections} == dict.fromkeys(text_projections, 1)
    assert {counts[name] for name in cross} == {3}


def test_text_context_carries_no_gradient_unless_asked_and_allows_one_to_the_sample(sd1):
    inputs = sd1.inputs(1, 4, 4)
    context = sd1.ours.text_context({"text": inputs.text.requires_grad_()})
    key, value = context.at(sd1.ours.sites[1])["text"]
    assert not key.requires_grad
    assert not value.requires_grad
    assert not key.is_inference()
    sample = inputs.sample.requires_grad_()
    sd1.ours(sample, 10, context).sum().backward()
    assert sample.grad.abs().max() > 0
    trainable = sd1.ours.text_context({"text": inputs.text}, trainable=True)
    assert trainable.at(sd1.ours.sites[1])["text"].key.requires_grad


def test_rows_of_a_context_can_be_taken(sd1):
    inputs = sd1.inputs(3, 5, 5)
    with torch.no_grad():
        taken = sd1.ours.text_context({"text": inputs.text}).take((2, 0, 2))
        made = sd1.ours.text_context({"text": inputs.text[[2, 0, 2]]})
        for site in sd1.ours.sites:
            if site.cross:
                for ours, expected in zip(taken.at(site)["text"], made.at(site)["text"], strict=True):
                    torch.testing.assert_close(ours, expected)
    assert taken.rows == 3
    with pytest.raises(BadValue, match="indices from 0 to 2"):
        taken.take((3,))


def test_the_plain_model_reads_only_the_text_source(sd1):
    inputs = sd1.inputs(2, 5, 5)
    with torch.no_grad():
        context = sd1.ours.text_context({"text": inputs.text, "region:0": torch.randn(2, 3, 24)})
        ours = sd1.ours(inputs.sample, inputs.timestep, context)
    assert set(context.at(sd1.ours.sites[1])) == {"text", "region:0"}
    assert torch.equal(ours, call(sd1.ours, inputs))


def test_a_program_at_one_site_changes_what_that_site_does(sd1, relative_error):
    """Scaling a word on V by a program is scaling its value in the context, at that site and no other."""
    inputs = sd1.inputs(2, 6, 5)
    scale = torch.ones(1, inputs.text.shape[1])
    scale[0, 3] = -2.0
    with torch.no_grad():
        context = sd1.ours.text_context({"text": inputs.text})
        for site in (sd1.ours.sites[1], sd1.ours.sites[-1]):
            program = StepProgram({site.name: Program(lanes=(Lanes("text", token=scale),))})
            key, value = context.at(site)["text"]
            changed = {"text": KeyValue(key, value * scale[0, :, None])}
            expected = sd1.ours(
                inputs.sample, inputs.timestep, TextContext({**context.sites, site.name: changed}, context.rows)
            )
            ours = sd1.ours(inputs.sample, inputs.timestep, context, program=program)
            assert relative_error(ours, expected) <= 1e-5
            assert relative_error(ours, call(sd1.ours, inputs)) > 1e-3


def test_taps_come_with_their_site_and_its_real_grid(sd1):
    inputs = sd1.inputs(2, 7, 10)
    tokens = inputs.text.shape[1]
    seen = {}
    program = StepProgram(
        {site.name: tap_of_all_tokens(tokens) for site in sd1.ours.sites if site.cross},
        record=lambda site, grid, taps: seen.setdefault(site, (grid, *taps)),
    )
    watched = call(sd1.ours, inputs, program=program)
    assert torch.equal(watched, call(sd1.ours, inputs))
    assert set(seen) == {site for site in sd1.ours.sites if site.cross}
    for site, (grid, taps) in seen.items():
        assert grid == (-(-7 // site.downsampling), -(-10 // site.downsampling))
        assert taps.shape == (2, site.heads, grid[0] * grid[1], tokens)
        torch.testing.assert_close(taps.sum(-1), torch.ones(taps.shape[:-1]))


def test_stop_after_runs_nothing_behind_its_site(pair):
    inputs = pair.inputs(1, 4, 4)
    names = [site.name for site in pair.ours.sites]
    order = []
    handles = [
        module.register_forward_hook(lambda *_, name=name: order.append(name))
        for name, module in pair.ours.named_modules()
        if not list(module.children()) or isinstance(module, Attention)
    ]
    for at, name in enumerate(names):
        order.clear()
        assert call(pair.ours, inputs, program=StepProgram(stop_after=name)) is None
        assert [ran for ran in order if ran in set(names)] == names[: at + 1]
        assert order[-1] == name
    for handle in handles:
        handle.remove()


def test_a_loss_on_taps_reaches_the_sample_when_the_pass_stops_there(sd1):
    inputs = sd1.inputs(1, 6, 6)
    site = next(site for site in sd1.ours.sites if site.cross and site.place == "mid")
    taps = []
    program = StepProgram(
        {site.name: tap_of_all_tokens(inputs.text.shape[1])},
        stop_after=site.name,
        record=lambda _site, _grid, tapped: taps.extend(tapped),
    )
    sample = inputs.sample.requires_grad_()
    context = sd1.ours.text_context({"text": inputs.text})
    assert sd1.ours(sample, 10, context, program=program) is None
    (gradient,) = torch.autograd.grad(taps[0][..., 2].sum(), sample)
    assert gradient.abs().max() > 0


@pytest.mark.parametrize("rows", [1, 2])
def test_residuals_of_a_controlnet_equal_diffusers(sd1, relative_error, rows):
    inputs = sd1.inputs(2, 8, 12)
    shapes = [(16, 8, 12)] * 3 + [(16, 4, 6)] + [(32, 4, 6)] * 2 + [(32, 2, 3)] * 3
    down = tuple(torch.randn(rows, *shape) for shape in shapes)
    mid = torch.randn(rows, 32, 2, 3)
    ours = call(sd1.ours, inputs, residuals=Residuals(down, mid))
    with torch.no_grad():
        theirs = sd1.their_prediction(inputs, down_block_additional_residuals=down, mid_block_additional_residual=mid)
    assert relative_error(ours, theirs) <= 1e-5
    assert not torch.equal(ours, call(sd1.ours, inputs))
    assert torch.equal(call(sd1.ours, inputs, residuals=Residuals()), call(sd1.ours, inputs))


def test_another_backend_shares_the_tensors(sd1):
    other = sd1.ours.with_backend("tiled")
    assert other.backend == "tiled"
    assert sd1.ours.backend == "auto"
    for (name, ours), (same, theirs) in zip(sd1.ours.named_parameters(), other.named_parameters(), strict=True):
        assert name == same
        assert ours is theirs
    assert {module.backend for module in other.modules() if isinstance(module, Attention)} == {"tiled"}


def steps_of(unet, inputs, program):
    """A run of three steps that hands over the floor after each."""
    # no_grad ends before each yield: a generator that is suspended inside it leaves its caller without gradients
    context, sample = unet.text_context({"text": inputs.text}), inputs.sample
    for timestep in (800, 400, 50):
        with torch.no_grad():
            sample = sample - 0.1 * unet(sample, timestep, context, program=program)
        yield sample


def test_two_interleaved_runs_do_not_touch_each_other(sd1):
    first = sd1.inputs(1, 6, 5, seed=1), None
    token = torch.linspace(0, 2, 7)[None]
    edits = {site.name: Program(lanes=(Lanes("text", token=token),)) for site in sd1.ours.sites if site.cross}
    second = sd1.inputs(3, 4, 8, seed=2), StepProgram(edits)
    alone = [list(steps_of(sd1.ours, *run)) for run in (first, second)]
    together = list(zip(steps_of(sd1.ours, *first), steps_of(sd1.ours, *second), strict=True))
    for step, (ours, others) in enumerate(together):
        assert torch.equal(ours, alone[0][step])
        assert torch.equal(others, alone[1][step])


def test_two_threads_do_not_touch_each_other(sd1):
    inputs = [sd1.inputs(1, 6, 5, seed=1), sd1.inputs(2, 5, 6, seed=2)]
    alone = [list(steps_of(sd1.ours, given, None))[-1] for given in inputs]
    results = {}

    def run(index):
        results[index] = [list(steps_of(sd1.ours, inputs[index], None))[-1] for _ in range(5)]

    threads = [threading.Thread(target=run, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, expected in enumerate(alone):
        assert all(torch.equal(result, expected) for result in results[index])


def test_a_failed_run_leaves_the_model_as_it_was(sd1):
    inputs = sd1.inputs(1, 5, 5)
    before = call(sd1.ours, inputs)
    state = {name: value.clone() for name, value in sd1.ours.state_dict().items()}
    site = sd1.ours.sites[1]

    def fail(*_):
        raise RuntimeError("the caller's own mistake")

    program = StepProgram({site.name: tap_of_all_tokens(inputs.text.shape[1])}, record=fail)
    with pytest.raises(RuntimeError, match="the caller's own mistake"):
        call(sd1.ours, inputs, program=program)
    assert all(torch.equal(value, state[name]) for name, value in sd1.ours.state_dict().items())
    assert torch.equal(call(sd1.ours, inputs), before)


def test_inputs_that_do_not_fit_are_refused_before_anything_runs(sd1):
    inputs = sd1.inputs(2, 4, 4)
    unet = sd1.ours
    context = unet.text_context({"text": inputs.text})
    added = Added(torch.zeros(2, 8), torch.zeros(2, 6))
    site = unet.sites[1].name
    refused = [
        (lambda: unet(inputs.sample[:, :3], 1, context), r"sample is \[2, 3, 4, 4\].*\[rows, 4, height, width\]"),
        (lambda: unet(inputs.sample[0], 1, context), "sample"),
        (lambda: unet(inputs.sample[..., :0], 1, context), "sample"),
        (lambda: unet(inputs.sample.half(), 1, context), r"sample.dtype.*sample.to\(unet.dtype\)"),
        (lambda: unet(inputs.sample[:1], 1, context), "context.rows is 2.*must be 1, as many as the sample"),
        (lambda: unet(inputs.sample, torch.tensor([1, 2, 3]), context), "timestep"),
        (lambda: unet(inputs.sample, 1, context, added), "added is .*left out"),
        (lambda: unet(inputs.sample, 1, context, None, StepProgram({"mid": Program()})), "22 attention sites.*nearest"),
        (lambda: unet(inputs.sample, 1, context, None, StepProgram(stop_after=site[:-1])), f"stop_after.*{site}"),
        (lambda: unet.text_context({"region:0": inputs.text}), 'with "text"'),
        (lambda: unet.text_context({"text": inputs.text, "self": inputs.text}), 'without "self"'),
        (lambda: unet.text_context({"text": inputs.text[..., :5]}), r"text is \[2, 7, 5\].*\[2, tokens, 24\]"),
        (lambda: unet.text_context({"text": inputs.text, "b": inputs.text[:1]}), r"b is \[1, 7, 24\]"),
        (lambda: unet.text_context({"text": inputs.text.half()}), "text.dtype"),
    ]
    with calls_counted(unet) as counts:
        for attempt, sentence in refused:
            with pytest.raises(BadValue, match=sentence):
                attempt()
        assert not counts


def test_a_context_of_another_model_is_refused(sd1, sdxl):
    inputs = sd1.inputs(2, 4, 4)
    context = sdxl.ours.text_context({"text": inputs.text})
    with pytest.raises(BadValue, match=r"context is 'made by another model'.*this model's text_context"):
        sd1.ours(inputs.sample, 1, context)


def test_residuals_that_do_not_fit_are_refused(sd1):
    inputs = sd1.inputs(2, 8, 8)
    with pytest.raises(BadValue, match=r"len\(residuals.down\) is 1.*must be 9, one for each skip"):
        call(sd1.ours, inputs, residuals=Residuals((torch.zeros(2, 16, 8, 8),)))
    with pytest.raises(BadValue, match=r"residuals.mid is \[2, 32, 3, 3\].*\[2, 32, 2, 2\]"):
        call(sd1.ours, inputs, residuals=Residuals(mid=torch.zeros(2, 32, 3, 3)))


def test_pooled_text_and_sizes_must_be_there_and_fit(sdxl):
    inputs = sdxl.inputs(2, 4, 4)
    for added, sentence in (
        (None, "added is None.*reads pooled text"),
        (Added(torch.zeros(2, 19), torch.zeros(2, 6)), r"added.text_embeds is \[2, 19\].*\[2, 20\] beside 6 sizes"),
        (Added(torch.zeros(2, 20), torch.zeros(1, 6)), "added.time_ids"),
    ):
        with pytest.raises(BadValue, match=sentence):
            call(sdxl.ours, dataclasses.replace(inputs, added=added))


def test_sides_that_unpadded_convolutions_would_lose_are_refused(make_pair, small_settings):
    unpadded = make_pair({**small_settings, "downsample_padding": 0})
    assert call(unpadded.ours, unpadded.inputs(1, 4, 5)).shape == (1, 4, 4, 5)
    with pytest.raises(BadValue, match="of at least 4 on each side"):
        call(unpadded.ours, unpadded.inputs(1, 3, 8))
