"""A diffusers pipeline that already runs, seen and edited without a copy of its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

from pipelines.pipeline import Pipeline
from tests.models import write_model, write_sd2_model, write_xl_model
from xattn.errors import BadModel


@pytest.fixture(params=["sd1", "sd2", "xl"])
def theirs(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param != "xl":
        folder = (write_model if request.param == "sd1" else write_sd2_model)(tmp_path / "tiny")
        made = StableDiffusionPipeline.from_pretrained(str(folder), local_files_only=True)
    else:
        folder = write_xl_model(tmp_path / "tiny-xl")
        made = StableDiffusionXLPipeline.from_pretrained(str(folder), local_files_only=True, add_watermarker=False)
    made.set_progress_bar_config(disable=True)
    return made


def storages(module: torch.nn.Module) -> set[int]:
    return {tensor.untyped_storage().data_ptr() for tensor in module.state_dict().values()}


def test_nothing_is_copied_and_nothing_changes(theirs: Any) -> None:
    modes = [(p.requires_grad, p.device) for p in theirs.unet.parameters()]
    ours = Pipeline.from_diffusers(theirs)
    assert storages(ours.model.unet) == storages(theirs.unet)
    assert ours.model.vae.module is theirs.vae
    assert ours.model.text.towers[0].module is theirs.text_encoder  # type: ignore[attr-defined]
    ours("a fox on purple", seed=7, num_inference_steps=2, words=("fox",))
    assert [(p.requires_grad, p.device) for p in theirs.unet.parameters()] == modes
    with torch.no_grad():
        theirs.unet.conv_in.weight.zero_()
    assert not ours.model.unet.conv_in.weight.any(), "the same memory"


def test_it_draws_what_the_pipeline_draws(theirs: Any) -> None:
    arguments = {"num_inference_steps": 3, "guidance_scale": 5.0, "negative_prompt": "a dog"}
    picture = theirs("a fox on purple", generator=torch.Generator().manual_seed(7), width=64, height=64, **arguments)
    ours = Pipeline.from_diffusers(theirs)("a fox on purple", seed=7, **arguments)  # type: ignore[call-overload]
    difference = np.asarray(ours.image).astype(int) - np.asarray(picture.images[0])
    assert np.abs(difference).max() <= 2
    assert ours.recipe.model.name.startswith("tiny")


def test_the_hash_is_of_what_is_in_memory(theirs: Any) -> None:
    before = Pipeline.from_diffusers(theirs).model.ref
    assert Pipeline.from_diffusers(theirs).model.ref == before
    with torch.no_grad():
        theirs.unet.conv_in.weight[0, 0, 0, 0] += 1
    assert Pipeline.from_diffusers(theirs).model.ref != before


def test_what_is_no_such_pipeline_is_refused() -> None:
    with pytest.raises(BadModel, match=r"object has no unet.*StableDiffusionXLPipeline"):
        Pipeline.from_diffusers(object())


def test_xls_autoencoder_that_overflows_in_half_is_copied_up_and_left_as_it_is(theirs: Any) -> None:
    theirs.vae.half()
    ours = Pipeline.from_diffusers(theirs)
    xl = hasattr(theirs, "text_encoder_2")
    assert theirs.vae.config.force_upcast, "diffusers' default, which only its XL pipelines heed"
    assert ours.model.vae.dtype is (torch.float32 if xl else torch.float16)
    assert (ours.model.vae.module is theirs.vae) == (not xl)
    assert theirs.vae.dtype is torch.float16
