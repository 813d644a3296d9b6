"""Folders that diffusers writes are read; anything else is refused in one sentence with file, key and remedy."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from unet import load_unet
from unet.checkpoint import CONFIG, INDEX, WEIGHTS
from xattn.errors import BadModel, BadValue


@pytest.fixture(scope="module")
def pair(make_pair, small_settings):
    return make_pair(small_settings)


@pytest.fixture
def folder(pair, tmp_path):
    pair.theirs.save_pretrained(tmp_path / "unet")
    return tmp_path / "unet"


def change_weights(folder: Path, change) -> None:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)


def change_config(folder: Path, **settings: object) -> None:
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | settings))


def refusal(folder: Path) -> str:
    """The sentence with which `folder` is refused."""
    with pytest.raises(BadModel) as error:
        load_unet(folder)
    message = str(error.value)
    assert message.endswith(".")
    assert ". " not in message.replace(str(folder), "")
    return message


def test_a_folder_of_diffusers_gives_the_same_prediction(pair, folder):
    inputs = pair.inputs(2, 6, 5)
    unet = load_unet(folder)
    assert not unet.training
    assert not any(parameter.requires_grad for parameter in unet.parameters())
    with torch.no_grad():
        ours = unet(inputs.sample, inputs.timestep, unet.text_context({"text": inputs.text}))
        assert torch.equal(ours, pair.our_prediction(inputs))


def test_shards_give_the_same_weights(pair, tmp_path):
    pair.theirs.save_pretrained(tmp_path, max_shard_size="100KB")
    assert (tmp_path / INDEX).is_file()
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    state = load_unet(tmp_path).state_dict()
    assert all(torch.equal(state[key], value) for key, value in pair.theirs.state_dict().items())


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_come_in_the_dtype_asked_for_whatever_is_stored(pair, folder, stored):
    change_weights(folder, lambda tensors: tensors.update({k: v.to(stored) for k, v in tensors.items()}))
    unet = load_unet(folder, dtype=torch.float32)
    assert {parameter.dtype for parameter in unet.parameters()} == {torch.float32}
    key = "conv_in.weight"
    assert torch.equal(unet.state_dict()[key], pair.theirs.state_dict()[key].to(stored).float())


def test_loaded_weights_outlive_their_file(pair, folder):
    unet = load_unet(folder)
    size = (folder / WEIGHTS).stat().st_size
    with (folder / WEIGHTS).open("r+b") as file:
        file.write(b"\x7f" * size)
    for key, value in pair.theirs.state_dict().items():
        assert torch.equal(unet.state_dict()[key], value)


def test_a_missing_key_is_named(folder):
    change_weights(folder, lambda tensors: tensors.pop("conv_out.bias"))
    message = refusal(folder)
    assert f"{folder / WEIGHTS} lacks conv_out.bias [4], which config.json asks for" in message
    assert "use the config.json that belongs" in message


def test_several_missing_keys_are_counted(folder):
    change_weights(folder, lambda tensors: [tensors.pop(f"conv_out.{name}") for name in ("weight", "bias")])
    assert "lacks conv_out.weight [4, 16, 3, 3] and 1 more, which" in refusal(folder)


def test_an_unexpected_key_is_named(folder):
    change_weights(folder, lambda tensors: tensors.update({"extra.weight": torch.zeros(2, 3)}))
    assert f"{folder / WEIGHTS} holds extra.weight [2, 3], which config.json has no place for" in refusal(folder)


def test_a_misshaped_key_is_named_with_both_shapes(folder):
    change_weights(folder, lambda tensors: tensors.update({"conv_in.weight": torch.zeros(16, 9, 3, 3)}))
    assert "holds conv_in.weight as [16, 9, 3, 3], but config.json makes it [16, 4, 3, 3]" in refusal(folder)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"in_channels": 9}, "conv_in.weight"),
        ({"cross_attention_dim": 48}, "attn2.to_k.weight"),
        ({"use_linear_projection": True}, "proj_in.weight"),
        ({"layers_per_block": 2}, "resnets"),
    ],
)
def test_a_config_that_disagrees_with_its_weights_is_refused(folder, settings, key):
    change_config(folder, **settings)
    message = refusal(folder)
    assert key in message
    assert CONFIG in message
    assert WEIGHTS in message


def test_a_config_that_is_not_implemented_names_its_file(folder):
    change_config(folder, attention_type="gated")
    assert refusal(folder).startswith(f"In {folder / CONFIG}, attention_type is 'gated', but it must be 'default'")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.999])
def test_a_truncated_file_is_refused(folder, share):
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[: int(len(whole) * share)])
    message = refusal(folder)
    assert f"{folder / WEIGHTS} is no whole safetensors file" in message
    assert "get it again" in message


@pytest.mark.parametrize("content", [b"<html>404</html>" * 100, b"\x80\x02}q\x00." * 9, bytes(4096)])
def test_a_file_of_another_kind_is_refused(folder, content):
    (folder / WEIGHTS).write_bytes(content)
    assert "is no whole safetensors file" in refusal(folder)


def test_a_foreign_safetensors_file_is_refused_with_what_it_holds(folder):
    save_file({"model.diffusion_model.out.2.bias": torch.zeros(4)}, folder / WEIGHTS)
    message = refusal(folder)
    assert "holds 1 tensors such as model.diffusion_model.out.2.bias" in message
    assert "convert" in message


def test_quantised_weights_are_refused(folder):
    change_weights(folder, lambda tensors: tensors.update({"conv_in.bias": torch.zeros(16, dtype=torch.int8)}))
    assert "stores conv_in.bias as I8, but weights must be one of F64, F32, F16, BF16" in refusal(folder)


@pytest.mark.parametrize("name", ["diffusion_pytorch_model.bin", "model.ckpt", "unet.pt"])
def test_a_pickle_is_refused_unopened(folder, name):
    class Trap:
        def __reduce__(self):
            return pytest.fail, ("the pickle was opened",)

    (folder / WEIGHTS).unlink()
    (folder / name).write_bytes(pickle.dumps(Trap()))
    message = refusal(folder)
    assert f"{folder / name} is a pickle" in message
    assert "save_pretrained" in message


def test_a_checkpoint_file_instead_of_a_folder_is_refused(folder):
    for name in (WEIGHTS, CONFIG):
        assert "is a file, but a UNet is a folder with config.json" in refusal(folder / name)
    assert "does not exist" in refusal(folder / "nowhere")


def test_a_folder_without_config_or_weights_is_refused(folder):
    assert f"give its folder {folder}" in refusal(folder.parent)
    (folder / WEIGHTS).rename(folder / "diffusion_pytorch_model.fp16.safetensors")
    assert f"must be called {WEIGHTS}; rename the file" in refusal(folder)
    (folder / "diffusion_pytorch_model.fp16.safetensors").unlink()
    assert f"holds no weights: {WEIGHTS} is missing" in refusal(folder)
    (folder / CONFIG).unlink()
    assert f"holds no {CONFIG}" in refusal(folder)


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", "3", '{"in_channels": NaN}', "\ud800"])
def test_a_config_that_is_no_json_object_is_refused(folder, content):
    (folder / CONFIG).write_bytes(content.encode("utf-8", "surrogatepass"))
    assert str(folder / CONFIG) in refusal(folder)


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ({}, "has no weight_map"),
        ({"weight_map": {"conv_in.weight": 3}}, "has no weight_map"),
        ({"weight_map": {"conv_in.weight": "../away.safetensors"}}, "must be a safetensors file beside it"),
        ({"weight_map": {"conv_in.weight": "part.bin"}}, "must be a safetensors file beside it"),
        ({"weight_map": {"conv_in.weight": "part.safetensors"}}, "lacks the shard part.safetensors"),
    ],
)
def test_a_bad_index_is_refused(folder, index, expected):
    (folder / WEIGHTS).unlink()
    (folder / INDEX).write_text(json.dumps(index))
    assert expected in refusal(folder)


def test_a_key_in_two_shards_is_refused(folder):
    (folder / WEIGHTS).rename(folder / "one.safetensors")
    save_file({"conv_in.bias": torch.zeros(16)}, folder / "two.safetensors")
    index = {"weight_map": {"conv_in.weight": "one.safetensors", "conv_in.bias": "two.safetensors"}}
    (folder / INDEX).write_text(json.dumps(index))
    assert "two.safetensors holds conv_in.bias, and so does one.safetensors" in refusal(folder)


def test_a_dtype_that_is_not_floating_is_refused(folder):
    with pytest.raises(BadValue, match="floating"):
        load_unet(folder, dtype=torch.int32)
