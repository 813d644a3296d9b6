"""Layers on a CPU without gradients, by operators of oneDNN's that torch keeps for its own compiler.

Convolutions: the kernels read their weights in blocks. Given a plain tensor they lay it out anew in each call, which at
the deep levels, where few positions share the weights, takes as long as the convolution itself: a fifth of all the time
of the default model. Here that is done once a run. The kernels and so the numbers are the same. It comes with images
laid out channels last, which large models in float32 do not gain by: at Stable Diffusion 1.5's size both ours and
diffusers' took 1.07 times as long so. They keep torch's own way.

Where few positions are left, in float32, a convolution is a product of its windows with the weights laid out as one
matrix: copying the windows takes less time than the kernel loses there.

Gated linear units: GELU and the product are done where the linear layers write their results, so that three passes over
the widest tensors of the network fall away: of a feed-forward at 64² in bfloat16 half its time, in float32 a fifth. In
float32 units of few positions gain nothing, for the operator's own set-up takes as long, and run layer by layer.
Their weights are laid out where convolutions' are: at Stable Diffusion 1.5's size in float32 that would be 300 MB and
half a second a run, and only layers of few positions gain, up to a sixth each.

Group normalisation: torch's kernel for images laid out channels last takes ten times as long as the other one in half
precision where a group has few channels (the default model's have 3 to 14), so such an image goes there and back.

The operators are private, and only torch 2.14.1 has been tried. Where they are missing, refuse, or give other numbers
than torch's own layers, those run instead, and `refusal` says why (`xattn doctor` prints it).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import skip_init

LARGE = 1 << 26
"""Numbers in the convolutions' weights over which a float32 model is large."""
ROOM = 1 << 30
"""Bytes of weights laid out at most: what does not fit is laid out at every call, as everything else would be."""
FEW = 2048
"""Positions, rows · height · width, up to which laying out is over 2 % of a call; it pays for no memory above."""
SMALL = 64
"""Positions up to which a float32 convolution is one product: 3 % of a step of the default model; at 128 it loses."""
SHORT = 512
"""Positions up to which a float32 gated unit runs layer by layer: 1 to 2 % of a step of the default model."""
NARROW = 8
"""Channels in a group under which torch's half-precision kernel for channels last is slow."""

_DTYPES = (torch.float32, torch.bfloat16)
_OPERATORS = (
    "_convolution_pointwise",
    "_linear_pointwise",
    "_reorder_convolution_weight",
    "_reorder_linear_weight",
)


class _Laid(NamedTuple):
    weight: Tensor
    version: int
    blocks: tuple[Tensor, ...]


