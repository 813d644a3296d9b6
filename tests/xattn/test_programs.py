"""Any list of parts that does not conflict does what the materialised form does."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings

from tests.xattn.cases import laid_out, programs
from tests.xattn.oracle import Oracle, Problem
from xattn import parts as p
from xattn.compose import compose
from xattn.lower import run
from xattn.parts import Part
from xattn.program import Program
from xattn.space import Space

Case = tuple[Problem, Space, list[Part]]
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def ours(problem: Problem, space: Space, parts: list[Part], backend: str) -> tuple[torch.Tensor, torch.Tensor | None]:
    program = compose(parts, space) or Program()
    output, taps = run(program, problem.query, problem.sources, plain=problem.plain, backend=backend)
    return output, laid_out(program, taps, space.rows)


@pytest.mark.parametrize("backend", ["sdpa", "tiled", "explicit"])
@quick
@given(case=programs(kept=True))
def test_a_random_program_agrees_with_the_materialised_form(backend: str, case: Case) -> None:
    problem, space, parts = case
    output, taps = ours(problem, space, parts, backend)
    expected, columns = Oracle(problem, parts).run()
    torch.testing.assert_close(output.flatten(0, 1), expected, rtol=1e-10, atol=1e-10)
    if columns is not None:
        assert taps is not None
        torch.testing.assert_close(taps, columns, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "part",
    [
        p.SetMap((0,), torch.tensor([0.2, 0.7]), renormalise=True),
        p.SetMap((0, 1), torch.tensor([0.2, 0.7]), relative=True, renormalise=True),
        p.MoveMap((0,), lambda columns: columns * 0.5, renormalise=True),
    ],
    ids=["set", "set a phrase", "move"],
)
def test_the_others_make_room_exactly_where_a_word_has_all_but_nothing_left_to_share(part: Part) -> None:
    """Of which random scores come near once in a great while: 1 − P is 1e-9 and 1e-13 here."""
    generator = torch.Generator().manual_seed(2)
    query = torch.tensor([[[[21.0], [30.0]]]], dtype=torch.float64)
    key = torch.tensor([[[[1.0], [0.6], [0.0], [0.01]]]], dtype=torch.float64)
    value = torch.randn(1, 1, 4, 3, generator=generator, dtype=torch.float64)
    space = Space(1, 1, 2, "text", {"text": 4}, dtype=torch.float64)
    problem = Problem(query, {"text": (key, value)}, "text")
    output, _ = ours(problem, space, [part], "sdpa")
    torch.testing.assert_close(output.flatten(0, 1), Oracle(problem, [part]).run()[0], rtol=1e-10, atol=1e-10)
