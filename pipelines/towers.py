"""CLIP's text tower: open_clip's module, filled from the `text_encoder/` folder that transformers writes.

Radford et al. 2021, "Learning Transferable Visual Models". Stable Diffusion 1 reads ViT-L/14's tower (quick GELU),
2 reads ViT-H/14's, XL reads ViT-L/14's and bigG/14's, the latter with its projection for the pooled text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from pipelines.checks import whole
from xattn.errors import BadModel

if TYPE_CHECKING:
    from open_clip.transformer import TextTransformer

WEIGHTS = "model.safetensors"
# Written by old versions of transformers: a buffer that holds 0, 1, 2 …
_NO_WEIGHTS = ("embeddings.position_ids",)
_LEGACY_EOS = 2
"""The eos_token_id of configs from before 2023. It is wrong, and means: the highest id in the prompt."""


@dataclass(frozen=True, slots=True)
class TowerConfig:
    """What `config.json` says of a tower. `eos` is where the pooled text is read; 2 means the highest id."""

    vocab_size: int
    width: int
    intermediate: int
    layers: int
    heads: int
    positions: int = 77
    activation: Literal["quick_gelu", "gelu"] = "quick_gelu"
    eps: float = 1e-5
    eos: int = 49_407
    with_projection: bool = False

    @classmethod
    def from_file(cls, path: Path) -> TowerConfig:
        """Read transformers' config of a CLIPTextModel or CLIPTextModelWithProjection. Raises BadModel."""
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as problem:
            raise BadModel(f"{path.parent} holds no text encoder: its config.json is missing.") from problem
        except (ValueError, OSError) as problem:
            raise BadModel(f"{path} is no readable JSON. Copy that file again.") from problem
        if not isinstance(raw, dict):
            raise BadModel(f"{path} is no JSON object. Copy that file again.")
        kind = raw.get("model_type", "clip_text_model")
        if kind != "clip_text_model":
            raise BadModel(f"{path} is of a {kind!r}, but only CLIP's text tower is known here (clip_text_model).")
        activation = raw.get("hidden_act", "quick_gelu")
        if activation not in ("quick_gelu", "gelu"):
            raise BadModel(f"{path} asks for the activation {activation!r}; CLIP's towers have quick_gelu or gelu.")
        eps = raw.get("layer_norm_eps", 1e-5)
        if not isinstance(eps, float) or not 0 < eps < 1:
            raise BadModel(f"{path} says layer_norm_eps is {eps!r}; it must be a small positive number.")
        width = _count(raw, "hidden_size", path)
        heads = _count(raw, "num_attention_heads", path)
        if width % heads:
            raise BadModel(f"{path} says {heads} heads of a width of {width}, which does not divide evenly.")
        return cls(
            vocab_size=_count(raw, "vocab_size", path),
            width=width,
            intermediate=_count(raw, "intermediate_size", path),
            layers=_count(raw, "num_hidden_layers", path),
            heads=heads,
            positions=_count(raw, "max_position_embeddings", path, 77),
            activation=activation,
            eps=eps,
            eos=_count(raw, "eos_token_id", path, 49_407),
            with_projection="CLIPTextModelWithProjection" in (raw.get("architectures") or ()),
        )


def _count(raw: Mapping[str, object], name: str, path: Path, default: int | None = None) -> int:
    value = raw.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        got = "is missing" if value is None else f"is {value!r}"
        raise BadModel(f"In {path}, {name} {got}; it must be a whole number of at least 1.")
    return value


