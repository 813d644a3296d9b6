from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipelines.towers import TowerConfig, expected_shapes, load_tower
from xattn.errors import BadModel, BadValue

SMALL = {"vocab_size": 90, "eos_token_id": 89, "bos_token_id": 88}
SHAPES = {
    "L": {"hidden_act": "quick_gelu"},
    "H": {"hidden_act": "gelu", "hidden_size": 40, "num_attention_heads": 5, "intermediate_size": 101},
    "a ratio that rounds": {"hidden_size": 49, "num_attention_heads": 7, "intermediate_size": 1},
    "bigG": {"hidden_act": "gelu", "projection": True, "num_hidden_layers": 4},
    "bigG, old config": {"hidden_act": "gelu", "projection": True, "eos_token_id": 2},
    "short": {"max_position_embeddings": 16, "layer_norm_eps": 1e-3},
}


def some_ids(count: int = 5, length: int = 77) -> Tensor:
    """Random prompts as a tokenizer makes them: begin, text, end, padding after it."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, 87, (count, length), generator=generator)
    ids[:, 0] = 88
    for row in range(count):
        end = 1 + row * 3
        ids[row, end] = 89
        ids[row, end + 1 :] = 89 if row % 2 else 0
    return ids


def relative(ours: Tensor, theirs: Tensor) -> float:
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_every_layer_that_is_read_equals_transformers(
    tmp_path: Path, write_tower: Callable[..., Any], shape: dict[str, Any]
) -> None:
    theirs = write_tower(tmp_path, **(SMALL | shape))
    tower = load_tower(tmp_path)
    ids = some_ids(length=tower.length)
    with torch.no_grad():
        expected = theirs(ids, output_hidden_states=True)
        norm = getattr(theirs, "text_model", theirs).final_layer_norm
    hidden, pooled = tower(ids)
    assert relative(hidden, expected.last_hidden_state) < 1e-5
    assert 0.5 < hidden.std() < 2
    for skip in range(tower.config.layers):
        theirs_skipped = expected.hidden_states[-(skip + 1)]
        assert relative(tower(ids, skip=skip, normed=False)[0], theirs_skipped) < 1e-5
        with torch.no_grad():
            assert relative(tower(ids, skip=skip)[0], norm(theirs_skipped)) < 1e-5
    if shape.get("projection"):
        assert pooled is not None
        assert relative(pooled, expected.text_embeds) < 1e-5
        skipped = tower(ids, skip=1)[1]
        assert skipped is not None
        assert torch.equal(skipped, pooled)
    else:
        assert pooled is None


@pytest.mark.parametrize("skip", [-1, 3, 1.5, True])
def test_skipping_layers_that_are_not_there_is_refused(
    tmp_path: Path, write_tower: Callable[..., Any], skip: int
) -> None:
    write_tower(tmp_path, **SMALL)
    with pytest.raises(BadValue, match=r"clip_skip is .* from 0 to 2.*has 3 layers"):
        load_tower(tmp_path)(some_ids(), skip=skip)


@pytest.mark.parametrize("prefix", ["", "text_model."])
def test_keys_with_and_without_prefix_and_the_old_buffer_are_read(
    tmp_path: Path, write_tower: Callable[..., Any], prefix: str
) -> None:
    theirs = write_tower(tmp_path, **SMALL)
    state = {prefix + name: tensor.clone() for name, tensor in theirs.state_dict().items()}
    state[f"{prefix}embeddings.position_ids"] = torch.arange(77)[None]
    save_file(state, tmp_path / "model.safetensors")
    with torch.no_grad():
        expected = theirs(some_ids()).last_hidden_state
    assert relative(load_tower(tmp_path)(some_ids())[0], expected) < 1e-5


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("asked", [torch.float32, torch.float64, torch.bfloat16])
def test_stored_halves_are_read_in_the_dtype_asked_for(
    tmp_path: Path, write_tower: Callable[..., Any], stored: torch.dtype, asked: torch.dtype
) -> None:
    theirs = write_tower(tmp_path, dtype=stored, **SMALL)
    hidden, _ = load_tower(tmp_path, dtype=asked)(some_ids())
    assert hidden.dtype == asked
    with torch.no_grad():
        expected = theirs(some_ids()).last_hidden_state
    assert relative(hidden.float(), expected) < (0.1 if asked == torch.bfloat16 else 1e-5)


def test_a_shorter_chunk_reads_the_same_first_tokens(tmp_path: Path, write_tower: Callable[..., Any]) -> None:
    write_tower(tmp_path, **SMALL)
    whole, _ = load_tower(tmp_path)(some_ids())
    part, _ = load_tower(tmp_path, length=20)(some_ids()[:, :20])
    assert relative(part, whole[:, :20]) < 1e-5


def test_reading_a_tower_leaves_the_callers_random_numbers_alone_and_keeps_no_file_open(
    tmp_path: Path, write_tower: Callable[..., Any]
) -> None:
    write_tower(tmp_path, **SMALL)
    before = torch.get_rng_state()
    tower = load_tower(tmp_path)
    hidden, _ = tower(some_ids())
    assert torch.equal(torch.get_rng_state(), before)
    assert not hidden.requires_grad
    assert not hidden.is_inference()
    with (tmp_path / "model.safetensors").open("r+b") as file:
        file.write(b"\0" * (tmp_path / "model.safetensors").stat().st_size)
    assert torch.equal(tower(some_ids())[0], hidden)


def test_expected_shapes_are_transformers_own_at_the_three_sizes_that_stable_diffusion_uses() -> None:
    from transformers import CLIPTextConfig, CLIPTextModel

    for width, layers, heads in ((768, 12, 12), (1024, 23, 16), (1280, 32, 20)):
        sizes = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
        with torch.device("meta"):
            theirs = CLIPTextModel(CLIPTextConfig(intermediate_size=4 * width, **sizes)).state_dict()
        ours = expected_shapes(TowerConfig(49_408, width, 4 * width, layers, heads))
        assert ours == {name: tuple(tensor.shape) for name, tensor in theirs.items() if "position_ids" not in name}


def without(name: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda state: {key: tensor for key, tensor in state.items() if key != name}


def with_(name: str, tensor: Tensor) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda state: state | {name: tensor}


NORM = "final_layer_norm.weight"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (without(NORM), f"lacks {NORM}"),
        (lambda state: {}, r"lacks .* and \d+ more"),
        (with_("unet.conv_in.weight", torch.ones(1)), r"no CLIP text tower has: unet\.conv_in\.weight"),
        (with_(NORM, torch.ones(5)), rf"{NORM} is \[5\], but config\.json makes it \[32\]"),
        (with_("text_projection.weight", torch.ones(5, 4)), r"text_projection\.weight is \[5, 4\]"),
        (with_(NORM, torch.ones(32, dtype=torch.int8)), r"is torch\.int8; quantised"),
        (with_(f"text_model.{NORM}", torch.ones(32)), "the same weights twice"),
    ],
)
def test_weights_that_do_not_fit_the_config_are_named(
    tmp_path: Path,
    write_tower: Callable[..., Any],
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]],
    says: str,
) -> None:
    write_tower(tmp_path, **SMALL)
    save_file(change(load_file(tmp_path / "model.safetensors")), tmp_path / "model.safetensors")
    with pytest.raises(BadModel, match=says):
        load_tower(tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"num_hidden_layers": 2}, r"no CLIP text tower has: encoder\.layers\.2"),
        ({"num_hidden_layers": 4}, r"lacks encoder\.layers\.3"),
        ({"vocab_size": 91}, r"token_embedding\.weight is \[90, 32\], but config\.json makes it \[91, 32\]"),
        ({"num_attention_heads": 5}, "5 heads of a width of 32"),
        ({"hidden_size": "32"}, "hidden_size is '32'"),
        ({"intermediate_size": None}, "intermediate_size is missing"),
        ({"hidden_act": "relu"}, "activation 'relu'"),
        ({"layer_norm_eps": 3}, "layer_norm_eps is 3"),
        ({"model_type": "t5"}, "'t5'"),
        ({"architectures": ["CLIPTextModelWithProjection"]}, r"has no text_projection\.weight"),
    ],
)
def test_a_config_that_disagrees_is_named(
    tmp_path: Path, write_tower: Callable[..., Any], change: dict[str, object], says: str
) -> None:
    write_tower(tmp_path, **SMALL)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BadModel, match=says):
        load_tower(tmp_path)


@pytest.mark.parametrize("keep", [0, 4, 200, -1])
def test_a_file_that_is_cut_short_is_named(tmp_path: Path, write_tower: Callable[..., Any], keep: int) -> None:
    write_tower(tmp_path, **SMALL)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BadModel, match=r"model\.safetensors is no whole safetensors file"):
        load_tower(tmp_path)


def test_what_is_not_there_is_named_with_what_is(tmp_path: Path, write_tower: Callable[..., Any]) -> None:
    write_tower(tmp_path, **SMALL)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(BadModel, match=r"has no model\.safetensors\. It holds pytorch_model\.bin\. Save"):
        load_tower(tmp_path)
    (tmp_path / "config.json").write_text("[")
    with pytest.raises(BadModel, match=r"config\.json is no readable JSON"):
        load_tower(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(BadModel, match=r"its config\.json is missing"):
        load_tower(tmp_path)
