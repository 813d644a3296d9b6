"""Convolutions on a CPU without gradients: weights laid out once a run instead of at every call.

oneDNN's kernels read their weights in blocks. Given a plain tensor they lay it out anew in each call, which at the
deep levels, where few positions share the weights, takes as long as the convolution itself: a fifth of all the time of
the default model. The kernels and so the numbers are the same. torch's own compiler uses the same two operators.

It comes with images laid out channels last, which large models in float32 do not gain by: at Stable Diffusion 1.5's
size both ours and diffusers' took 1.07 times as long so. They keep torch's own way.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LARGE = 1 << 26
"""Numbers in the convolutions' weights over which a float32 model is large."""
ROOM = 1 << 30
"""Bytes of weights laid out at most: what does not fit is laid out at every call, as everything else would be."""
FEW = 2048
"""Positions, rows · height · width, up to which laying out is over 2 % of a call; it pays for no memory above."""

_DTYPES = (torch.float32, torch.bfloat16)


class _Laid(NamedTuple):
    weight: Tensor
    version: int
    blocks: Tensor


class LaidOut:
    """The convolution weights of one run, laid out when first used. It lives as long as the run's TextContext."""

    def __init__(self) -> None:
        self._laid: dict[nn.Conv2d, _Laid] = {}
        self._room = ROOM

    def convolve(self, conv: nn.Conv2d, image: Tensor, bias: Tensor | None) -> Tensor:
        """`conv` with another bias: [rows, c_in, h, w] → [rows, c_out, h′, w′], both laid out channels last."""
        if conv.kernel_size == (1, 1) and conv.stride == (1, 1):
            return pointwise(conv.weight, bias, image)
        blocks = self._blocks(conv, image)
        if blocks is None:
            return F.conv2d(image, conv.weight, bias, conv.stride, conv.padding, conv.dilation)
        made: Tensor = torch.ops.mkldnn._convolution_pointwise(
            image, blocks, bias, conv.padding, conv.stride, conv.dilation, 1, "none", [], ""
        )
        return made

    def _blocks(self, conv: nn.Conv2d, image: Tensor) -> Tensor | None:
        weight = conv.weight
        kept = self._laid.get(conv)
        # somebody may train or load between two steps
        if kept is not None and kept.weight is weight and kept.version == weight._version:
            return kept.blocks
        size = weight.numel() * weight.element_size()
        if image.shape[0] * image.shape[2] * image.shape[3] > FEW or (kept is None and size > self._room):
            return None
        blocks: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
            weight.detach(), conv.padding, conv.stride, conv.dilation, 1, list(image.shape)
        )
        if kept is None:
            self._room -= size
        self._laid[conv] = _Laid(weight, weight._version, blocks)
        return blocks


def pointwise(weight: Tensor, bias: Tensor | None, image: Tensor) -> Tensor:
    """A 1×1 convolution as a product over the channels: no copy where they are last in memory."""
    return F.linear(image.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)


def channels_last(image: Tensor) -> bool:
    """Whether this is how [rows, c, h, w] is laid out; where a layout is both ways, it is not."""
    return image.is_contiguous(memory_format=torch.channels_last) and not image.is_contiguous()


def can_lay_out(weight: Tensor, numbers: int) -> bool:
    """Whether the run that is about to begin may use LaidOut: on a CPU, no gradients, nothing that traces or casts.

    weight: any of the model's; numbers: in the weights of all its convolutions
    """
    return (
        weight.device.type == "cpu"
        and (numbers <= LARGE or weight.dtype is torch.bfloat16)
        and weight.dtype in _DTYPES
        and not torch.is_grad_enabled()
        and not weight.is_inference()  # has no version
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and torch.backends.mkldnn.is_available()
        and bool(torch.backends.mkldnn.enabled)
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
    )
