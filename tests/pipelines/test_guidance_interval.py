"""Guidance at some of the steps: diffusers' own at those, the prompt's prediction alone at the others."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from diffusers.guiders.adaptive_projected_guidance import AdaptiveProjectedGuidance
from diffusers.guiders.classifier_free_guidance import ClassifierFreeGuidance
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pipelines.batches import batches
from pipelines.canvas import make_canvas
from pipelines.capture import Capture
from pipelines.denoise import denoise
from pipelines.guidance import ClassifierFree, Projected
from pipelines.guidance.guide import Guide
from pipelines.infotext import infotext
from pipelines.infotext_reader import read_infotext
from pipelines.pipeline import Pipeline, StepEvent
from pipelines.plan import make_plan
from pipelines.programs import Programs
from pipelines.recipe import Recipe
from pipelines.run import prepare, scheduler_of
from pipelines.running import Running
from pipelines.techniques import Edit, Reweight
from pipelines.techniques.window import Window
from pipelines.upscale import Upscale
from tests.models import write_model
from tests.pipelines.techniques.samples import SAMPLES, SOURCE, TARGET
from xattn.errors import BadModel, BadValue
from xattn.sites import Role

FOX = Recipe("a fox", negative_prompt="a dog", seed=7, num_inference_steps=5, guidance_scale=6.0)
MIDDLE = ClassifierFree(start=0.25, stop=0.75)


def latents(pipe: Pipeline, recipe: Recipe) -> Tensor:
    return [event.latents for event in pipe.stream(recipe) if isinstance(event, StepEvent)][-1]


@given(
    ends=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted).filter(lambda ends: ends[0] < ends[1]),
    steps=st.integers(1, 60),
)
def test_the_guided_steps_are_those_of_diffusers_guiders(ends: list[float], steps: int) -> None:
    start, stop = ends
    theirs = ClassifierFreeGuidance(3.0, start=start, stop=stop)
    guide = Guide(ClassifierFree(start=start, stop=stop), [3.0], steps)
    for index in range(steps):
        theirs.set_state(index, steps, torch.tensor(0))
        assert (index in guide.guided) == (theirs.num_conditions == 2)


@pytest.mark.parametrize("rule", [replace(Projected(), start=0.2, stop=0.6), ClassifierFree(0.5, 0.2, 0.6)])
def test_a_picture_is_that_of_diffusers_parts_and_guider(
    pipe: Pipeline, folder: Path, rule: ClassifierFree | Projected
) -> None:
    theirs = StableDiffusionPipeline.from_pretrained(str(folder), local_files_only=True)
    guider: ClassifierFreeGuidance | AdaptiveProjectedGuidance
    if isinstance(rule, Projected):
        # (w - 1) beside the conditional prediction is the paper's formulation
        guider = AdaptiveProjectedGuidance(
            5.0, rule.momentum, rule.threshold, eta=0.0, use_original_formulation=True, start=0.2, stop=0.6
        )
    else:
        guider = ClassifierFreeGuidance(6.0, guidance_rescale=0.5, start=0.2, stop=0.6)
    with torch.no_grad():
        cond, uncond = theirs.encode_prompt("a fox", "cpu", 1, True, "a dog")
        scheduler = theirs.scheduler
        scheduler.set_timesteps(5)
        sample = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(7))
        for index, timestep in enumerate(scheduler.timesteps):
            guider.set_state(index, 5, timestep)
            if isinstance(guider, AdaptiveProjectedGuidance) and index == 0:
                guider.prepare_inputs({})  # begins with a momentum of nothing
            both = [theirs.unet(sample, timestep, text).sample for text in (cond, uncond)]
            sample = scheduler.step(guider.forward(*both).pred, timestep, sample).prev_sample
    torch.testing.assert_close(latents(pipe, replace(FOX, guidance=rule)), sample, rtol=1e-4, atol=1e-4)


class Choosing(Guide):
    """Guidance that is given all rows at all steps, and takes the prompt's alone where there is none."""

    def __init__(self, inner: Guide) -> None:
        self.inner, self.index = inner, -1

    def __call__(self, predicted: Mapping[Role, Tensor]) -> Tensor:
        self.index += 1
        return self.inner(predicted) if self.index in self.inner.guided else predicted["cond"]


