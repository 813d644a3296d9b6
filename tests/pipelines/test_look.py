"""Looking at a real picture is noise and one forward a time, as diffusers would make it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.asked import Probe
from pipelines.assets import Asset
from pipelines.capture import Capture
from pipelines.pipeline import Pipeline
from tests.models import write_model, write_sd2_model, write_xl_model
from tests.pipelines.materialised import Kept, Materialise, theirs
from xattn.errors import BadValue, UnknownWord, Unsupported

PROMPT = "a fox on purple"


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    x, y = np.meshgrid(np.linspace(0, 255, 64), np.linspace(0, 255, 96))
    return Image.fromarray(np.stack([x, y, 255 - x], axis=-1).astype(np.uint8))


def test_it_is_noise_and_one_forward_a_time(pipe: Pipeline, folder: Path, photo: Image.Image) -> None:
    capture = Capture(("fox",), ("layer", "head"), resolution="native")
    seen = pipe.look(photo, PROMPT, at=(0.1, 0.5), maps=capture, width=64, height=96, seed=3)

    other, kept = theirs(folder), Kept()
    other.unet.set_attn_processor(Materialise(kept))
    generator = torch.Generator().manual_seed(3)
    pixels = torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        text, _ = other.encode_prompt(PROMPT, "cpu", 1, do_classifier_free_guidance=False)
        clean = other.vae.encode(pixels).latent_dist.sample(generator) * other.vae.config.scaling_factor
        noise = torch.randn(clean.shape, generator=generator)
        for time in (100, 500):  # a tenth and a half of 0 … 999
            noisy = other.scheduler.add_noise(clean, noise, torch.tensor([time]))
            other.unet(noisy, time, encoder_hidden_states=text)
    column = list(pipe.ledger(PROMPT).columns("fox"))
    layers = len(kept.cross) // 2
    for number, probs in enumerate(kept.cross):
        if probs.shape[2] == 96:
            time, layer = divmod(number, layers)
            expected = probs[0][..., column].sum(-1).unflatten(-1, (12, 8)).numpy()
            np.testing.assert_allclose(seen.to_numpy()[0, time, layer, :4], expected, rtol=2e-3, atol=1e-5)


def test_times_are_an_axis(pipe: Pipeline, photo: Image.Image) -> None:
    capture = Capture(("fox", Probe("cat")), places=((0.5, 0.5),), self_attention=True)
    seen = pipe.look(photo, PROMPT, at=(0.6, 0.2), maps=capture)
    assert seen.values.shape[:2] == (2, 2)
    assert (seen.times, seen.steps) == ((0.6, 0.2), ())
    early = pipe.look(photo, PROMPT, at=0.2, maps=capture)  # type: ignore[arg-type]
    np.testing.assert_allclose(seen.at(time=0.2)["fox"], early["fox"], rtol=1e-4)
    assert seen.at(time=0.2).places[0] == pytest.approx(early.places[0], rel=1e-3)  # type: ignore[index]
    assert seen.at(time=0.2).where(0.5, 0.5)["fox"] == pytest.approx(early.where(0.5, 0.5)["fox"], rel=1e-3)
    assert len(seen.along("step")) == 2
    assert seen.made.sigmas[0] > seen.made.sigmas[1]
    assert seen.overlay(photo, by="step").width > 0
    with pytest.raises(BadValue, match=r"0\.6, 0\.2"):
        seen.at(time=0.5)


def test_the_picture_keeps_its_shape(pipe: Pipeline, tmp_path: Path) -> None:
    wide = Image.new("RGBA", (500, 250), (90, 200, 30, 128))
    wide.save(tmp_path / "wide.png")
    seen = [pipe.look(image, PROMPT, at=(0.5,)) for image in (wide, tmp_path / "wide.png", Asset.from_image(wide))]
    assert seen[0].values.shape[-2:] == (4, 8)
    for other in seen[1:]:
        assert (other.values == seen[0].values).all()
    assert seen[0].rest is not None, "all words, where none are named"
    assert not np.allclose(pipe.look(wide, PROMPT, at=(0.5,), seed=1)["fox"], seen[0]["fox"])


@pytest.mark.parametrize("write", [write_sd2_model, write_xl_model])
def test_other_families_can_look_too(write: object, tmp_path: Path, photo: Image.Image) -> None:
    pipe = Pipeline.from_pretrained(write(tmp_path / "model"))  # type: ignore[operator]
    seen = pipe.look(photo, PROMPT, at=(0.0, 1.0), words=("fox",))
    assert np.isfinite(seen.to_numpy()).all()
    assert seen["fox"].std() > 0


def test_mistakes_are_told(pipe: Pipeline, photo: Image.Image, tmp_path: Path) -> None:
    with pytest.raises(UnknownWord, match="Its words are"):
        pipe.look(photo, PROMPT, words=("cat",))
    with pytest.raises(BadValue, match="at is"):
        pipe.look(photo, PROMPT, at=(1.5,))
    with pytest.raises(BadValue, match="different"):
        pipe.look(photo, PROMPT, at=())
    with pytest.raises(BadValue, match="the same at every step"):
        pipe.look(photo, "a [fox:cat:0.5]", words="*")
    with pytest.raises(BadValue, match="role"):
        pipe.look(photo, PROMPT, maps=Capture(role="uncond"))
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(BadValue, match="PNG, JPEG or WebP"):
        pipe.look(tmp_path / "text.png", PROMPT)
    inpaints = Pipeline.from_pretrained(write_model(tmp_path / "inpaints", inpaints=True))
    with pytest.raises(Unsupported, match="another model"):
        inpaints.look(photo, PROMPT)
