"""From a run to the folder that ships and back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from weights.train import card, draw, stages
from weights.train.pack import LIMIT, pack, size_of, unpack

CPU = "2 cores of Something"


@pytest.fixture(scope="module")
def model(run, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "emoji-128"
    pack(run, folder, machine=CPU)
    return folder


def saved(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)


def test_the_folder_has_stable_diffusions_layout_and_fits(model):
    for part in ("unet", "vae"):
        assert (model / part / "diffusion_pytorch_model.safetensors").is_file()
        assert (model / part / "config.json").is_file()
    assert (model / "text_encoder" / "model.safetensors").is_file()
    assert (model / "scheduler" / "scheduler_config.json").is_file()
    assert size_of(model) <= LIMIT
    assert json.loads((model / "text_encoder" / "config.json").read_text())["dtype"] == "float32"
    assert json.loads((model / "tokenizer" / "tokenizer_config.json").read_text())["model_max_length"] == 77


def test_tensors_are_float16(model):
    from safetensors.torch import load_file

    for path in model.rglob("*.safetensors"):
        assert {tensor.dtype for tensor in load_file(path).values()} == {torch.float16}


def test_no_saved_file_says_where_it_was_made(model, run):
    for path in [*model.rglob("*.json"), model / "README.md"]:
        text = path.read_text()
        assert "_name_or_path" not in text
        assert str(run.parent) not in text
        assert str(model.parent) not in text
        assert str(Path.cwd()) not in text


def test_unpacked_weights_are_those_of_the_run_to_float16(run, model, tmp_path):
    unpack(model, tmp_path / "again")
    before, after = saved(run / "vae_final.pt"), saved(tmp_path / "again" / "vae_final.pt")
    assert before.keys() == after.keys()
    assert all(torch.equal(after[name], value.half().float()) for name, value in before.items())
    before, after = saved(run / "unet.pt")["ema"]["model"], saved(tmp_path / "again" / "start.pt")
    assert before.keys() == after.keys()
    assert all(torch.equal(after[name], value.half().float()) for name, value in before.items() if value.ndim)


def test_packing_what_was_unpacked_changes_no_tensor_and_keeps_hours_and_log(model, tmp_path):
    unpack(model, tmp_path / "again")
    pack(tmp_path / "again", tmp_path / "model", machine="another that trained nothing")
    for path in model.rglob("*.safetensors"):
        assert path.read_bytes() == (tmp_path / "model" / path.relative_to(model)).read_bytes()
    assert (model / "training.json").read_text() == (tmp_path / "model" / "training.json").read_text()


def test_history_adds_up_over_machines(model, run, tmp_path):
    again = tmp_path / "again"
    unpack(model, again)
    state = saved(again / "start.pt")
    torch.save({"step": 10, "seconds": 60.0, "ema": {"model": state}}, again / "unet.pt")
    (again / "unet.log").write_text('{"step": 10, "minutes": 1.0, "loss": 0.2}\n')
    pack(again, tmp_path / "model", machine="16 cores of Another")
    history = json.loads((tmp_path / "model" / "training.json").read_text())
    assert history["machines"] == [CPU, "16 cores of Another"]
    assert (history["stages"]["vae"]["minutes"], history["stages"]["vae"]["steps"]) == (10.0, 50)
    assert (history["stages"]["unet"]["minutes"], history["stages"]["unet"]["steps"]) == (21.0, 110)
    assert history["stages"]["unet"]["log"] == [
        {"step": 50, "minutes": 9.0, "loss": 0.5},
        {"step": 100, "minutes": 20.0, "loss": 0.45},
        {"step": 100, "minutes": 20.0, "single": 0.1},
        {"step": 110, "minutes": 21.0, "loss": 0.2},
    ]


def test_a_run_with_states_of_its_own_is_not_overwritten(model, run):
    with pytest.raises(FileExistsError) as error:
        unpack(model, run)
    assert "empty folder" in str(error.value)


def test_a_model_that_is_too_large_leaves_the_old_one_alone(run, model):
    before = {path: path.read_bytes() for path in model.rglob("*.json")}
    with pytest.raises(ValueError, match="more than 1,000"):
        pack(run, model, limit=1000)
    assert before == {path: path.read_bytes() for path in model.rglob("*.json")}


def test_the_card_says_what_is_not_measured_and_then_what_is(model):
    assert "Not measured yet" in (model / "README.md").read_text()
    figures = {
        "how": "20 DDIM steps",
        "singles": 342,
        "pairs": 240,
        "psnr": 31.25,
        "single": 0.973,
        "background": 1.0,
        "both": 0.5,
        "one": 0.9,
        "relation": None,
        "relations": {},
        "spread": {"x": 0.05, "y": 0.06, "size": 0.07},
        "weak": [{"name": "fox", "right": 1, "of": 3, "taken_for": ["lion"]}],
    }
    (model / "figures.json").write_text(json.dumps(figures))
    card.write(model)
    (model / "figures.json").unlink()
    text = (model / "README.md").read_text()
    assert "| single object recognised | 0.973 | ≥ 0.97 | yes |" in text
    assert "| both objects of a pair recognised | 0.5 | ≥ 0.85 | no |" in text
    assert "| relation right, given both | not measured | ≥ 0.9 | no |" in text
    assert "fox 1/3 (lion)" in text
    assert CPU in text


def test_the_vocabulary_names_every_word_by_kind(model):
    vocabulary = json.loads((model / "vocabulary.json").read_text())
    assert vocabulary["version"] == 1
    assert {word for words in vocabulary["kinds"].values() for word in words} == set(stages.words())


def test_the_drawing_loop_draws_diffusers_picture(model):
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(str(model))
    pipe.set_progress_bar_config(disable=True)
    theirs = [
        pipe(
            prompt,
            num_inference_steps=3,
            guidance_scale=4.0,
            generator=torch.Generator().manual_seed(seed),
            output_type="np",
        ).images[0]
        for prompt, seed in (("a fox on purple", 3), ("a cat above a dog", 4))
    ]
    ours = draw.from_folder(model, steps=3, guidance=4.0)(["a fox on purple", "a cat above a dog"], [3, 4])
    for our, their in zip(ours, theirs, strict=True):
        assert np.abs(our.astype(float) - np.round(their * 255)).max() <= 1


def test_a_folder_without_a_model_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"model_index\.json"):
        draw.from_folder(tmp_path)
