"""Positions are what the papers' formulas say, and attention without them sees a bag of tokens."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from diffusers.models.embeddings import apply_rotary_emb, get_1d_rotary_pos_embed
from hypothesis import given, settings
from hypothesis import strategies as st

from xattn import positions
from xattn.errors import BadValue
from xattn.functional import attend
from xattn.module import Attention

dims = st.integers(1, 8).map(lambda half: 2 * half)


@settings(max_examples=30, deadline=None)
@given(dim=dims, start=st.integers(0, 500))
def test_sinusoidal_is_vaswanis_formula(dim: int, start: int) -> None:
    table = positions.sinusoidal(torch.arange(start, start + 3), dim)
    for row in range(3):
        for i in range(dim // 2):
            angle = (start + row) / 10000 ** (2 * i / dim)
            assert table[row, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert table[row, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_sinusoidal_in_float64_is_the_formula_to_the_last_digits() -> None:
    table = positions.sinusoidal(torch.tensor([499.0], dtype=torch.float64), 6)
    assert table[0, 2].item() == pytest.approx(math.sin(499 / 10000 ** (2 / 6)), abs=1e-12)


def test_the_grid_says_y_in_its_first_half_and_x_in_its_second() -> None:
    table = positions.sinusoidal_2d(2, 3, 8).reshape(2, 3, 8)
    for y, x in ((0, 0), (1, 2), (1, 0)):
        turned = [place / 10000 ** (2 * i / 4) for place in (y, x) for i in range(2)]
        formula = [wave(angle) for angle in turned for wave in (math.sin, math.cos)]
        assert table[y, x].tolist() == pytest.approx(formula, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(dim=dims, tokens=st.integers(1, 9))
def test_rotation_agrees_with_diffusers(dim: int, tokens: int) -> None:
    tensor = torch.randn(2, 3, tokens, dim)
    cos_sin = get_1d_rotary_pos_embed(dim, tokens, use_real=True)
    ours = positions.rotate(tensor, positions.rotary_angles(torch.arange(tokens), dim))
    torch.testing.assert_close(ours, apply_rotary_emb(tensor, cos_sin), rtol=0, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(dim=dims, shift=st.integers(0, 50))
def test_rotated_scores_depend_on_differences_only(dim: int, shift: int) -> None:
    query, key = torch.randn(2, 1, 1, 6, dim, dtype=torch.float64).unbind(0)
    at = torch.arange(6, dtype=torch.float64)

    def scores(by: float) -> torch.Tensor:
        angles = positions.rotary_angles(at + by, dim)
        return positions.rotate(query, angles) @ positions.rotate(key, angles).mT

    torch.testing.assert_close(scores(0.0), scores(float(shift)), rtol=0, atol=1e-9)


def test_axial_angles_turn_half_of_the_pairs_with_y_and_half_with_x() -> None:
    angles = positions.axial_angles(2, 3, 8).reshape(2, 3, 4)
    formula = [place / 10000 ** (2 * i / 4) for place in (1, 2) for i in range(2)]
    assert angles[1, 2].tolist() == pytest.approx(formula, abs=1e-6)
    assert torch.equal(angles[1, :, :2], angles[1, :1, :2].expand(3, 2))


@pytest.mark.parametrize(
    ("heads", "slopes"),
    [
        (8, [2.0**-n for n in range(1, 9)]),
        (1, [2.0**-8]),
        (6, [2.0**-2, 2.0**-4, 2.0**-6, 2.0**-8, 2.0**-1, 2.0**-3]),
    ],
)
def test_alibi_has_the_papers_slopes(heads: int, slopes: list[float]) -> None:
    torch.testing.assert_close(positions.alibi_slopes(heads), torch.tensor(slopes), rtol=1e-6, atol=0)


def test_alibi_falls_linearly_with_distance() -> None:
    bias = positions.alibi(2, 3, 4)
    assert bias.shape == (1, 2, 3, 4)
    assert bias[0, 0, 2].tolist() == pytest.approx([-2 / 16, -1 / 16, 0.0, -1 / 16])


def test_learned_positions_are_added_and_end_somewhere() -> None:
    learned = positions.LearnedPositions(4, 6)
    hidden = torch.randn(2, 3, 6)
    assert torch.equal(learned(hidden), hidden + learned.weight[:3])
    with pytest.raises(BadValue, match="at most 4"):
        learned(torch.randn(2, 5, 6))


def test_a_width_that_has_no_pairs_is_refused() -> None:
    with pytest.raises(BadValue, match="a multiple of 2"):
        positions.sinusoidal(torch.arange(2), 3)
    with pytest.raises(BadValue, match="a multiple of 4"):
        positions.axial_angles(2, 2, 6)


def test_without_positions_self_attention_sees_a_bag_of_tokens() -> None:
    layer, hidden = Attention(8, heads=2, head_dim=4), torch.randn(1, 6, 8)
    order = torch.randperm(6)
    torch.testing.assert_close(layer(hidden[:, order]), layer(hidden)[:, order])


@pytest.mark.parametrize("kind", ["rotary", "alibi", "sinusoidal"])
def test_with_positions_it_does_not(kind: str) -> None:
    layer, hidden = Attention(8, heads=2, head_dim=4), torch.randn(1, 6, 8)

    def run(states: torch.Tensor) -> torch.Tensor:
        if kind == "rotary":
            return layer(states, angles=positions.rotary_angles(torch.arange(6), 4))
        if kind == "alibi":
            return layer(states, bias=positions.alibi(2, 6, 6))
        return layer(states + positions.sinusoidal(torch.arange(6), 8))

    order = torch.tensor([1, 0, 2, 3, 4, 5])
    assert (run(hidden[:, order]) - run(hidden)[:, order]).abs().max() > 1e-5


def test_causal_attention_never_looks_ahead() -> None:
    query, key, value = (torch.randn(1, 2, 5, 4) for _ in range(3))
    before = attend(query, key, value, causal=True)
    key[:, :, 3:], value[:, :, 3:] = 9.0, 9.0
    after = attend(query, key, value, causal=True)
    assert torch.equal(before[:, :, :3], after[:, :, :3])


def test_the_layer_rotates_keys_with_queries_so_that_only_differences_count() -> None:
    layer, hidden = Attention(8, heads=2, head_dim=4).double(), torch.randn(1, 6, 8, dtype=torch.float64)
    here, there = (layer(hidden, angles=positions.rotary_angles(torch.arange(6) + shift, 4)) for shift in (0, 40))
    torch.testing.assert_close(here, there, rtol=0, atol=1e-9)


MADE_FROM_NUMBERS: dict[str, Callable[..., torch.Tensor]] = {
    "sinusoidal_2d": lambda **device: positions.sinusoidal_2d(2, 3, 8, **device),
    "axial_angles": lambda **device: positions.axial_angles(2, 3, 8, **device),
    "alibi_slopes": lambda **device: positions.alibi_slopes(6, **device),
    "alibi": lambda **device: positions.alibi(6, 3, 4, **device),
}


@pytest.mark.parametrize("name", MADE_FROM_NUMBERS)
def test_what_is_made_from_numbers_alone_is_made_where_it_is_asked_for(name: str) -> None:
    make = MADE_FROM_NUMBERS[name]
    here, there = make(), make(device="meta")
    assert (here.device.type, there.device.type) == ("cpu", "meta")
    assert (here.shape, here.dtype) == (there.shape, there.dtype)


def test_the_others_are_made_where_their_positions_are() -> None:
    at = torch.arange(3, device="meta")
    assert positions.sinusoidal(at, 8).device.type == positions.rotary_angles(at, 8).device.type == "meta"
