"""What web UIs write into pictures, read as recipes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.guidance.rules import ClassifierFree, Projected
from pipelines.infotext import infotext
from pipelines.infotext_reader import read_infotext
from pipelines.recipe import Recipe
from pipelines.stages import stages
from pipelines.upscale import Upscale
from xattn.errors import BadValue

A1111 = """a (red:1.3) fox,
in the snow
Negative prompt: blurry,
ugly
Steps: 30, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7.5, Seed: 42, Size: 512x768, Model hash: 6ce0161689, \
Model: v1-5, Clip skip: 2, Version: v1.10.1"""


def test_a_web_uis_picture_comes_over_with_its_gpu_noise() -> None:
    imported = read_infotext(A1111)
    assert imported.recipe == Recipe(
        "a (red:1.3) fox,\nin the snow",
        negative_prompt="blurry,\nugly",
        clip_skip=1,
        seed=42,
        num_inference_steps=30,
        guidance_scale=7.5,
        scheduler="dpmpp_2m",
        sigmas="karras",
        noise="nv",
        width=512,
        height=768,
    )
    assert imported.notes == (
        "Clip skip 2 is brought as clip_skip=1. Most web UIs heed it with Stable Diffusion 1 only: with 2 and XL set "
        "clip_skip to 0 for the same picture.",
        "It was drawn by the model v1-5; load that one for the same picture.",
    )


@pytest.mark.parametrize(
    ("said", "noise"), [("RNG: CPU", "cpu"), ("RNG: NV", "nv"), ("RNG: GPU", "nv"), ("ENSD: 1", "nv")]
)
def test_noise_is_a_gpus_unless_the_text_says_otherwise(said: str, noise: str) -> None:
    assert read_infotext(f"a fox\nSteps: 3, Sampler: Euler, Seed: 1, {said}").recipe.noise == noise


def test_old_names_hold_the_schedule_too() -> None:
    recipe = read_infotext("a fox\nSteps: 3, Sampler: DPM++ 2M Karras, Seed: 1").recipe
    assert (recipe.scheduler, recipe.sigmas) == ("dpmpp_2m", "karras")


def test_a_stochastic_sampler_on_a_gpu_does_not_come_back_and_that_is_told() -> None:
    imported = read_infotext("a fox\nSteps: 3, Sampler: DPM++ 2M SDE, Seed: 1")
    assert (imported.recipe.scheduler, imported.recipe.noise) == ("dpmpp_2m_sde", "cpu")
    assert any("another picture" in note for note in imported.notes)


@pytest.mark.parametrize(("label", "name"), [("Euler a", "euler_a"), ("LCM", "lcm")])
def test_a_sampler_that_takes_a_gpus_noise_at_its_steps_comes_over_with_it(label: str, name: str) -> None:
    imported = read_infotext(f"a fox\nSteps: 3, Sampler: {label}, Seed: 1")
    assert (imported.recipe.scheduler, imported.recipe.noise) == (name, "nv")
    assert not imported.notes


def test_a_second_pass_and_a_variation_come_over() -> None:
    recipe = read_infotext(
        "a fox\nSteps: 20, Sampler: DDIM, Seed: 1, Size: 64x64, Variation seed: 9, Variation seed strength: 0.25, "
        "Denoising strength: 0.5, Hires upscale: 2, Hires steps: 10, Hires upscaler: Latent (nearest)"
    ).recipe
    assert recipe.passes == (Upscale(2.0, 0.5, "latent-nearest"),), "half of 20 are the 10 that run"
    assert (recipe.variation_seed, recipe.variation_strength) == (9, 0.25)


@given(runs=st.integers(1, 200), percent=st.integers(20, 100), steps=st.integers(1, 200))
def test_as_many_steps_of_a_second_pass_run_as_the_text_says(runs: int, percent: int, steps: int) -> None:
    """In web UIs `Hires steps` (or `Steps`, where that is not there) run, at any strength; ours are shared out."""
    text = f"a fox\nSteps: {steps}, Sampler: DDIM, Seed: 1, Hires upscale: 2, Denoising strength: {percent / 100}"
    for said, expected in ((f"{text}, Hires steps: {runs}", runs), (text, steps)):
        recipe = read_infotext(said).recipe
        drawn = stages(replace(recipe, width=64, height=64))
        assert (drawn[0].runs, drawn[1].runs) == (steps, expected)
        written = infotext(recipe, "xattn 0.1.0")
        assert f"Hires steps: {expected}," in written
        assert read_infotext(written).recipe == recipe


@pytest.mark.parametrize(
    ("settings", "note"),
    [
        ("Steps: 20, Sampler: Restart, Seed: 1", 'no scheduler "Restart"'),
        ("Steps: many, Sampler: DDIM, Seed: 1", "Steps is 'many'"),
        ("Steps: 20, Sampler: DDIM, Size: 100x100", "width is 100"),
        ("Steps: 20, Sampler: Euler a, Schedule type: Karras", "no Karras sigmas"),
        ("Steps: 20, Sampler: Euler, Schedule type: Turbo", "Schedule type Turbo"),
        ('Steps: 20, Sampler: Euler, Lora hashes: "a: b, c: d"', "Not brought over: Lora hashes"),
        ("Steps: 20, Seed: 1, CFG scale: 5, Schedule type: Karras", "Not brought over: Schedule type"),
        ("Steps: 20, Sampler: Euler, Seed: 1, RNG: dice", "RNG dice"),
        ("Steps: 20, Sampler: Euler, VAE: mse.pt", "Not brought over: VAE"),
        ("Steps: 20, Sampler: Euler, Variation seed: 3", "by half"),
        ("Steps: 20, Sampler: Euler, Variation seed: 3, Variation seed strength: 0.2", "column by column"),
        ("Steps: 20, Sampler: Euler, Clip skip: many", "Clip skip is 'many'"),
        ("Steps: 20, Sampler: Euler, Clip skip: 40", "clip_skip is 39"),
        ("Steps: 9, Sampler: Euler, Hires upscale: 2, Denoising strength: 1e-320", "at most 0 at a denoising strength"),
        (f"Steps: 9, Sampler: Euler, Hires upscale: 2, Denoising strength: 1, Hires steps: {10**400}", "Hires steps"),
        ("Steps: 20, Sampler: Euler, CFG Rescale: 7", "guidance.rescale"),
        ("Steps: 20, Sampler: Euler, Guidance: Magic", "Guidance Magic"),
        ("Steps: 20, Sampler: Euler, Hires steps: 3", "Not brought over: Hires steps"),
        ("Steps: 20, Sampler: Euler, Size: 64x64, Hires resize: 128x96", "Not brought over: Hires resize"),
        ("Steps: 20, Sampler: Euler, Hires upscale: 2, Denoising strength: 0.5, Hires upscaler: Latent", "bilinear"),
    ],
)
def test_what_cannot_be_brought_is_told(settings: str, note: str) -> None:
    assert any(note in said for said in read_infotext(f"a fox\n{settings}").notes)


def test_a_second_passes_size_gives_its_scale() -> None:
    imported = read_infotext(
        "a fox\nSteps: 20, Sampler: DDIM, Seed: 1, Size: 64x96, Denoising strength: 0.5, Hires resize: 128x192, "
        "Hires upscaler: Lanczos"
    )
    assert imported.recipe.passes == (Upscale(2.0, 0.5, "pixel-lanczos", steps=40),), "without their number all 20 run"
    assert imported.notes == ()


def test_a_prompt_alone_is_a_prompt() -> None:
    assert read_infotext("a fox: red, and blue").recipe == Recipe("a fox: red, and blue")
    with pytest.raises(BadValue, match="no prompt"):
        read_infotext("\nSteps: 20, Sampler: DDIM, Seed: 1")


WHOLE = Recipe("a fox", seed=7, num_inference_steps=20, guidance_scale=4.0, scheduler="ddim", width=64, height=96)


@pytest.mark.parametrize(
    "recipe",
    [
        WHOLE,
        replace(WHOLE, negative_prompt="a dog, ugly", noise="nv"),
        replace(WHOLE, scheduler="euler", sigmas="karras", variation_seed=3, variation_strength=0.5),
        replace(WHOLE, passes=(Upscale(2.0, 0.5),)),
        replace(WHOLE, passes=(Upscale(2.0, 0.4, steps=10),)),
        replace(WHOLE, clip_skip=1),
        replace(WHOLE, guidance=ClassifierFree(rescale=0.7)),
        replace(WHOLE, guidance=Projected()),
    ],
)
def test_what_we_write_we_read(recipe: Recipe) -> None:
    imported = read_infotext(infotext(recipe, "xattn 0.1.0"))
    assert imported.recipe == recipe
    assert imported.notes == ()


@given(st.text())
def test_any_text_is_a_recipe_or_a_sentence(text: str) -> None:
    try:
        prompt = read_infotext(text).recipe.prompt
    except BadValue:
        return
    assert prompt.strip()


SETTINGS = "\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 64x64"


@pytest.mark.parametrize("tag", ["<hypernet:old:1>", "<lora:ink:0.8:1:lbw=OUTALL>", "<lora:ink:much>"])
def test_a_tag_without_a_reading_is_taken_out_and_told_and_the_rest_comes_over(tag: str) -> None:
    imported = read_infotext(f"a fox {tag}<lora:fine:1>\nNegative prompt: {tag} blurry{SETTINGS}")
    assert imported.recipe.prompt == "a fox <lora:fine:1>"
    assert imported.recipe.negative_prompt == " blurry"
    assert [note for note in imported.notes if tag in note] == [
        f"{tag} has no reading here, so it was taken out of the {name}." for name in ("prompt", "negative prompt")
    ]


def test_prompts_put_together_are_told() -> None:
    imported = read_infotext(f"a fox AND a cat{SETTINGS}")
    assert any("AND" in note for note in imported.notes)
    assert not any("AND" in note for note in read_infotext(f"A SANDY fox{SETTINGS}").notes)
