"""What conflicts, what commutes, and what is refused, in sentences."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.xattn.cases import Cases
from tests.xattn.oracle import Problem
from xattn import parts as p
from xattn.compose import compose
from xattn.conflicts import check, commute
from xattn.errors import BadValue, Conflict, Unsupported
from xattn.lower import run
from xattn.parts import Part
from xattn.program import Program, StepProgram
from xattn.space import Space

TEXT = Space(rows=2, heads=2, queries=4, keys="text", tokens={"text": 6, "image:0": 3})
SELF = Space(rows=2, heads=2, queries=4, keys="self")
RAMP = torch.linspace(0, 0.9, 4)

CONFLICTS: dict[str, tuple[Space, Callable[[], list[Part]], str]] = {
    "set and set of one token": (
        TEXT,
        lambda: [p.SetMap((1, 2), RAMP, name='the set map of "red fox"'), p.SetMap((2,), RAMP, name='that of "fox"')],
        'The set map of "red fox" and that of "fox" cannot both hold: both set the map of one token. '
        "Keep one of them, or use a gain.",
    ),
    "two mixes of one token": (
        TEXT,
        lambda: [p.Mix((0, 1), alpha=torch.eye(6)[1], on=(2, 3)), p.Mix((1, 0), alpha=torch.eye(6)[1], on=(2, 3))],
        "map of one token from elsewhere",
    ),
    "inject with mutual self-attention": (
        SELF,
        lambda: [p.Mix((0, 1), on=(2, 3)), p.Route((0, 1), (0, 1), on=(2, 3))],
        "Choose one",
    ),
    "two routes": (SELF, lambda: [p.Route((0, 1), None, on=(2, 3)), p.Route((1, 0), None, on=(2, 3))], "Choose one"),
    "an override with anything else": (
        SELF,
        lambda: [p.OutputField(RAMP), p.Replace("identity", on=(2,))],
        "or give them other rows",
    ),
    "reading a kept output": (
        TEXT,
        lambda: [p.Replace(torch.zeros(4, 4, 8)), p.Watch(torch.ones(6, 1), "edited")],
        'Read them at "model"',
    ),
    "a bias on a lane mixed away": (
        TEXT,
        lambda: [p.Bias(RAMP, torch.ones(6), on=(2,)), p.Mix((0, 1), on=(2, 3))],
        "Give it to the source instead",
    ),
    "a bias after a map": (
        TEXT,
        lambda: [p.TokenMap(torch.ones(6, 6)), p.Bias(RAMP, torch.ones(6))],
        "Put a bias before it",
    ),
    "renormalising on a mixed lane": (
        TEXT,
        lambda: [p.Mix((0, 1), alpha=0.5, on=(2, 3)), p.SetMap((1,), RAMP, renormalise=True)],
        "Do not renormalise, or give them other steps",
    ),
    "renormalising after a gain": (
        TEXT,
        lambda: [p.GainMap((1,), RAMP), p.SetMap((2,), RAMP, renormalise=True)],
        "would undo a gain map",
    ),
    "renormalising a move after a gain": (
        TEXT,
        lambda: [p.GainMap((1,), RAMP), p.MoveMap((2,), lambda c: c, renormalise=True)],
        "would undo a gain map",
    ),
    "a place in no region": (
        TEXT,
        lambda: [p.Bias(torch.tensor([1.0, 1, 0, 0]), torch.full((6,), -torch.inf))],
        "are left without any token",
    ),
}


REMEDIES = ("Choose", "Do", "Give", "Keep", "Put", "Read", "Scale")
"""What the last sentence of a conflict begins with: it tells the reader to do something."""


@pytest.mark.parametrize("name", CONFLICTS)
def test_parts_that_cannot_both_hold_are_refused_with_a_remedy(name: str) -> None:
    space, parts, says = CONFLICTS[name]
    with pytest.raises(Conflict) as error:
        compose(parts(), space)
    assert says in str(error.value)
    problem, remedy = str(error.value).removesuffix(".").rsplit(". " if ". " in str(error.value) else ": ", 1)
    assert problem
    assert remedy.split()[0] in REMEDIES, remedy


@pytest.mark.parametrize("name", CONFLICTS)
def test_the_same_parts_on_lanes_of_their_own_do_not_conflict(name: str) -> None:
    if name == "a place in no region":
        return
    space, parts, _ = CONFLICTS[name]
    first, second = parts()
    compose([_only(first, (0,)), _only(second, (1,))], space)


def _only(part: Part, lanes: tuple[int, ...]) -> Part:
    changes: dict[str, object] = {"on": lanes}
    for name in ("source", "key_from", "value_from"):
        if getattr(part, name, None) is not None:
            changes[name] = (3,)
    if isinstance(part, p.Replace) and isinstance(part.how, torch.Tensor):
        changes["how"] = part.how[:1]
    return dataclasses.replace(part, **changes)  # type: ignore[arg-type]


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Problem, Space, Part, Part]:
    cases = Cases(draw)
    return cases.problem(), cases.space, cases.part(), cases.part()


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=pairs())
def test_parts_that_are_said_to_commute_give_one_result_in_either_order(
    case: tuple[Problem, Space, Part, Part],
) -> None:
    problem, space, first, second = case
    assume(commute(first, second, space))
    results = []
    for parts in ([first, second], [second, first]):
        try:
            check(parts, space)
        except Conflict:
            assume(False)
        program = compose(parts, space) or Program()
        results.append(run(program, problem.query, problem.sources, plain=problem.plain))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-10, atol=1e-10)
    if results[0][1] is not None and not all(isinstance(part, p.Watch) for part in (first, second)):
        torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-10, atol=1e-10)


ORDER: dict[str, tuple[Part, Part, bool]] = {
    "diagonals": (p.TokenDiagonal((1,), 2.0), p.TokenDiagonal((1, 2), 0.5), True),
    "left with right": (p.OutputField(RAMP), p.TokenDiagonal((1,), 2.0), True),
    "biases": (p.Bias(RAMP, torch.ones(6)), p.Bias(RAMP, torch.arange(6.0)), True),
    "a gate with anything": (p.Gate(0.5), p.Mix((0, 1), on=(2, 3)), True),
    "set with a reweight of its word": (p.SetMap((1,), RAMP), p.TokenDiagonal((1,), 2.0), False),
    "set with a reweight of another word": (p.SetMap((1,), RAMP), p.TokenDiagonal((2,), 2.0), True),
    "mix with an edit of its output lanes": (p.Mix((0, 1), on=(2, 3)), p.TokenDiagonal((1,), 2.0, on=(2,)), False),
    "mix with an edit of other lanes": (p.Mix((0,), on=(2,)), p.TokenDiagonal((1,), 2.0, on=(1,)), True),
    "move with left": (p.MoveMap((1,), lambda c: c.flip(1)), p.OutputField(RAMP), False),
}


@pytest.mark.parametrize("name", ORDER)
def test_what_commutes_is_said_to(name: str) -> None:
    first, second, yes = ORDER[name]
    assert commute(first, second, TEXT) is commute(second, first, TEXT) is yes


REFUSED: dict[str, tuple[Callable[[], Part], str]] = {
    "a lane that is not there": (lambda: p.Gate(0.0, on=(4,)), "different numbers from 0 to 3"),
    "a lane twice": (lambda: p.Gate(0.0, on=(1, 1)), "different numbers from 0 to 3"),
    "a token that is not there": (lambda: p.TokenDiagonal((6,), 2.0), "different numbers from 0 to 5"),
    "too few sources": (lambda: p.Mix((0,), on=(2, 3)), "2 lanes from 0 to 3"),
    "a field of another size": (lambda: p.OutputField(torch.zeros(5)), r"of shape \[4\] or \[4, 4\]"),
    "a number that is none": (lambda: p.OutputField(RAMP * torch.nan), "made of numbers"),
    "a bias of plus infinity": (lambda: p.Bias(-torch.ones(4), torch.full((6,), -torch.inf)), "finite, or -inf"),
    "a negative log gain": (lambda: p.GainMap((1,), RAMP - 1, renormalise=True), "at least 0"),
    "a source that takes no part": (lambda: p.TokenDiagonal((1,), 2.0, keys="image:0"), 'Add the source "image:0"'),
    "a source that is unknown": (lambda: p.AddSource("image:7", RAMP), "a key source of this call"),
    "weights of another size": (lambda: p.Watch(torch.ones(5, 1)), r"of shape \[6, columns\]"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_part_that_does_not_fit_is_refused(name: str) -> None:
    part, says = REFUSED[name]
    with pytest.raises(BadValue, match=says):
        compose([part()], TEXT)


def test_a_function_of_the_probabilities_is_refused_in_self_attention() -> None:
    program = compose([p.Replace(lambda probs: probs)], SELF)
    assert program is not None
    tensors = [torch.randn(2, 2, 4, 8) for _ in range(3)]
    with pytest.raises(Unsupported, match="cross-attention only"):
        run(program, tensors[0], {"self": (tensors[1], tensors[2])}, plain="self")


def test_a_program_about_a_missing_source_is_refused() -> None:
    program = compose([p.AddSource("image:0")], TEXT)
    assert program is not None
    query, key = torch.randn(2, 2, 4, 8), torch.randn(2, 2, 6, 8)
    with pytest.raises(BadValue, match="key sources that this call has: text"):
        run(program, query, {"text": (key, key)}, plain="text")


def test_a_step_program_answers_nothing_where_nothing_is_done() -> None:
    program = Program(gate=torch.ones(4, 1, 1))
    step = StepProgram({"a": program, "b": Program()})
    assert step.at("a") is program
    assert step.at("b") is step.at("c") is None


def test_a_route_to_itself_is_nothing_even_after_another() -> None:
    query, key, value = torch.randn(3, 1, 4, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    space = Space(rows=1, heads=4, queries=5, keys="text", tokens={"text": 5}, dtype=torch.float64)
    program = compose([p.Route(value_from=(0, 0, 0, 0)), p.Route(value_from=(2,), on=(2,))], space)
    assert program is not None
    output, _ = run(program, query, {"text": (key, value)}, plain="text")
    probs = (query @ key.mT / 6**0.5).softmax(dim=-1)
    torch.testing.assert_close(output, probs @ value[:, [0, 0, 0, 0]], rtol=0, atol=1e-10)
    with pytest.raises(Conflict, match="Choose one"):
        compose([p.Route(value_from=(0, 0, 0, 0)), p.Route(value_from=(1,), on=(2,))], space)


def test_lanes_of_which_nothing_is_left_are_not_computed() -> None:
    gone = torch.zeros(4, 4)
    gone[1] = RAMP
    parts: list[Part] = [p.OutputField(gone), p.AddSource("image:0", RAMP, on=(0, 2, 3))]
    program = compose(parts, TEXT)
    assert program is not None
    assert {lanes.keys: None if lanes.out is None else lanes.out.tolist() for lanes in program.lanes} == {
        "text": [1],
        "image:0": [0, 2, 3],
    }
    nothing = compose([p.OutputField(torch.zeros(4))], TEXT)
    assert nothing is not None
    assert nothing.lanes, "a program without lanes would be the plain call"