@dataclass(frozen=True, slots=True, eq=False)
class Tower:
    """One text tower. Calling it changes nothing, so threads may share one.

    length: tokens in a chunk; projection: width of the pooled text, None where the tower has none
    """

    config: TowerConfig
    module: TextTransformer
    length: int
    projection: int | None

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return torch.device(self.module.positional_embedding.device)

    def __call__(self, ids: Tensor, *, skip: int = 0, normed: bool = True) -> tuple[Tensor, Tensor | None]:
        """Hidden states [chunks, length, width] of `ids` [chunks, length], and pooled text [chunks, projection].

        skip: layers left out at the end ("clip skip": 1 reads the penultimate); the pooled text never skips
        normed: whether the final layer norm follows (SD 1 and 2: yes, whatever is skipped; SDXL: no)
        Raises BadValue where `skip` leaves no layer.
        """
        whole("clip_skip", skip, 0, self.config.layers - 1, f"This tower has {self.config.layers} layers")
        # no_grad, not inference_mode: a loss on maps differentiates through what is made of this
        with torch.no_grad():
            out = self.module.forward_intermediates(
                ids,
                indices=[self.config.layers - 1 - skip],
                stop_early=self.projection is None,
                intermediates_only=self.projection is None,
                output_fmt="NLC",
            )
            hidden: Tensor = out["text_intermediates"][0]
            return self.module.ln_final(hidden) if normed else hidden, out.get("text_features")


def load_tower(
    folder: Path, dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu", length: int | None = None
) -> Tower:
    """Read a `text_encoder/` folder: config.json and model.safetensors, in whatever dtype it is stored.

    `length` is the number of tokens in a chunk, at most (and by default) the tower's positions.
    Raises BadModel where a file is missing, cut short or foreign, or where config and weights disagree.
    """
    config = TowerConfig.from_file(folder / "config.json")
    length = config.positions if length is None else min(length, config.positions)
    weights = read_weights(folder)
    _check(config, weights, folder)
    projection = weights["text_projection.weight"].shape[0] if "text_projection.weight" in weights else None
    module = _empty(config, length, projection)
    state = {name: tensor.to(device, dtype) for name, tensor in _as_open_clip(config, weights, length).items()}
    module.load_state_dict(state, strict=True, assign=True)
    # Not stored, so left on the meta device above.
    module.attn_mask = module.build_causal_mask().to(device, dtype)
    module.eval().requires_grad_(False)
    return Tower(config, module, length, projection)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The tensors of `folder/model.safetensors` as stored, under CLIPTextModel's names. Raises BadModel."""
    from safetensors import SafetensorError, safe_open

    path = folder / WEIGHTS
    if not path.is_file():
        there = sorted(
            file.name for file in folder.glob("*") if file.suffix in (".bin", ".ckpt", ".pt", ".safetensors")
        )
        found = f" It holds {', '.join(there)}." if there else ""
        raise BadModel(f"{folder} has no {WEIGHTS}.{found} Save the model anew with safetensors and no variant.")
    try:
        with safe_open(str(path), framework="pt") as file:
            # cloned: what is read is a view of the file, and would change or crash with it
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError) as problem:
        raise BadModel(f"{path} is no whole safetensors file ({problem}). Copy that file again.") from problem
    plain = {name.removeprefix("text_model."): tensor for name, tensor in tensors.items()}
    if len(plain) != len(tensors):
        raise BadModel(f"{path} holds the same weights twice, with and without the prefix text_model.")
    return {name: tensor for name, tensor in plain.items() if name not in _NO_WEIGHTS}


def expected_shapes(config: TowerConfig) -> dict[str, tuple[int, ...]]:
    """CLIPTextModel's parameters and their shapes, as transformers names them (without `text_model.`)."""
    width, inner = config.width, config.intermediate
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.token_embedding.weight": (config.vocab_size, width),
        "embeddings.position_embedding.weight": (config.positions, width),
    }
    for layer in range(config.layers):
        at = f"encoder.layers.{layer}."
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= {f"{at}self_attn.{name}.weight": (width, width), f"{at}self_attn.{name}.bias": (width,)}
        for name in ("layer_norm1", "layer_norm2"):
            shapes |= {f"{at}{name}.weight": (width,), f"{at}{name}.bias": (width,)}
        shapes |= {f"{at}mlp.fc1.weight": (inner, width), f"{at}mlp.fc1.bias": (inner,)}
        shapes |= {f"{at}mlp.fc2.weight": (width, inner), f"{at}mlp.fc2.bias": (width,)}
    return shapes | {"final_layer_norm.weight": (width,), "final_layer_norm.bias": (width,)}


