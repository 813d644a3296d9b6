"""Convolutions between the attention: residual blocks, halving and doubling of the picture's sides."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from unet.config import UNetConfig
from unet.context import Pass
from unet.embeddings import activation
from unet.moments import Time


class ResidualBlock(nn.Module):
    """norm, act, conv, + time, norm, act, conv, + input: [rows, c_in, h, w] → [rows, c_out, h, w].

    He et al. 2016, "Identity Mappings in Deep Residual Networks" (pre-activation), with the time embedding added
    between the convolutions as in Ho et al. 2020. The sum is divided by `scale`, which only the middle block sets.
    """

    def __init__(self, config: UNetConfig, channels_in: int, channels_out: int, *, scale: float = 1.0) -> None:
        super().__init__()
        groups, eps = config.norm_num_groups, config.norm_eps
        self.norm1 = nn.GroupNorm(groups, channels_in, eps)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.time_emb_proj = nn.Linear(config.time_dim, channels_out)
        self.norm2 = nn.GroupNorm(groups, channels_out, eps)
        self.dropout = nn.Dropout(config.dropout)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(channels_in, channels_out, 1) if channels_in != channels_out else None
        self._activation = activation(config.act_fn)
        self._scale = scale

    def forward(self, hidden_states: Tensor, time: Time, run: Pass) -> Tensor:
        """See the class; `time` is this pass's."""
        act = self._activation
        inner = run.convolve(self.conv1, act(run.normalise(self.norm1, hidden_states)), time.of(self.time_emb_proj))
        inner = run.convolve(self.conv2, self.dropout(act(run.normalise(self.norm2, inner))))
        shortcut = hidden_states if self.conv_shortcut is None else run.convolve(self.conv_shortcut, hidden_states)
        total: Tensor = shortcut + inner
        return total if self._scale == 1.0 else total / self._scale


class Downsample(nn.Module):
    """Halve the sides by a strided convolution; an odd side rounds up with padding 1, down with padding 0."""

    def __init__(self, channels: int, padding: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=padding)
        self._pad = padding == 0

    def forward(self, hidden_states: Tensor, run: Pass) -> Tensor:
        """[rows, c, h, w] → [rows, c, ⌈h/2⌉, ⌈w/2⌉]."""
        # Without padding the original code pads right and below only, so that even sides still halve exactly.
        return run.convolve(self.conv, F.pad(hidden_states, (0, 1, 0, 1)) if self._pad else hidden_states)


class Upsample(nn.Module):
    """Bring the sides to `size` by repeating the nearest pixel, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, hidden_states: Tensor, size: tuple[int, int], run: Pass) -> Tensor:
        """[rows, c, h, w] → [rows, c, *size]; `size` is the skip's, so odd sides come back as they were."""
        return run.convolve(self.conv, F.interpolate(hidden_states, size=size, mode="nearest"))
