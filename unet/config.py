"""The shape of a Stable Diffusion UNet, read from diffusers' `config.json`.

Whatever a config asks for is either built or refused with a sentence: a key that changes the network is never
skipped. Per-level settings that diffusers lets one write as a single number are spelled out here, one entry a level.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from unet.reading import Reading
from xattn.errors import BadModel

CROSS_DOWN, PLAIN_DOWN = "CrossAttnDownBlock2D", "DownBlock2D"
CROSS_UP, PLAIN_UP = "CrossAttnUpBlock2D", "UpBlock2D"
CROSS_MID, PLAIN_MID = "UNetMidBlock2DCrossAttn", "UNetMidBlock2D"

Activation = Literal["silu", "swish", "mish", "gelu", "relu"]
Depths = tuple[tuple[int, ...], ...]
ACTIVATIONS: tuple[Activation, ...] = ("silu", "swish", "mish", "gelu", "relu")

# What diffusers can build and Stable Diffusion never uses: only the value that switches it off is accepted.
_OFF: dict[str, tuple[object, ...]] = {
    "attention_type": ("default",),
    "class_embed_type": (None,),
    "class_embeddings_concat": (False, None),
    "cross_attention_norm": (None,),
    "dual_cross_attention": (False, None),
    "encoder_hid_dim": (None,),
    "encoder_hid_dim_type": (None,),
    "mid_block_only_cross_attention": (False, None),
    "num_attention_heads": (None,),
    "num_class_embeds": (None,),
    "resnet_out_scale_factor": (1,),
    "resnet_skip_time_act": (False, None),
    "resnet_time_scale_shift": ("default",),
    "time_cond_proj_dim": (None,),
    "time_embedding_act_fn": (None,),
    "time_embedding_type": ("positional",),
    "timestep_post_act": (None,),
}
# Read by diffusers only where a type above is switched on.
_WITHOUT_EFFECT = ("addition_embed_type_num_heads",)


@dataclass(frozen=True, slots=True)
class UNetConfig:
    """What is needed to build a UNet; `from_dict` reads it from diffusers' `config.json`.

    Tuples have one entry a level, from the latent's own resolution down. `heads` is what diffusers' configs call
    `attention_head_dim`: the *number* of heads of a level (the name stuck there by mistake). `down_depths[level]` and
    `up_depths[step]` hold the number of transformer blocks behind each residual block; `up_depths` runs from the
    deepest level up, as the network does. `sample_size` is the latent's side (or height, width) it was trained at.

    Raises BadModel where the parts do not fit together.
    """

    in_channels: int
    out_channels: int
    block_out_channels: tuple[int, ...]
    down_block_types: tuple[str, ...]
    mid_block_type: str | None
    up_block_types: tuple[str, ...]
    layers_per_block: tuple[int, ...]
    down_depths: Depths
    mid_depth: int
    up_depths: Depths
    heads: tuple[int, ...]
    cross_attention_dim: int
    use_linear_projection: bool = False
    addition_embed_type: Literal["text_time"] | None = None
    addition_time_embed_dim: int = 0
    projection_class_embeddings_input_dim: int = 0
    sample_size: int | tuple[int, int] | None = None
    act_fn: Activation = "silu"
    center_input_sample: bool = False
    conv_in_kernel: int = 3
    conv_out_kernel: int = 3
    downsample_padding: int = 1
    dropout: float = 0.0
    flip_sin_to_cos: bool = True
    freq_shift: int = 0
    mid_block_scale_factor: float = 1.0
    norm_eps: float = 1e-5
    norm_num_groups: int = 32
    time_embedding_dim: int | None = None

    def __post_init__(self) -> None:
        levels = len(self.block_out_channels)
        for name in ("down_block_types", "up_block_types", "layers_per_block", "heads", "down_depths", "up_depths"):
            if len(getattr(self, name)) != levels:
                raise BadModel(
                    f"block_out_channels has {levels} entries, but {name} has {len(getattr(self, name))}; "
                    "give one for each level."
                )
        for name, width in (
            ("block_out_channels[0]", self.block_out_channels[0]),
            ("addition_time_embed_dim", self.addition_time_embed_dim),
        ):
            if width % 2:
                raise BadModel(f"{name} is {width}, but it must be even, for sines and cosines share it.")
        for level, channels in enumerate(self.block_out_channels):
            if channels % self.norm_num_groups:
                raise BadModel(
                    f"block_out_channels[{level}] is {channels}, which norm_num_groups {self.norm_num_groups} "
                    "does not divide; change one of the two."
                )
            if self.attends_at(level) and channels % self.heads[level]:
                raise BadModel(
                    f"block_out_channels[{level}] is {channels}, which its {self.heads[level]} heads "
                    "(attention_head_dim) do not divide; change one of the two."
                )
        self._check_depths()
        size, room = self.addition_time_embed_dim, self.projection_class_embeddings_input_dim
        if self.addition_embed_type == "text_time" and not 0 < size < room:
            raise BadModel(
                f"addition_embed_type is 'text_time', but addition_time_embed_dim is {size} and "
                f"projection_class_embeddings_input_dim is {room}; the second must hold some of the first and a text."
            )

    def _check_depths(self) -> None:
        for level, layers in enumerate(self.layers_per_block):
            step = self.levels - 1 - level
            for cross, name, depths, expected in (
                (self.down_block_types[level] == CROSS_DOWN, "down", self.down_depths[level], layers),
                (self.up_block_types[step] == CROSS_UP, "up", self.up_depths[step], layers + 1),
            ):
                if cross and len(depths) != expected:
                    raise BadModel(
                        f"transformer_layers_per_block (reversed for the way up) gives {len(depths)} depths to the "
                        f"{name} block of level {level}, but that has {expected} residual blocks; give one for each."
                    )

    @property
    def levels(self) -> int:
        """How many resolutions the network works at; each but the first halves the sides."""
        return len(self.block_out_channels)

    @property
    def time_dim(self) -> int:
        """Width of the time embedding that every residual block reads."""
        return self.time_embedding_dim or self.block_out_channels[0] * 4

    def attends_at(self, level: int) -> bool:
        """Whether any block of this level has attention."""
        deepest = level == self.levels - 1
        return (
            self.down_block_types[level] == CROSS_DOWN
            or self.up_block_types[self.levels - 1 - level] == CROSS_UP
            or (deepest and self.mid_block_type == CROSS_MID)
        )

    @classmethod
    def from_dict(cls, json: Mapping[str, object], *, source: str = "config.json") -> UNetConfig:
        """The config of diffusers' `UNet2DConditionModel`, as parsed from its `config.json`.

        `source` names the file in errors. Keys that start with an underscore are notes of diffusers' own. Raises
        BadModel for a value of the wrong type, for another class of model, for anything this UNet does not
        implement, and for a key that nobody knows.
        """
        try:
            return cls._from(Reading(json))
        except BadModel as error:
            raise BadModel(f"In {source}, {error}") from error

    @classmethod
    def _from(cls, read: Reading) -> UNetConfig:
        read.notes(_class_name="UNet2DConditionModel")
        read.off(_OFF)
        read.without_effect(_WITHOUT_EFFECT)
        # Stable Diffusion 2.1 asks for float32 scores; every backend here accumulates scores in float32 anyway.
        read.boolean("upcast_attention", False)
        read.all_false("only_cross_attention")

        channels = read.integers("block_out_channels", (320, 640, 1280, 1280))
        levels = len(channels)
        layers = read.per_level("layers_per_block", 2, levels)
        down_depths, up_depths = _depths(read, layers)
        text_time = read.choice("addition_embed_type", None, (None, "text_time")) == "text_time"
        config = cls(
            in_channels=read.integer("in_channels", 4),
            out_channels=read.integer("out_channels", 4),
            block_out_channels=channels,
            down_block_types=read.choices(
                "down_block_types", (CROSS_DOWN,) * 3 + (PLAIN_DOWN,), (CROSS_DOWN, PLAIN_DOWN)
            ),
            mid_block_type=read.choice("mid_block_type", CROSS_MID, (CROSS_MID, PLAIN_MID, None)),
            up_block_types=read.choices("up_block_types", (PLAIN_UP,) + (CROSS_UP,) * 3, (CROSS_UP, PLAIN_UP)),
            layers_per_block=layers,
            down_depths=down_depths,
            mid_depth=down_depths[-1][0],
            up_depths=up_depths,
            heads=read.per_level("attention_head_dim", 8, levels),
            cross_attention_dim=read.same_everywhere("cross_attention_dim", 1280),
            use_linear_projection=read.boolean("use_linear_projection", False),
            addition_embed_type="text_time" if text_time else None,
            addition_time_embed_dim=read.integer_or_none("addition_time_embed_dim") or 0,
            projection_class_embeddings_input_dim=read.integer_or_none("projection_class_embeddings_input_dim") or 0,
            sample_size=read.size("sample_size"),
            act_fn=read.choice("act_fn", "silu", ACTIVATIONS),
            center_input_sample=read.boolean("center_input_sample", False),
            conv_in_kernel=read.odd("conv_in_kernel", 3),
            conv_out_kernel=read.odd("conv_out_kernel", 3),
            downsample_padding=read.choice("downsample_padding", 1, (0, 1)),
            dropout=read.number("dropout", 0.0),
            flip_sin_to_cos=read.boolean("flip_sin_to_cos", True),
            freq_shift=read.choice("freq_shift", 0, (0, 1)),
            mid_block_scale_factor=read.number("mid_block_scale_factor", 1.0, above_zero=True),
            norm_eps=read.number("norm_eps", 1e-5, above_zero=True),
            norm_num_groups=read.integer("norm_num_groups", 32),
            time_embedding_dim=read.integer_or_none("time_embedding_dim"),
        )
        read.finish()
        return config


def _depths(read: Reading, layers: tuple[int, ...]) -> tuple[Depths, Depths]:
    """Transformer blocks behind each residual block, down and up; an up block has one more of them."""
    levels = len(layers)
    down = read.depths("transformer_layers_per_block", 1, levels)
    up = read.depths("reverse_transformer_layers_per_block", None, levels)
    if up is None:
        if any(isinstance(depth, tuple) for depth in down):
            raise read.bad(
                "transformer_layers_per_block",
                "accompanied by reverse_transformer_layers_per_block where it lists every layer",
            )
        up = down[::-1]
    return (
        tuple(_spread(depth, count) for depth, count in zip(down, layers, strict=True)),
        tuple(_spread(depth, count + 1) for depth, count in zip(up, layers[::-1], strict=True)),
    )


def _spread(depth: int | tuple[int, ...], count: int) -> tuple[int, ...]:
    return (depth,) * count if isinstance(depth, int) else depth