def _check(config: TowerConfig, weights: Mapping[str, Tensor], folder: Path) -> None:
    expected = expected_shapes(config)
    optional = {"text_projection.weight"}
    if config.with_projection and not optional <= weights.keys():
        raise BadModel(f"{folder} is of a CLIPTextModelWithProjection, but {WEIGHTS} has no text_projection.weight.")
    for problem, names in (
        ("lacks", expected.keys() - weights.keys()),
        ("holds what no CLIP text tower has:", weights.keys() - expected.keys() - optional),
    ):
        if names:
            raise BadModel(f"{folder / WEIGHTS} {problem} {_some(names)}. Its config.json is of another model.")
    for name, tensor in weights.items():
        shape = tuple(tensor.shape)
        fits = shape == expected[name] if name in expected else len(shape) == 2 and shape[1] == config.width
        if not fits:
            wanted = list(expected.get(name, ("any", config.width)))
            raise BadModel(f"In {folder / WEIGHTS}, {name} is {list(shape)}, but config.json makes it {wanted}.")
        if not tensor.is_floating_point():
            raise BadModel(f"In {folder / WEIGHTS}, {name} is {tensor.dtype}; quantised towers are not read here.")


def _some(names: set[str]) -> str:
    first = ", ".join(sorted(names)[:3])
    return first if len(names) <= 3 else f"{first} and {len(names) - 3} more"


def _empty(config: TowerConfig, length: int, projection: int | None) -> Any:
    from open_clip.transformer import LayerNorm, QuickGELU, TextTransformer

    # meta: nothing is allocated, and no random number is drawn from the caller's generator
    with torch.device("meta"):
        return TextTransformer(
            context_length=length,
            vocab_size=config.vocab_size,
            width=config.width,
            heads=config.heads,
            layers=config.layers,
            # open_clip rounds ratio × width down, so aim half a unit above
            mlp_ratio=(config.intermediate + 0.5) / config.width,
            output_dim=projection,
            proj_type="none" if projection is None else "linear",
            pool_type="argmax" if config.eos == _LEGACY_EOS else "eos",
            eos_id=config.eos,
            act_layer=QuickGELU if config.activation == "quick_gelu" else nn.GELU,
            norm_layer=partial(LayerNorm, eps=config.eps),
        )


def _as_open_clip(config: TowerConfig, weights: Mapping[str, Tensor], length: int) -> dict[str, Tensor]:
    """The same weights under open_clip's names; q, k and v are one matrix there."""
    state = {
        "token_embedding.weight": weights["embeddings.token_embedding.weight"],
        "positional_embedding": weights["embeddings.position_embedding.weight"][:length],
        "ln_final.weight": weights["final_layer_norm.weight"],
        "ln_final.bias": weights["final_layer_norm.bias"],
    }
    if "text_projection.weight" in weights:
        state["text_projection"] = weights["text_projection.weight"].T.contiguous()
    renamed = (
        ("layer_norm1", "ln_1"),
        ("layer_norm2", "ln_2"),
        ("self_attn.out_proj", "attn.out_proj"),
        ("mlp.fc1", "mlp.c_fc"),
        ("mlp.fc2", "mlp.c_proj"),
    )
    for layer in range(config.layers):
        source, target = f"encoder.layers.{layer}.", f"transformer.resblocks.{layer}."
        for part in ("weight", "bias"):
            joined = [weights[f"{source}self_attn.{name}_proj.{part}"] for name in "qkv"]
            state[f"{target}attn.in_proj_{part}"] = torch.cat(joined)
            for theirs, ours in renamed:
                state[f"{target}{ours}.{part}"] = weights[f"{source}{theirs}.{part}"]
    return state
