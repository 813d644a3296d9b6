"""Where places look: rows of the probabilities, self-attention's too, against the materialised float64 oracle."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.xattn.cases import noise, programs, seeds
from tests.xattn.oracle import Oracle, Problem
from tests.xattn.test_watching import SELF, SELF_PARTS, largest
from xattn import parts as p
from xattn.compose import compose
from xattn.errors import BadValue, Conflict
from xattn.functional import attend
from xattn.lower import run
from xattn.module import Attention
from xattn.parts import Part
from xattn.program import Program
from xattn.rows import read_rows
from xattn.sites import AttentionSite
from xattn.space import Space

At = Literal["model", "edited"]


def expected(problem: Problem, parts: list[Part], weights: torch.Tensor, at: At) -> torch.Tensor:
    """weights · P [lanes, n, K], from the oracle's whole P."""
    width = problem.sources[problem.plain][0].shape[2]
    bare = [part for part in parts if not isinstance(part, p.Watch)]
    _, whole = Oracle(problem, [*bare, p.Watch(torch.eye(width, dtype=torch.float64), at)]).run()
    assert whole is not None
    return weights.double() @ whole


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=programs(), at=st.sampled_from(["model", "edited"]), data=st.data())
def test_row_taps_are_rows_of_the_materialised_probabilities(
    case: tuple[Problem, Space, list[Part]], at: At, data: st.DataObject
) -> None:
    problem, space, parts = case
    some = data.draw(st.lists(st.integers(0, space.size - 1), unique=True))
    on = tuple(some) or None
    draws = torch.Generator().manual_seed(data.draw(seeds))
    weights = noise(draws, 2, space.queries) * (noise(draws, 2, space.queries) > -0.3)
    columns = noise(draws, space.width(space.keys), 3) if data.draw(st.booleans()) else None
    try:
        program = compose([*parts, p.WatchRows(weights, columns, at, on)], space)
    except Conflict:
        return
    assert program is not None
    (rows,) = read_rows(program, problem.query, problem.sources, plain=problem.plain)
    wanted = expected(problem, parts, weights, at)
    wanted = wanted if columns is None else wanted @ columns
    if on is not None:
        kept = torch.zeros_like(wanted)
        kept[list(on)] = wanted[list(on)]
        wanted = kept
    torch.testing.assert_close(rows.flatten(0, 1), wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("backend", ["sdpa", "tiled", "explicit"])
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=programs())
def test_row_taps_never_change_a_bit(backend: str, case: tuple[Problem, Space, list[Part]]) -> None:
    exact, space, parts = case
    narrow = exact.to(torch.float32)
    outputs = []
    for some in (parts, [*parts, p.WatchRows(torch.ones(1, space.queries), at="model")]):
        program = compose(some, space) or Program()
        outputs.append(run(program, narrow.query, narrow.sources, plain=narrow.plain, backend=backend)[0])
    assert torch.equal(*outputs)


@pytest.mark.parametrize("at", ["model", "edited"])
@pytest.mark.parametrize("name", [name for name in SELF_PARTS if name != "taps"])
def test_a_places_row_is_read_without_the_matrix(name: str, at: At) -> None:
    query, key, value = (torch.randn(2, 2, 640, 8) for _ in range(3))
    weights = torch.zeros(2, 640)
    weights[0, 77], weights[1, 100:500] = 1.0, 1 / 400
    parts = SELF_PARTS[name]()
    program = compose([*parts, p.WatchRows(weights, at=at, on=(2, 3))], SELF)
    assert program is not None
    with largest() as watch:
        (rows,) = read_rows(program, query, {"self": (key, value)}, plain="self")
    assert watch.matrix <= 256 * 640
    wanted = expected(Problem(query, {"self": (key, value)}, "self"), parts, weights, at)
    torch.testing.assert_close(rows[1].double(), wanted[2:], rtol=1e-4, atol=2e-6)
    assert rows[0].abs().max() == 0


def test_all_places_of_a_large_grid_pool_to_few_without_the_matrix() -> None:
    query, key, value = (torch.randn(1, 2, 1024, 8) for _ in range(3))
    pool = torch.eye(256).repeat_interleave(4, dim=1)  # four queries a place
    space = replace(SELF, rows=1, queries=1024)
    program = compose([p.WatchRows(pool / 4, pool.mT)], space)
    assert program is not None
    with largest() as watch:
        (rows,) = read_rows(program, query, {"self": (key, value)}, plain="self")
    assert watch.matrix <= 256 * 1024
    whole = expected(Problem(query, {"self": (key, value)}, "self"), [], pool / 4, "model") @ pool.mT.double()
    torch.testing.assert_close(rows[0].double(), whole, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(rows.sum(dim=-1), torch.ones(1, 2, 256))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("backend", ["sdpa", "tiled", "explicit"])
def test_a_layer_hands_its_rows_on(backend: str, dtype: torch.dtype) -> None:
    layer = Attention(12, heads=3, head_dim=4, backend=backend).to(dtype)
    hidden = torch.randn(2, 6, 12, dtype=dtype)
    site = AttentionSite("here", "self", "mid", 1, 3, 4)
    program = compose([p.WatchRows(torch.eye(6)[:2], on=(3, 4, 5))], Space(2, 3, 6, "self"))
    seen: list[tuple[torch.Tensor, ...]] = []
    with torch.no_grad():
        plain = layer(hidden)
        watched = layer(
            hidden, program=program, site=site, grid=(2, 3), record_rows=lambda _site, _grid, rows: seen.append(rows)
        )
        query, key = layer._split(layer.to_q(hidden)), layer.key_value(hidden).key
    assert torch.equal(plain, watched)
    ((rows,),) = seen
    assert rows.dtype == torch.float32
    assert rows.shape == (2, 3, 2, 6)
    whole, _ = attend(query.double(), key.double(), torch.eye(6).double().expand(2, 3, 6, 6), lse=True, backend="tiled")
    torch.testing.assert_close(rows[1].double(), whole[1, :, :2], rtol=0, atol=1e-5)


def test_weights_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BadValue, match=r"places, 640"):
        compose([p.WatchRows(torch.ones(1, 639))], SELF)
    with pytest.raises(BadValue, match=r"\[640, columns\]"):
        compose([p.WatchRows(torch.ones(1, 640), torch.ones(639, 2))], SELF)


def test_a_kept_output_has_no_rows() -> None:
    kept = p.Replace(torch.zeros(1, 640, 8), on=(1,))
    with pytest.raises(Conflict, match="no probabilities"):
        compose([kept, p.WatchRows(torch.ones(1, 640), at="edited", on=(1,))], SELF)
    program = compose([kept, p.WatchRows(torch.ones(1, 640), at="edited", on=(0,))], SELF)
    assert program is not None
    query, key, value = (torch.randn(2, 2, 640, 8) for _ in range(3))
    (rows,) = read_rows(program, query, {"self": (key, value)}, plain="self")
    assert rows[0, 0].abs().sum() > 0