class LaidOut:
    """The weights of one run, laid out when first used. It lives as long as the run's TextContext."""

    def __init__(self) -> None:
        self._laid: dict[tuple[nn.Module, str], _Laid] = {}
        self._room = ROOM

    def convolve(self, conv: nn.Conv2d, image: Tensor, bias: Tensor | None) -> Tensor:
        """`conv` with another bias: [rows, c_in, h, w] → [rows, c_out, h′, w′], both laid out channels last."""
        if conv.kernel_size == (1, 1) and conv.stride == (1, 1):
            return pointwise(conv.weight, bias, image)

        positions = image.shape[0] * image.shape[2] * image.shape[3]
        if _multiplies(conv, positions) and bias is not None:
            matrix = self._blocks(conv, conv.weight, positions, _matrix, "matrix")
            if matrix is not None:
                return _multiplied(image, matrix[0], bias, conv)

        def lay_out(weight: Tensor) -> tuple[Tensor, ...]:
            laid: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
                weight, conv.padding, conv.stride, conv.dilation, 1, list(image.shape)
            )
            return (laid,)

        blocks = self._blocks(conv, conv.weight, positions, lay_out, "convolution")
        if blocks is None:
            return F.conv2d(image, conv.weight, bias, conv.stride, conv.padding, conv.dilation)
        return _convolved(image, blocks[0], bias, conv)

    def gated(self, proj: nn.Linear, tokens: Tensor, *, lay: bool) -> Tensor:
        """The first half of what `proj` makes of [.., c], times GELU of the second half.

        lay: whether its weight is laid out, too, which pays where convolutions do (`gains`)
        """
        count = tokens.numel() // tokens.shape[-1]
        if count <= SHORT and tokens.dtype is torch.float32:
            return _one_by_one(tokens, proj.weight.chunk(2), proj.bias)

        def lay_out(weight: Tensor) -> tuple[Tensor, ...]:
            halves = weight.chunk(2)
            return tuple(torch.ops.mkldnn._reorder_linear_weight(half.contiguous(), count) for half in halves)

        blocks = self._blocks(proj, proj.weight, count, lay_out, "linear") if lay else None
        return _gated(tokens, proj.weight.chunk(2) if blocks is None else blocks, proj.bias)

    def _blocks(
        self,
        module: nn.Module,
        weight: Tensor,
        positions: int,
        lay_out: Callable[[Tensor], tuple[Tensor, ...]],
        form: str,
    ) -> tuple[Tensor, ...] | None:
        kept = self._laid.get((module, form))
        # somebody may train or load between two steps
        if kept is not None and kept.weight is weight and kept.version == weight._version:
            return kept.blocks
        size = weight.numel() * weight.element_size()
        if positions > FEW or (kept is None and size > self._room):
            return None
        blocks = lay_out(weight.detach())
        if kept is None:
            self._room -= size
        self._laid[module, form] = _Laid(weight, weight._version, blocks)
        return blocks


def _convolved(image: Tensor, blocks: Tensor, bias: Tensor | None, conv: nn.Conv2d) -> Tensor:
    made: Tensor = torch.ops.mkldnn._convolution_pointwise(
        image, blocks, bias, conv.padding, conv.stride, conv.dilation, 1, "none", [], ""
    )
    return made


def _multiplies(conv: nn.Conv2d, positions: int) -> bool:
    plain = conv.dilation == (1, 1) and not isinstance(conv.padding, str)
    return positions <= SMALL and plain and conv.weight.dtype is torch.float32


def _matrix(weight: Tensor) -> tuple[Tensor, ...]:
    """[c_out, c_in, rows, columns] → [rows · columns · c_in, c_out]."""
    return (weight.permute(2, 3, 1, 0).flatten(0, 2).contiguous(),)


