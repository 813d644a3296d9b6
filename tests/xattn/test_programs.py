"""Any list of parts that does not conflict does what the materialised form does."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings

from tests.xattn.cases import laid_out, programs
from tests.xattn.oracle import Oracle, Problem
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