def with_all_rows(pipe: Pipeline, recipe: Recipe) -> Tensor:
    """The final latents of a recipe whose negative rows run at every step, whether or not they are used."""
    model = pipe.model
    run = prepare(model, batches([pipe.resolve(recipe)], 9, model.text)[0], None)
    (only,) = run.passes
    planned = [stage.planned for stage in only.stages]
    inner = only.programs
    setting = replace(inner._setting, guided=None)
    programs = Programs(inner._pictures, inner._rows, model.unet.sites, setting)
    with torch.no_grad():
        plan = make_plan(
            planned, model.unet, model.text, further=only.further, programs=programs, steering=only.steering
        )
        plan = replace(plan, alone=None, running=Running(plan.rows, range(9)), guidance=Choosing(plan.guidance))
        scheduler = scheduler_of(only.stages[0], model)
        canvas = make_canvas(only.stages, plan, model, scheduler, None)
    made = [done.latents for done in denoise(model.unet, scheduler, canvas, plan)][-1]
    return made[[place for _, place in run.batch.wanted]]


@pytest.mark.parametrize("edit", SAMPLES.values(), ids=SAMPLES)
def test_leaving_rows_out_changes_no_edit(pipe: Pipeline, edit: Edit) -> None:
    both = replace(edit, window=replace(edit.window, rows=("cond", "uncond")))
    source = replace(SOURCE, negative_prompt="red, a cat, a dog")
    recipe = replace(TARGET, negative_prompt="a cat and a fox", edits=(both,), guidance=MIDDLE, source=source)
    torch.testing.assert_close(latents(pipe, recipe), with_all_rows(pipe, recipe), rtol=1e-4, atol=1e-4)


def test_the_rows_of_the_negative_prompt_do_not_run_where_nothing_is_guided(pipe: Pipeline) -> None:
    ran: list[int] = []
    hook = pipe.model.unet.conv_norm_out.register_forward_hook(lambda _, given, __: ran.append(len(given[0])))
    try:
        pipe([replace(FOX, guidance=MIDDLE, seed=seed) for seed in (1, 2)], num_inference_steps=4)
    finally:
        hook.remove()
    assert ran == [2, 4, 4, 2]


def test_watching_changes_no_bit_and_sees_every_step(pipe: Pipeline) -> None:
    recipe = replace(FOX, guidance=MIDDLE, num_inference_steps=4)
    seen = pipe(recipe, maps=Capture(("fox",), keep=("step",), places=((0.5, 0.5),), self_attention=True))
    assert (np.asarray(seen.image) == np.asarray(pipe(recipe).image)).all()
    assert seen.maps is not None
    assert seen.maps.steps == (1, 2, 3, 4)
    assert all((seen.maps.at(step=step).values > 0).any() for step in seen.maps.steps)


def test_maps_of_the_negative_rows_are_of_the_steps_at_which_they_run(pipe: Pipeline) -> None:
    recipe = replace(FOX, guidance=MIDDLE, num_inference_steps=4)
    seen = pipe(recipe, maps=Capture(("dog",), keep=("step",), role="uncond"))
    assert seen.maps is not None
    assert seen.maps.steps == (2, 3)
    with pytest.raises(BadValue, match="no step is guided"):
        pipe(replace(recipe, guidance=ClassifierFree(stop=0.01)), maps=Capture(("dog",), role="uncond"))


def test_an_edit_of_negative_rows_that_never_run_is_refused(pipe: Pipeline) -> None:
    edit = Reweight("dog", 2.0, window=Window(rows=("uncond",)))
    with pytest.raises(BadValue, match="no step is guided"):
        pipe(replace(FOX, edits=(edit,), guidance=ClassifierFree(stop=0.01)))


def test_each_pass_has_an_interval_of_its_own_steps(pipe: Pipeline) -> None:
    ran: list[int] = []
    hook = pipe.model.unet.conv_norm_out.register_forward_hook(lambda _, given, __: ran.append(len(given[0])))
    try:
        pipe(replace(FOX, guidance=MIDDLE, num_inference_steps=4, passes=(Upscale(1.5, 0.5),)))
    finally:
        hook.remove()
    assert ran == [1, 2, 2, 1, 2, 1]  # int(.25 · 2) = 0 … int(.75 · 2) = 1


def test_prompts_that_change_over_the_steps_change_there_too(pipe: Pipeline) -> None:
    recipe = replace(FOX, prompt="a [fox:cat:0.5]", negative_prompt="a [dog|cat]", guidance=MIDDLE)
    torch.testing.assert_close(latents(pipe, recipe), with_all_rows(pipe, recipe), rtol=1e-4, atol=1e-4)


def test_intervals_do_not_meet_in_a_batch(pipe: Pipeline) -> None:
    recipes = [replace(FOX, guidance=rule) for rule in (None, MIDDLE, ClassifierFree(), ClassifierFree(stop=0.5))]
    for recipe, result in zip(recipes, pipe(recipes), strict=True):
        assert np.abs(np.asarray(result.image).astype(int) - np.asarray(pipe(recipe).image).astype(int)).max() <= 1