def _multiplied(image: Tensor, matrix: Tensor, bias: Tensor, conv: nn.Conv2d) -> Tensor:
    """`conv` as the product of all windows, [positions, rows · columns · c_in], with `_matrix` of its weight."""
    (rows, channels, height, width), (tall, wide), (down, along) = image.shape, conv.kernel_size, conv.stride
    above, left = (int(side) for side in conv.padding)
    padded = image.new_zeros(rows, height + 2 * above, width + 2 * left, channels)
    padded[:, above : above + height, left : left + width] = image.permute(0, 2, 3, 1)
    sides = ((height + 2 * above - tall) // down + 1, (width + 2 * left - wide) // along + 1)
    row, line, place, _ = padded.stride()
    windows = padded.as_strided((rows, *sides, tall, wide * channels), (row, down * line, along * place, line, 1))
    made = torch.addmm(bias, windows.reshape(-1, tall * wide * channels), matrix)
    return made.view(rows, *sides, -1).permute(0, 3, 1, 2)


def _one_by_one(tokens: Tensor, halves: tuple[Tensor, ...], bias: Tensor | None) -> Tensor:
    first, second = (None, None) if bias is None else bias.chunk(2)
    return F.linear(tokens, halves[0], first).mul_(F.gelu(F.linear(tokens, halves[1], second)))


def _gated(tokens: Tensor, halves: tuple[Tensor, ...], bias: Tensor | None) -> Tensor:
    first, second = (None, None) if bias is None else bias.chunk(2)
    linear = torch.ops.mkldnn._linear_pointwise
    gate = linear(tokens, halves[1], second, "gelu", [], "none")
    made: Tensor = linear.binary(tokens, gate, halves[0], first, "mul")
    return made


def group_norm(norm: nn.GroupNorm, image: Tensor) -> Tensor:
    """`norm` of [rows, c, h, w] on a CPU, laid out as it was."""
    halved = image.dtype is not torch.float32 and norm.num_channels < NARROW * norm.num_groups
    if not halved or not channels_last(image):
        return _normed(norm, image)
    return _normed(norm, image.contiguous()).contiguous(memory_format=torch.channels_last)


def _normed(norm: nn.GroupNorm, image: Tensor) -> Tensor:
    # past the functional form, whose checks in Python show on small images; False: no cuDNN
    normed: Tensor = torch.group_norm(image, norm.num_groups, norm.weight, norm.bias, norm.eps, False)
    return normed


def pointwise(weight: Tensor, bias: Tensor | None, image: Tensor) -> Tensor:
    """A 1×1 convolution as a product over the channels: no copy where they are last in memory."""
    return F.linear(image.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)


def channels_last(image: Tensor) -> bool:
    """Whether this is how [rows, c, h, w] is laid out; where a layout is both ways, it is not."""
    return image.is_contiguous(memory_format=torch.channels_last) and not image.is_contiguous()


def can_fuse(weight: Tensor) -> bool:
    """Whether the run that is about to begin may use this file: on a CPU, no gradients, nothing that traces or casts.

    weight: any of the model's
    """
    return (
        weight.device.type == "cpu"
        and weight.dtype in _DTYPES
        and not torch.is_grad_enabled()
        and not weight.is_inference()  # has no version
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and bool(torch.backends.mkldnn.enabled)
        and not refusal(weight.dtype)
    )


def gains(weight: Tensor, numbers: int) -> bool:
    """Whether convolutions gain, too. weight: any of the model's; numbers: in the weights of all its convolutions."""
    return numbers <= LARGE or weight.dtype is torch.bfloat16


@cache
def refusal(dtype: torch.dtype) -> str:
    """Why torch's own layers run on this machine's CPU instead, a clause; empty where they need not. Tried once."""
    if not torch.backends.mkldnn.is_available():
        return "this torch was built without oneDNN"
    for name in _OPERATORS:
        if not hasattr(torch.ops.mkldnn, name):
            return f"torch {torch.__version__} has no operator mkldnn.{name}"
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(dtype)

    with torch.no_grad():
        # no number is drawn from the caller's generator
        conv: nn.Conv2d = skip_init(nn.Conv2d, 16, 16, 3, padding=1, dtype=dtype)
        proj: nn.Linear = skip_init(nn.Linear, 16, 64, dtype=dtype)
        for parameter in (*conv.parameters(), *proj.parameters()):
            parameter.copy_(0.1 * noise(*parameter.shape))
        # more positions than run without the operators
        image = noise(2, 16, SMALL, 1).contiguous(memory_format=torch.channels_last)
        tokens = noise(2, SHORT, 16)
        hidden, gate = proj(tokens).chunk(2, dim=-1)
        expected = (conv(image), hidden * F.gelu(gate))
        laid = LaidOut()
        try:
            made = (laid.convolve(conv, image, conv.bias), laid.gated(proj, tokens, lay=True))
        except (RuntimeError, TypeError, AttributeError, NotImplementedError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            return f"torch {torch.__version__} refuses oneDNN's operators: {reason}"
    off = max(float((ours - theirs).abs().max()) for ours, theirs in zip(made, expected, strict=True))
    within = 1e-4 if dtype is torch.float32 else 0.05
    return "" if off <= within else f"oneDNN's operators are {off:.2g} off torch's own layers, more than {within:g}"
