"""Accumulated maps are the reductions of all the maps, at the size of what was asked for."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from xattn.errors import BadValue
from xattn.maps import Accumulator


def stream(steps: int, layers: int, heads: int = 3, rows: int = 2, n: int = 2) -> torch.Tensor:
    """[steps, layers, rows, heads, 4 · 6, n]"""
    return torch.rand(steps, layers, rows, heads, 24, n, generator=torch.Generator().manual_seed(steps + layers))


def fill(maps: Accumulator, taps: torch.Tensor) -> Accumulator:
    for step, some in enumerate(taps):
        for layer, one in enumerate(some):
            maps.add(one, (4, 6), step=step, layer=f"layer {layer}")
    return maps


@settings(max_examples=25, deadline=None)
@given(
    keep=st.sets(st.sampled_from(["step", "layer", "head"])),
    reduce=st.sampled_from(["mean", "sum"]),
    steps=st.integers(1, 3),
    layers=st.integers(1, 3),
)
def test_a_result_is_the_reduction_over_the_axes_that_were_not_kept(
    keep: set[str], reduce: str, steps: int, layers: int
) -> None:
    taps = stream(steps, layers)
    result = fill(Accumulator((4, 6), keep=keep, reduce=reduce), taps)  # type: ignore[arg-type]
    whole = taps.movedim(5, 4).unflatten(5, (4, 6)).movedim(3, 2)  # [step, layer, head, row, n, y, x]
    for axis, name in enumerate(("step", "layer", "head")):
        if name not in keep:
            whole = whole.mean(axis, keepdim=True) if reduce == "mean" else whole.sum(axis, keepdim=True)
    torch.testing.assert_close(result.result().values, whole, rtol=2e-3, atol=1e-3)
    assert result.result().steps == (tuple(range(steps)) if "step" in keep else ())


def test_memory_does_not_grow_with_steps_layers_or_heads_unless_asked() -> None:
    few, many = fill(Accumulator((2, 3)), stream(1, 1)), fill(Accumulator((2, 3)), stream(7, 4))
    assert few.nbytes == many.nbytes == 2 * 1 * 2 * 2 * 3 * 4


def test_pooling_keeps_the_mean_of_a_map() -> None:
    maps = fill(Accumulator((2, 2)), stream(1, 1)).result().values
    torch.testing.assert_close(maps.mean(dim=(-1, -2))[0, 0, 0], stream(1, 1)[0, 0].mean(dim=(1, 2)))


def test_enlarged_maps_are_never_negative() -> None:
    maps = Accumulator((9, 9))
    maps.add(torch.eye(9)[None, None, :, :1], (3, 3))
    assert maps.result().values.min() == 0


def test_heads_of_unlike_layers_cannot_be_kept_together() -> None:
    maps = Accumulator((4, 6), keep=["head"])
    maps.add(torch.rand(2, 3, 24, 1), (4, 6))
    with pytest.raises(BadValue, match='Keep "layer" apart'):
        maps.add(torch.rand(2, 5, 24, 1), (4, 6))


def test_a_grid_of_another_size_is_refused() -> None:
    with pytest.raises(BadValue, match="of 24 places"):
        Accumulator((4, 6)).add(torch.rand(2, 3, 24, 1), (5, 5))


def test_reading_an_empty_accumulator_is_refused() -> None:
    with pytest.raises(BadValue, match="added before"):
        Accumulator((4, 6)).result()


def test_what_is_added_later_does_not_change_a_result_that_was_read() -> None:
    maps = fill(Accumulator((4, 6)), stream(1, 1))
    before = maps.result().values.clone()
    first = maps.result().values
    fill(maps, stream(2, 2))
    assert torch.equal(first, before)


@pytest.mark.parametrize("dtype", ["float16", "uint8"])
def test_steps_that_are_over_take_the_bytes_of_their_dtype(dtype: str) -> None:
    held = fill(Accumulator((4, 6), keep=["step"], dtype=dtype), stream(9, 2)).nbytes  # type: ignore[arg-type]
    maps, size = 2 * 2, 4 * 6
    each = {"float16": 2, "uint8": 1}[dtype] * size + 8
    assert held == maps * (8 * each + 4 * size), "the step that still grows is float32"


@pytest.mark.parametrize("reduce", ["mean", "sum", "daam"])
@pytest.mark.parametrize("keep", [(), ("step",), ("step", "layer", "head")])
@pytest.mark.parametrize(("dtype", "error"), [("float16", 2**-11), ("uint8", 1 / 510)])
def test_each_map_has_a_scale_of_its_own(dtype: str, error: float, reduce: str, keep: tuple[str, ...]) -> None:
    taps = stream(3, 2) - 0.3  # edited attention may be negative
    taps[:, :, :, :, :, 1] *= 1e-6
    exact = fill(Accumulator((4, 6), keep=keep, reduce=reduce), taps).result().values  # type: ignore[arg-type]
    small = fill(Accumulator((4, 6), keep=keep, reduce=reduce, dtype=dtype), taps).result()  # type: ignore[arg-type]
    span = exact.amax(dim=(-2, -1), keepdim=True).clamp(min=0) - exact.amin(dim=(-2, -1), keepdim=True).clamp(max=0)
    assert str(small.stored.dtype) == f"torch.{dtype}"
    assert ((small.values - exact).abs() <= 1.01 * error * span).all()


def test_daam_sums_over_steps_what_it_averages_over_layers_and_heads() -> None:
    taps = stream(4, 3)
    daam = fill(Accumulator((4, 6), reduce="daam"), taps).result()
    expected = taps.mean(dim=(1, 3)).sum(dim=0)
    torch.testing.assert_close(daam.values[0, 0, 0], expected.mT.unflatten(-1, (4, 6)))
    assert daam.counts.tolist() == [[[4 * 3 * 3]]]


def test_columns_that_are_combined_are_clamped_one_by_one() -> None:
    taps = torch.rand(1, 2, 6, 3, generator=torch.Generator().manual_seed(3)) ** 4
    both, each = Accumulator((8, 12)), Accumulator((8, 12))
    both.add(taps, (2, 3), combine=torch.tensor([[0.5, 0], [0.5, 0], [0, 1.0]]))
    each.add(taps, (2, 3))
    whole = each.result().values[..., :, :, :]
    torch.testing.assert_close(both.result().values[0, 0, 0, 0, 0], whole[0, 0, 0, 0, :2].mean(0))
    torch.testing.assert_close(both.result().values[0, 0, 0, 0, 1], whole[0, 0, 0, 0, 2])


@pytest.mark.parametrize(("grid", "size"), [((2, 3), (4, 5)), ((8, 4), (16, 16)), ((4, 8), (8, 6)), ((1, 1), (3, 2))])
def test_coarse_maps_are_enlarged_as_torchs_bicubic_kernel_does_it(grid, size):
    maps = torch.randn(2, 3, 1, *grid, generator=torch.Generator().manual_seed(0))
    sums = Accumulator(size, keep=("head",), reduce="sum")
    sums.add(maps.flatten(3).mT, grid)
    expected = F.interpolate(maps.flatten(0, 1), size, mode="bicubic", align_corners=False).clamp(min=0.0)
    made = sums.result().values[0, 0].transpose(0, 1).reshape(expected.shape)
    torch.testing.assert_close(made, expected, rtol=1e-5, atol=2e-6)