@pytest.mark.parametrize("ends", [(0.5, 0.5), (0.8, 0.2), (-0.1, 1.0), (0.0, 1.1), ("0", 1.0), (float("nan"), 1.0)])
@pytest.mark.parametrize("kind", [ClassifierFree, Projected])
def test_an_interval_that_is_none_is_refused(kind: type[ClassifierFree], ends: tuple[float, float]) -> None:
    with pytest.raises(BadValue, match=r"guidance\.st"):
        kind(start=ends[0], stop=ends[1])


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = write_model(tmp_path_factory.mktemp("models") / "limited")
    (made / "defaults.json").write_text(json.dumps({"guidance_start": 0.25, "guidance_stop": 0.75}))
    return made


def test_a_models_own_interval_is_for_recipes_that_leave_it_open(pipe: Pipeline, limited: Path) -> None:
    own = Pipeline.from_pretrained(limited)
    assert own(FOX).recipe.guidance == MIDDLE
    torch.testing.assert_close(latents(own, FOX), latents(pipe, replace(FOX, guidance=MIDDLE)), rtol=0, atol=0)
    for rule in (ClassifierFree(), Projected(), ClassifierFree(0.7)):
        kept = own(replace(FOX, guidance=rule)).recipe
        assert Recipe.from_json(kept.to_json()).guidance == rule
    torch.testing.assert_close(latents(own, replace(FOX, guidance=ClassifierFree())), latents(pipe, FOX))
    # a model without one leaves recipes, and so their hashes, as they were
    assert pipe(FOX).recipe.guidance is None


def test_a_source_takes_the_interval_of_the_picture_that_starts_from_it(limited: Path) -> None:
    own = Pipeline.from_pretrained(limited)
    resolved = own.resolve(TARGET)
    assert resolved.source is not None
    assert resolved.source.guidance == resolved.guidance == MIDDLE
    with pytest.raises(BadValue, match=r"source\.guidance"):
        own.resolve(replace(TARGET, guidance=MIDDLE, source=replace(SOURCE, guidance=ClassifierFree())))


def test_a_models_interval_that_is_none_is_told_when_it_is_loaded(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "wrong")
    (folder / "defaults.json").write_text(json.dumps({"guidance_start": 0.75, "guidance_stop": 0.25}))
    with pytest.raises(BadModel, match=r"defaults\.json.*guidance\.stop"):
        Pipeline.from_pretrained(folder)


def test_it_is_told_before_a_run(pipe: Pipeline) -> None:
    recipe = replace(FOX, guidance=MIDDLE, num_inference_steps=20)
    told = pipe.explain(recipe)
    assert "uncond, cond (uncond at steps 6 to 15 of 20)" in str(told)
    assert told.document()["guided_steps"] == [6, 15]
    assert told.step == 6
    assert "none of 20 steps" in str(pipe.explain(replace(recipe, guidance=ClassifierFree(stop=0.01))))
    assert "uncond at" not in str(pipe.explain(FOX))
    assert pipe.explain(replace(FOX, guidance_scale=1.0)).document()["guided_steps"] is None


@given(start=st.floats(0, 0.9), width=st.floats(0.05, 1), steps=st.integers(1, 99))
def test_other_tools_names_for_it_come_back(start: float, width: float, steps: int) -> None:
    rule = ClassifierFree(start=start, stop=min(1.0, start + width))
    recipe = Recipe("a fox", guidance=rule, num_inference_steps=steps, seed=1, width=64, height=64)
    text = infotext(recipe, "xattn 0")
    read = read_infotext(text)
    assert read.recipe.rule.steps(steps) == rule.steps(steps) or not rule.steps(steps)
    if found := re.search(r"Skip Early CFG: ([\d.e-]+)", text):
        # what AUTOMATIC1111's web UI would do with it: step / total_steps <= the number is skipped
        skipped = [index for index in range(steps) if index / steps <= float(found[1])]
        assert len(skipped) == rule.steps(steps).start


def test_a_web_uis_skipped_beginning_is_read_as_it_is_meant() -> None:
    text = "a fox\nSteps: 20, Sampler: DDIM, CFG scale: 7, Seed: 1, Size: 64x64, Skip Early CFG: 0.2, RNG: CPU"
    read = read_infotext(text)
    assert read.recipe.rule.steps(20) == range(5, 20)  # 4 / 20 <= 0.2 is skipped too
    assert not read.notes
    assert read_infotext(text.replace("0.2", "1.0")).recipe.guidance is None
