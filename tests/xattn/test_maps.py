"""Accumulated maps are the reductions of all the maps, at the size of what was asked for."""

from __future__ import annotations

import pytest
import torch
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
