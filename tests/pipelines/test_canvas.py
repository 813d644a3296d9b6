"""Pictures from pictures: against diffusers' own pipelines, and the promises of a run."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from diffusers import (
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline,
)
from PIL import Image

from pipelines.assets import Asset
from pipelines.canvas import make_canvas
from pipelines.denoise import denoise
from pipelines.pipeline import Finished, Pipeline, StepEvent
from pipelines.plan import make_plan
from pipelines.recipe import Recipe
from pipelines.schedulers import make_scheduler
from pipelines.stages import stages
from pipelines.upscale import Upscale
from tests.models import write_model, write_xl_model
from xattn.errors import BadModel, BadValue, XattnError

SAMPLERS: dict[str, tuple[str, dict[str, object]]] = {
    "ddim": ("DDIMScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}),
    "dpmpp_2m_sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "unipc": ("UniPCMultistepScheduler", {}),
}


@pytest.fixture(scope="module")
def inpainting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "nine", seed=5, inpaints=True)


@pytest.fixture(scope="module")
def nine(inpainting: Path) -> Pipeline:
    return Pipeline.from_pretrained(inpainting)


def theirs(kind: Any, folder: Path, scheduler: str = "ddim") -> Any:
    made = kind.from_pretrained(str(folder), local_files_only=True)
    made.set_progress_bar_config(disable=True)
    name, fields = SAMPLERS[scheduler]
    made.scheduler = getattr(diffusers, name).from_config(made.scheduler.config, **fields)
    return made


def scene(width: int, height: int, seed: int = 3) -> Image.Image:
    """Soft blobs of colour with sharp-edged boxes on them."""
    rng = np.random.default_rng(seed)
    soft = Image.fromarray(rng.integers(0, 255, (5, 5, 3), dtype=np.uint8)).resize((width, height), 3)
    soft.paste((250, 240, 10), (width // 4, height // 3, width // 2, height - 5))
    return soft


def hole(width: int, height: int) -> Image.Image:
    made = Image.new("L", (width, height), 0)
    made.paste(255, (width // 3, height // 4, width - 7, height // 2 + 9))
    return made


def furthest(one: Image.Image, other: Image.Image) -> int:
    """The largest difference of two pictures, in levels of 255."""
    return int(np.abs(np.asarray(one).astype(np.int16) - np.asarray(other)).max())


def seeded(seed: int = 7) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


FOX = Recipe(
    "a fox on purple",
    negative_prompt="a dog",
    seed=7,
    num_inference_steps=5,
    guidance_scale=5.0,
    scheduler="ddim",
    width=64,
    height=48,
    init=Asset.from_image(scene(64, 48)),
)
COMMON = {"negative_prompt": "a dog", "num_inference_steps": 5, "guidance_scale": 5.0}
MASKED = replace(FOX, mask=Asset.from_image(hole(64, 48)))


@pytest.mark.parametrize("scheduler", SAMPLERS)
def test_image_to_image_is_diffusers_own(pipe: Pipeline, folder: Path, scheduler: str) -> None:
    other = theirs(StableDiffusionImg2ImgPipeline, folder, scheduler)
    expected = other(FOX.prompt, image=scene(64, 48), strength=0.65, generator=seeded(), **COMMON).images[0]
    result = pipe(replace(FOX, scheduler=scheduler, strength=0.65))
    assert furthest(result.image, expected) <= 2
    assert furthest(result.image, scene(64, 48)) > 20
    assert result.stats.steps == 3


def test_full_strength_is_diffusers_own(pipe: Pipeline, folder: Path) -> None:
    other = theirs(StableDiffusionImg2ImgPipeline, folder)
    expected = other(FOX.prompt, image=scene(64, 48), strength=1.0, generator=seeded(), **COMMON).images[0]
    result = pipe(replace(FOX, strength=1.0))
    assert furthest(result.image, expected) <= 2
    assert result.stats.steps == 5


def test_image_to_image_with_sdxl_is_diffusers_own(tmp_path: Path) -> None:
    folder = write_xl_model(tmp_path)
    other = StableDiffusionXLImg2ImgPipeline.from_pretrained(str(folder), local_files_only=True, add_watermarker=False)
    other.set_progress_bar_config(disable=True)
    expected = other(FOX.prompt, image=scene(64, 48), strength=0.65, generator=seeded(), **COMMON).images[0]
    assert furthest(Pipeline.from_pretrained(folder)(FOX, strength=0.65).image, expected) <= 2


def test_no_strength_gives_what_the_autoencoder_makes_of_the_picture(pipe: Pipeline, folder: Path) -> None:
    vae = theirs(StableDiffusionImg2ImgPipeline, folder).vae
    pixels = torch.from_numpy(np.array(scene(64, 48))).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        decoded = vae.decode(vae.encode(pixels).latent_dist.sample(seeded())).sample[0]
    expected = ((decoded / 2 + 0.5).clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    events = list(pipe.stream(replace(FOX, strength=0.0)))
    assert len(events) == 1
    assert isinstance(events[0], Finished)
    result = events[0].results[0]
    assert furthest(result.image, Image.fromarray(expected)) <= 1
    assert result.stats.steps == 0


def test_a_picture_of_another_size_is_stretched_by_lanczos(pipe: Pipeline) -> None:
    large = scene(150, 90)
    resized = large.resize((64, 48), Image.Resampling.LANCZOS)
    assert furthest(pipe(FOX, init=large).image, pipe(FOX, init=resized).image) == 0


def test_pictures_are_seen_upright_and_on_white(pipe: Pipeline) -> None:
    upright = scene(64, 48)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90°
    buffer = io.BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(buffer, "WEBP", lossless=True, exif=exif)
    turned = Asset.from_bytes(buffer.getvalue())
    assert (turned.width, turned.height) == (64, 48)
    assert furthest(pipe(FOX, init=turned).image, pipe(FOX).image) == 0
    glass = Image.new("RGBA", (64, 48), (9, 200, 9, 0))
    deep = Image.fromarray(np.full((48, 64), 65535, np.uint16))
    white = pipe(FOX, init=Image.new("RGB", (64, 48), "white")).image
    assert furthest(pipe(FOX, init=glass).image, white) == 0
    assert furthest(pipe(FOX, init=deep).image, white) == 0


@pytest.mark.parametrize("strength", [0.65, 1.0])
@pytest.mark.parametrize("scheduler", ["ddim", "euler_a", "dpmpp_2m_sde", "unipc"])
def test_inpainting_is_diffusers_own(pipe: Pipeline, folder: Path, scheduler: str, strength: float) -> None:
    other = theirs(StableDiffusionInpaintPipeline, folder, scheduler)
    expected = other(
        FOX.prompt,
        image=scene(80, 80),
        mask_image=hole(80, 80),
        strength=strength,
        generator=seeded(),
        width=64,
        height=48,
        **COMMON,
    ).images[0]
    result = pipe(FOX, scheduler=scheduler, strength=strength, init=scene(80, 80), mask=hole(80, 80))
    assert furthest(result.image, expected) <= 2


@pytest.mark.parametrize("strength", [0.65, 1.0])
@pytest.mark.parametrize("scheduler", ["ddim", "euler_a"])
def test_an_inpainting_model_is_diffusers_own(
    nine: Pipeline, inpainting: Path, scheduler: str, strength: float
) -> None:
    other = theirs(StableDiffusionInpaintPipeline, inpainting, scheduler)
    expected = other(
        FOX.prompt,
        image=scene(64, 48),
        mask_image=hole(64, 48),
        strength=strength,
        generator=seeded(),
        width=64,
        height=48,
        **COMMON,
    ).images[0]
    result = nine(replace(MASKED, scheduler=scheduler, strength=strength))
    assert furthest(result.image, expected) <= 2
    assert furthest(result.image, nine(replace(MASKED, scheduler=scheduler, strength=strength, seed=8)).image) > 20


def test_outside_a_mask_the_latents_are_the_given_pictures_in_every_pass(pipe: Pipeline) -> None:
    model, before = pipe.model, None
    recipe = pipe.resolve(replace(MASKED, passes=(Upscale(1.5, 1.0, "latent-nearest"),)))
    for size, stage in zip([(64, 48), (96, 72)], stages(recipe), strict=True):
        runs = make_scheduler("ddim", model.scheduler_config, "model", 5, skipped=stage.skipped)
        plan = make_plan([stage.recipe], model.unet, model.text)
        canvas = make_canvas([stage], plan, model, runs, before)
        *_, last = denoise(model.unet, runs, canvas, plan)
        before = last.latents
        assert canvas.kept is not None
        redrawn = canvas.kept.mask[0, 0].bool()
        first_pixels = np.asarray(hole(64, 48).resize(size, Image.Resampling.LANCZOS))[::8, ::8] >= 128
        assert np.array_equal(redrawn.numpy(), first_pixels)
        assert torch.equal(last.latents[..., ~redrawn], canvas.kept.clean[..., ~redrawn])
        assert (last.latents - canvas.kept.clean)[..., redrawn].abs().mean() > 0.3
        assert torch.equal(last.expected[..., ~redrawn], canvas.kept.clean[..., ~redrawn]), "previews show it too"


@pytest.mark.parametrize("recipe", [FOX, MASKED, replace(FOX, passes=(Upscale(1.5, 0.5, "pixel-lanczos"),))])
@pytest.mark.parametrize("scheduler", ["ddim", "euler_a"])
def test_a_picture_from_a_picture_does_not_depend_on_its_batch(pipe: Pipeline, recipe: Recipe, scheduler: str) -> None:
    others = [replace(recipe, scheduler=scheduler, seed=seed) for seed in (1, 2)]
    others[0] = replace(others[0], init=Asset.from_image(scene(64, 48, seed=9)))
    mine = replace(recipe, scheduler=scheduler)
    together = pipe([others[0], mine, others[1]])
    assert [result.provenance.batch for result in together] == [3, 3, 3]
    assert furthest(together[1].image, pipe(mine).image) <= 1
    assert furthest(together[0].image, together[1].image) > 20


def test_recipes_of_every_kind_are_drawn_together(pipe: Pipeline, nine: Pipeline) -> None:
    plain = replace(FOX, init=None)
    kinds = [plain, FOX, MASKED, replace(FOX, strength=0.4), replace(plain, passes=(Upscale(2, 0.5),))]
    for recipe, result in zip(kinds, pipe(kinds), strict=True):
        assert furthest(result.image, pipe(recipe).image) <= 1
    both = [MASKED, replace(MASKED, seed=8)]
    assert furthest(nine(both)[1].image, nine(both[1]).image) <= 1


@pytest.mark.parametrize(("method", "mode"), [("latent-bicubic", "bicubic"), ("latent-nearest", "nearest")])
def test_a_second_pass_is_diffusers_image_to_image_on_enlarged_latents(
    pipe: Pipeline, folder: Path, method: str, mode: str
) -> None:
    plain = replace(FOX, init=None, scheduler="euler_a")
    latents = theirs(StableDiffusionPipeline, folder, "euler_a")(
        FOX.prompt, width=64, height=48, generator=seeded(), output_type="latent", **COMMON
    ).images
    enlarged = F.interpolate(latents, (9, 12), mode=mode)  # 48 × 1.5 = 72, 64 × 1.5 = 96
    expected = theirs(StableDiffusionImg2ImgPipeline, folder, "euler_a")(
        FOX.prompt, image=enlarged, strength=0.65, generator=seeded(), **COMMON
    ).images[0]
    result = pipe(replace(plain, passes=(Upscale(1.5, 0.65, method),)))  # type: ignore[arg-type]
    assert result.image.size == (96, 72)
    assert furthest(result.image, expected) <= 2


def test_a_second_pass_over_pixels_is_image_to_image_on_the_enlarged_picture(pipe: Pipeline) -> None:
    plain = replace(FOX, init=None)
    first = pipe(plain).image.resize((128, 96), Image.Resampling.LANCZOS)
    expected = pipe(replace(plain, init=Asset.from_image(first), strength=0.5, width=128, height=96))
    upscaled = pipe(replace(plain, passes=(Upscale(2, 0.5, "pixel-lanczos"),)))
    assert furthest(upscaled.image, expected.image) == 0


def test_steps_and_kernels_count_on_through_the_passes(pipe: Pipeline) -> None:
    recipe = replace(FOX, strength=0.4, passes=(Upscale(1.5, 0.5, steps=6), Upscale(1.5, 0.25, steps=4)))
    events = list(pipe.stream(recipe, words="*"))
    steps = [(event.step, event.steps) for event in events if isinstance(event, StepEvent)]
    assert steps == [(place, 2 + 3 + 1) for place in range(1, 7)]
    sizes = [event.preview()[0].size for event in events if isinstance(event, StepEvent)]
    assert sizes == [(64, 48)] * 2 + [(96, 72)] * 3 + [(144, 112)]
    assert isinstance(events[-1], Finished)
    result = events[-1].results[0]
    assert result.image.size == (144, 112)
    assert result.stats.steps == 6
    assert sum(result.stats.kernels.values()) == 6 * len(pipe.model.unet.sites)
    assert result.recipe.width == 64, "the recipe says the first size, and the passes what becomes of it"


def test_an_explanation_tells_every_pass(pipe: Pipeline) -> None:
    told = str(pipe.explain(replace(MASKED, strength=0.4, passes=(Upscale(1.5, 0.5, steps=6),))))
    passes = "2 of 5 steps of ddim, 64×48, in a mask; then 3 of 6 steps of ddim, 96×72, enlarged by latent-bicubic"
    assert passes in told


def test_watching_changes_no_bit_of_any_pass(pipe: Pipeline) -> None:
    recipe = replace(MASKED, passes=(Upscale(1.5, 0.5),))
    assert furthest(pipe(recipe, words="*").image, pipe(recipe).image) == 0


def test_an_inpainting_model_is_shown_the_mask_in_every_pass(nine: Pipeline) -> None:
    passes = (Upscale(2, 0.5, "pixel-lanczos"),)
    one, other = (
        replace(MASKED, passes=passes),
        replace(MASKED, passes=passes, mask=Asset.from_image(hole(64, 30).resize((64, 48)))),
    )
    assert nine(one).image.size == (128, 96)
    assert furthest(nine(one).image, nine(other).image) > 20


def test_runs_with_pictures_do_not_touch_each_other(pipe: Pipeline) -> None:
    recipes = [FOX, replace(MASKED, scheduler="euler_a")]
    alone = [pipe(recipe).image for recipe in recipes]
    finished: dict[int, Any] = {}
    for events in zip(*[pipe.stream(recipe) for recipe in recipes], strict=True):
        finished = dict(enumerate(events))
    for place, picture in enumerate(alone):
        assert furthest(finished[place].results[0].image, picture) == 0


def test_a_model_for_inpainting_wants_a_mask(nine: Pipeline) -> None:
    with pytest.raises(BadValue, match="mask is None, but it must be given with 'nine'"):
        nine.stream(FOX)


def test_a_model_of_another_kind_is_refused(tmp_path: Path, folder: Path) -> None:
    import shutil

    from diffusers import UNet2DConditionModel

    shutil.copytree(folder, tmp_path / "eight")
    config = UNet2DConditionModel.load_config(str(folder / "unet"))
    UNet2DConditionModel.from_config(config, in_channels=8).save_pretrained(tmp_path / "eight" / "unet")
    with pytest.raises(BadModel, match="reads 8 channels"):
        Pipeline.from_pretrained(tmp_path / "eight")


def test_the_documentation_runs_as_printed(folder: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "pictures.md").read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    assert code.count("from_pretrained()") == 1
    told: dict[str, Any] = {}
    exec(code.replace("from_pretrained()", f"from_pretrained({str(folder)!r})"), told)
    assert told["result"].image.size == (128, 128)


def damaged() -> Asset:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)).save(buffer, "PNG")
    return Asset.from_bytes(buffer.getvalue()[:2000])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"init": None, "mask": hole(64, 48)}, ("init", "mask")),
        ({"init": None, "strength": 0.5}, ("init", "strength")),
        ({"strength": float("nan")}, ("strength", "nan")),
        ({"strength": 1.5}, ("strength", "1.5", "from 0 to 1")),
        ({"strength": -0.1}, ("strength", "-0.1")),
        ({"strength": 0.0, "words": "*"}, ("strength", "watched")),
        ({"strength": 0.1}, ("strength", "0.1", "5 steps", "0.2")),
        ({"mask": hole(32, 48)}, ("mask", "32x48", "64x48")),
        ({"mask": Image.new("L", (64, 48))}, ("mask", "black", "white")),
        ({"init": damaged()}, ("init", "damaged")),
        ({"init": "photo.jpg"}, ("init", "photo.jpg", "Asset.from_file")),
        ({"init": Asset("0" * 64, "image/png", 64, 48)}, ("in the store",)),
        ({"passes": (Upscale(8, 0.5), Upscale(8, 0.5))}, ("passes.scale", "2048")),
        ({"passes": (Upscale(1.01, 0.5),)}, ("passes.scale", "8 pixels")),
        ({"passes": (Upscale(2, 0.1),)}, ("passes.denoise", "0.1")),
        ({"passes": [Upscale(2, 0.5)]}, ("passes", "tuple")),
    ],
)
def test_what_cannot_be_drawn_is_a_sentence_before_the_first_step(
    pipe: Pipeline, fields: dict[str, Any], words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XATTN_CACHE", str(tmp_path))
    with pytest.raises(XattnError) as raised:
        pipe.stream(FOX, **fields)
    assert all(word in str(raised.value) for word in words), str(raised.value)
