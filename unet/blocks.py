"""The three kinds of block: down, middle and up. Each runs residual blocks, with or without a transformer behind."""

from __future__ import annotations

from torch import Tensor, cat, nn

from unet.config import CROSS_DOWN, CROSS_MID, CROSS_UP, UNetConfig
from unet.context import Pass
from unet.moments import Time
from unet.resnet import Downsample, ResidualBlock, Upsample
from unet.transformer import SpatialTransformer, Stage


class DownBlock(nn.Module):
    """One level on the way down; all but the deepest end by halving the sides."""

    def __init__(self, config: UNetConfig, level: int, backend: str) -> None:
        super().__init__()
        channels = config.block_out_channels
        here, before = channels[level], channels[max(level - 1, 0)]
        stage = Stage(f"down_blocks.{level}", "down", 2**level)
        attends = config.down_block_types[level] == CROSS_DOWN
        self.resnets = nn.ModuleList(
            ResidualBlock(config, before if layer == 0 else here, here)
            for layer in range(config.layers_per_block[level])
        )
        self.attentions = _attentions(config, level, config.down_depths[level] if attends else (), stage, backend)
        deepest = level == config.levels - 1
        self.downsamplers = nn.ModuleList([] if deepest else [Downsample(here, config.downsample_padding)])

    def forward(self, hidden_states: Tensor, time: Time, run: Pass) -> tuple[Tensor, list[Tensor]]:
        """[rows, c_before, h, w] → the block's output and what it leaves for the way up, in the order made."""
        skips = []
        for layer, resnet in enumerate(self.resnets):
            hidden_states = resnet(hidden_states, time, run)
            if len(self.attentions):
                hidden_states = self.attentions[layer](hidden_states, run)
            skips.append(hidden_states)
        for downsample in self.downsamplers:
            hidden_states = downsample(hidden_states, run)
            skips.append(hidden_states)
        return hidden_states, skips


class MiddleBlock(nn.Module):
    """The deepest level: residual block, transformer, residual block; or a single residual block without attention."""

    def __init__(self, config: UNetConfig, backend: str) -> None:
        super().__init__()
        level, channels = config.levels - 1, config.block_out_channels[-1]
        attends = config.mid_block_type == CROSS_MID
        stage = Stage("mid_block", "mid", 2**level)
        self.attentions = _attentions(config, level, (config.mid_depth,) if attends else (), stage, backend)
        self.resnets = nn.ModuleList(
            ResidualBlock(config, channels, channels, scale=config.mid_block_scale_factor)
            for _ in range(2 if attends else 1)
        )

    def forward(self, hidden_states: Tensor, time: Time, run: Pass) -> Tensor:
        """[rows, c, h, w] → the same."""
        hidden_states = self.resnets[0](hidden_states, time, run)
        for attention, resnet in zip(self.attentions, list(self.resnets)[1:], strict=True):
            hidden_states = resnet(attention(hidden_states, run), time, run)
        return hidden_states


class UpBlock(nn.Module):
    """One level on the way up, joining the skips that its level left; all but the last end by doubling the sides."""

    def __init__(self, config: UNetConfig, step: int, backend: str) -> None:
        super().__init__()
        level = config.levels - 1 - step
        channels, layers = config.block_out_channels, config.layers_per_block[level] + 1
        here = channels[level]
        deeper, shallower = channels[min(level + 1, config.levels - 1)], channels[max(level - 1, 0)]
        stage = Stage(f"up_blocks.{step}", "up", 2**level)
        attends = config.up_block_types[step] == CROSS_UP
        self.resnets = nn.ModuleList(
            # The last skip that a level joins was made by the level above it: its input, before the first block.
            ResidualBlock(config, (deeper if layer == 0 else here) + (shallower if layer == layers - 1 else here), here)
            for layer in range(layers)
        )
        self.attentions = _attentions(config, level, config.up_depths[step] if attends else (), stage, backend)
        self.upsamplers = nn.ModuleList([] if level == 0 else [Upsample(here)])

    def forward(self, hidden_states: Tensor, skips: list[Tensor], time: Time, run: Pass) -> Tensor:
        """[rows, c_deeper, h, w] → [rows, c, h′, w′], the sides of the next skip. Takes its own skips off the end."""
        for layer, resnet in enumerate(self.resnets):
            hidden_states = resnet(cat((hidden_states, run.spread(skips.pop())), dim=1), time, run)
            if len(self.attentions):
                hidden_states = self.attentions[layer](hidden_states, run)
        for upsample in self.upsamplers:
            height, width = skips[-1].shape[-2:]
            hidden_states = upsample(hidden_states, (height, width), run)
        return hidden_states


def _attentions(config: UNetConfig, level: int, depths: tuple[int, ...], stage: Stage, backend: str) -> nn.ModuleList:
    channels, heads = config.block_out_channels[level], config.heads[level]
    return nn.ModuleList(
        SpatialTransformer(config, channels, heads, depth, stage.inside(f"attentions.{index}"), backend)
        for index, depth in enumerate(depths)
    )
