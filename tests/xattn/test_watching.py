"""Nothing changes a bit of what nobody asked to change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch.overrides import TorchFunctionMode

from tests.xattn.cases import laid_out, programs
from tests.xattn.oracle import Oracle, Problem
from xattn import parts as p
from xattn.compose import compose
from xattn.functional import attend
from xattn.kept import Kept
from xattn.lower import run
from xattn.parts import Part
from xattn.program import Program
from xattn.space import Space

HERE = ["sdpa", "tiled", "explicit"]
AT: tuple[Literal["model", "edited", "here"], ...] = ("model", "edited", "here")
SPACE = Space(rows=3, heads=2, queries=16, keys="text", tokens={"text": 11, "image:0": 4})


def problem(plain: str = "text", dtype: torch.dtype = torch.float32, kv_heads: int = 2) -> Problem:
    generator = torch.Generator().manual_seed(5)

    def heads(count: int, tokens: int) -> torch.Tensor:
        return torch.randn(3, tokens, count * 8, generator=generator).to(dtype).unflatten(2, (count, 8)).transpose(1, 2)

    sources = {name: (heads(kv_heads, k), heads(kv_heads, k)) for name, k in {**SPACE.tokens, "self": 16}.items()}
    return Problem(heads(2, 16), sources, plain)


def output(case: Problem, parts: list[Part], backend: str = "sdpa", space: Space = SPACE) -> torch.Tensor:
    program = compose(parts, space) or Program()
    return run(program, case.query, case.sources, plain=case.plain, backend=backend)[0]


@pytest.mark.parametrize("backend", HERE)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=programs())
def test_taps_never_change_a_bit(backend: str, case: tuple[Problem, Space, list[Part]]) -> None:
    exact, space, parts = case
    narrow = exact.to(torch.float32)
    seen = [*parts, p.Watch(torch.ones(space.width(space.keys), 1), "edited")]
    bare = [part for part in parts if not isinstance(part, p.Watch)]
    assert torch.equal(output(narrow, seen, backend, space), output(narrow, bare, backend, space))


@pytest.mark.parametrize("backend", HERE)
def test_what_steers_is_the_same_bit_for_bit_beside_what_is_only_watched(backend: str) -> None:
    """Both of the same lanes: neither takes the other's columns, and none shows in the other's last bit."""
    case = problem()
    steers = p.Watch(torch.eye(11)[:, 2:3], steers=True)
    watched = p.Watch(torch.eye(11)[:, 4:9])

    def read(parts: list[Part], backend: str = backend) -> tuple[torch.Tensor, ...]:
        program = compose(parts, SPACE)
        assert program is not None
        with torch.no_grad():  # where the plain call tells its denominators
            return run(program, case.query, case.sources, plain="text", backend=backend)[1]

    alone, (beside, other) = read([steers])[0], read([steers, watched])
    assert torch.equal(alone, beside)
    exact = read([watched], "explicit")[0]
    torch.testing.assert_close(other, exact, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("on", [None, (2, 3)], ids=["all rows", "one row"])
@pytest.mark.parametrize("edits", [(), (p.TokenDiagonal((2,), 3.0),)], ids=["unedited", "edited"])
def test_what_is_watched_before_and_after_edits_is_the_same_bit_for_bit_beside_each_other(
    edits: tuple[Part, ...], on: tuple[int, ...] | None
) -> None:
    """Neither shows in the other's product; and where no edit acts both are read once."""
    for count in (1, 2, 5):
        for seed in range(20):
            generator = torch.Generator().manual_seed(seed)
            query, key, value = (torch.randn(3, 2, n, 8, generator=generator) for n in (16, 11, 11))
            case = Problem(query, {"text": (key, value)}, "text")
            watched = [p.Watch(torch.eye(11)[:, 2 : 2 + count].clone(), at, on) for at in ("model", "edited")]

            def read(parts: list[Part], case: Problem = case) -> tuple[torch.Tensor, ...]:
                program = compose([*edits, *parts], SPACE)
                assert program is not None
                with torch.no_grad():
                    return run(program, case.query, case.sources, plain="text")[1]

            for alone, beside in zip(watched, read([*watched]), strict=True):
                assert torch.equal(read([alone])[0], beside)
    program = compose([*edits, *watched], SPACE)
    assert program is not None
    asked = Kept().asked(program, "text")
    assert [columns.shape[-1] for _, columns in asked.products.values()] == [count] * (2 if edits else 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("plain", ["text", "self"])
def test_a_program_that_only_watches_leaves_the_plain_call_bit_for_bit(
    plain: str, backend: str, dtype: torch.dtype
) -> None:
    case, space = problem(plain, dtype), replace(SPACE, keys=plain)
    taps: list[Part] = [p.Watch(torch.eye(space.width(plain)), at, on) for at in AT for on in (None, (1, 4))]
    expected = attend(case.query, *case.sources[plain], backend=backend)
    assert torch.equal(output(case, taps, backend, space), expected)


@pytest.mark.parametrize("plain", ["text", "self"])
def test_an_edit_shaped_by_what_it_reads_does_not_show_who_else_reads(plain: str) -> None:
    space = Space(rows=1, heads=1, queries=2, keys=plain, tokens={"text": 2})
    move = p.MoveMap((0,), lambda columns: columns.roll(1, dims=1) * 0.7)
    watch = p.Watch(torch.ones(2, 1), "edited")
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        query, key = (torch.randn(1, 1, 2, 1, generator=generator) for _ in range(2))
        case = Problem(query, {plain: (key, torch.randn(1, 1, 2, 3, generator=generator))}, plain)
        assert torch.equal(output(case, [move, watch], space=space), output(case, [move], space=space))


NOTHING: dict[str, Callable[[], Part]] = {
    "a factor of one": lambda: p.TokenDiagonal((3,), 1.0),
    "no tokens": lambda: p.TokenDiagonal((), 0.0),
    "no lanes": lambda: p.TokenDiagonal((3,), 0.0, on=()),
    "the identity map": lambda: p.TokenMap(torch.eye(11)),
    "a field of ones": lambda: p.OutputField(torch.ones(16)),
    "a mix of none": lambda: p.Mix((0, 0, 0, 0, 0, 0), alpha=torch.zeros(11)),
    "a route to itself": lambda: p.Route((2, 3), (2, 3), on=(2, 3)),
    "a gain of one": lambda: p.GainMap((3,), torch.ones(16)),
    "a log gain of one": lambda: p.GainMap((3,), torch.ones(16), renormalise=True),
    "a bias of zero": lambda: p.Bias(torch.zeros(16), torch.ones(11)),
    "a key scale of one": lambda: p.KeyScale(torch.ones(11)),
    "a source of weight zero": lambda: p.AddSource("image:0", torch.zeros(16)),
    "a gate of one": lambda: p.Gate(1.0),
}


@pytest.mark.parametrize("name", NOTHING)
def test_identity_parameters_leave_no_program(name: str) -> None:
    assert compose([NOTHING[name]()], SPACE) is None


SOMETHING: dict[str, Callable[[tuple[int, ...]], Part]] = {
    "factor": lambda on: p.TokenDiagonal((3,), 0.0, on),
    "map": lambda on: p.TokenMap(torch.eye(11).roll(1, 0), on),
    "field": lambda on: p.OutputField(torch.linspace(0, 1, 16), on),
    "full mix": lambda on: p.Mix((0, 1), on=on),
    "partial mix": lambda on: p.Mix((0, 1), alpha=torch.linspace(0, 1, 11), on=on),
    "route": lambda on: p.Route((0, 1), (0, 1), on),
    "set": lambda on: p.SetMap((3,), torch.linspace(0, 1, 16), on=on),
    "set a phrase": lambda on: p.SetMap((3, 4), torch.linspace(0, 1, 16), relative=True, on=on),
    "set, others renormalised": lambda on: p.SetMap((3,), torch.linspace(0, 0.9, 16), renormalise=True, on=on),
    "set relative, others renormalised": lambda on: p.SetMap(
        (3, 4), torch.linspace(0, 2, 16), relative=True, renormalise=True, on=on
    ),
    "move, others renormalised": lambda on: p.MoveMap((3,), lambda c: c.flip(1), renormalise=True, on=on),
    "gain": lambda on: p.GainMap((3,), torch.linspace(0, 1, 16), on=on),
    "move": lambda on: p.MoveMap((3,), lambda c: c.flip(1), on=on),
    "bias": lambda on: p.Bias(torch.linspace(0, 1, 16), torch.linspace(-1, 1, 11), on),
    "key scale": lambda on: p.KeyScale(torch.linspace(0, 1, 11), on),
    "query transform": lambda on: p.QueryTransform(lambda q: q * 0.5, on),
    "added source": lambda on: p.AddSource("image:0", torch.linspace(0, 1, 16), on),
    "gate": lambda on: p.Gate(0.0, on),
    "override": lambda on: p.Replace(lambda probs: probs**2, on),
    "kept output": lambda on: p.Replace(torch.linspace(0, 1, 2 * 16 * 8).reshape(2, 16, 8), on),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", SOMETHING)
def test_lanes_that_nobody_edits_do_not_change_by_a_bit(name: str, dtype: torch.dtype) -> None:
    case = problem(dtype=dtype)
    plain = attend(case.query, *case.sources["text"])
    edited = output(case, [SOMETHING[name]((2, 3))])
    assert torch.equal(edited[[0, 2]], plain[[0, 2]])
    assert not torch.equal(edited[1], plain[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", SOMETHING)
def test_each_edit_is_right_to_the_dtypes_rounding(name: str, dtype: torch.dtype) -> None:
    case, parts = problem(dtype=dtype), [SOMETHING[name]((2, 3)), p.Watch(torch.eye(11)[:, 2:5], "model")]
    program = compose(parts, SPACE)
    assert program is not None
    result, taps = run(program, case.query, case.sources, plain="text")
    expected, columns = Oracle(case, parts).run()
    error = {torch.float32: 2e-6, torch.bfloat16: 3e-2, torch.float16: 4e-3}[dtype]
    assert (result.double().flatten(0, 1) - expected).abs().max() <= error * (1 + expected.abs().max())
    assert (taps[0].double().flatten(0, 1) - columns).abs().max() <= 2e-6  # explicit and float32, whatever the dtype


@pytest.mark.parametrize("first", SOMETHING)
def test_edits_of_two_rows_do_not_disturb_each_other(first: str) -> None:
    case = problem()
    one = SOMETHING[first]((2, 3))
    alone = output(case, [one])[1]
    for second in SOMETHING:
        both = output(case, [one, SOMETHING[second]((4, 5))])
        torch.testing.assert_close(both[1], alone, msg=f"{first} beside {second}")
        torch.testing.assert_close(both[2], output(case, [SOMETHING[second]((4, 5))])[2], msg=f"{second} after {first}")


class Largest(TorchFunctionMode):
    """Watches every torch call for the largest product of the last two sizes of a result, and for fused calls."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix, self.fused = 0, 0

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.dim() >= 2:
            self.matrix = max(self.matrix, result.shape[-1] * result.shape[-2])
        self.fused += func is torch.nn.functional.scaled_dot_product_attention
        return result


@contextmanager
def largest() -> Iterator[Largest]:
    with Largest() as watch:
        yield watch


SELF = Space(rows=2, heads=2, queries=640, keys="self")
SELF_PARTS: dict[str, Callable[[], list[Part]]] = {
    "plain": list,
    "injection": lambda: [p.Mix((0, 1), on=(2, 3))],
    "mutual self-attention": lambda: [p.Route((0, 1), (0, 1), on=(2, 3))],
    "perturbed": lambda: [p.Replace("identity", on=(2, 3))],
    "regions": lambda: [p.Bias(torch.ones(640), torch.where(torch.arange(640) < 99, -torch.inf, 0.0))],
    "ranged bias": lambda: [p.Bias(lambda low, high: high - low, torch.linspace(0, 1, 640))],
    "taps": lambda: [p.Watch(torch.linspace(0, 1, 640)[:, None]), p.Watch(torch.ones(640, 2), "edited")],
    "gain": lambda: [p.GainMap((5, 6), torch.linspace(0, 1, 640))],
    "set": lambda: [p.SetMap((5,), torch.linspace(0, 1, 640), renormalise=True)],
}


@pytest.mark.parametrize("backend", ["sdpa", "tiled"])
@pytest.mark.parametrize("name", SELF_PARTS)
def test_self_attention_is_never_materialised(name: str, backend: str) -> None:
    query, key, value = (torch.randn(2, 2, 640, 8) for _ in range(3))
    program = compose(SELF_PARTS[name](), SELF) or Program()
    with largest() as watch:
        run(program, query, {"self": (key, value)}, plain="self", backend=backend)
    assert watch.matrix < 640 * 640 / 2


def test_the_backend_named_explicit_does_materialise() -> None:
    query, key, value = (torch.randn(2, 2, 640, 8) for _ in range(3))
    with largest() as watch:
        attend(query, key, value, backend="explicit")
    assert watch.matrix == 640 * 640


def test_the_memory_of_tiled_is_linear_in_the_tokens() -> None:
    def most(tokens: int) -> int:
        query, key, value = (torch.randn(1, 1, tokens, 4) for _ in range(3))
        with largest() as watch:
            attend(query, key, value, backend="tiled")
        return watch.matrix

    assert most(4096) <= 2 * most(2048)


def test_what_tiled_keeps_for_its_backward_pass_is_linear_too() -> None:
    def kept(tokens: int) -> int:
        query, key, value = (torch.randn(1, 1, tokens, 4, requires_grad=True) for _ in range(3))
        storages: dict[int, int] = {}
        alive: list[torch.Tensor] = []

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            alive.append(tensor)  # or its address might be given to another
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            attend(query, key, value, backend="tiled").sum().backward()
        return sum(storages.values())

    assert kept(2048) <= 2.2 * kept(1024)


def test_a_partial_mix_and_all_its_taps_are_one_call_each() -> None:
    case = problem()
    parts: list[Part] = [p.Mix((0, 1), alpha=torch.linspace(0, 1, 11), on=(2, 3))]
    with largest() as watch:
        output(case, parts)
    assert watch.fused == 1


def test_a_full_mix_only_gathers_queries_and_keys() -> None:
    program = compose([p.Mix((0, 1), on=(2, 3))], SPACE)
    assert program is not None
    (lanes,) = program.lanes
    assert lanes.q is not None
    assert lanes.q.tolist() == lanes.k.tolist() == [0, 1, 0, 1, 4, 5]  # type: ignore[union-attr]
    assert (lanes.v, lanes.out, lanes.token, lanes.field) == (None, None, None, None)


def test_all_taps_of_a_site_read_one_product(monkeypatch: pytest.MonkeyPatch) -> None:
    parts: list[Part] = [
        p.Watch(torch.eye(11)[:, :2]),
        p.GainMap((3,), torch.linspace(0, 1, 16)),
        p.Watch(torch.eye(11)[:, 4:6], "edited"),
    ]
    case, softmaxes = problem(), []
    softmax = torch.Tensor.softmax
    monkeypatch.setattr(torch.Tensor, "softmax", lambda self, dim: softmaxes.append(1) or softmax(self, dim=dim))
    output(case, parts)
    assert len(softmaxes) == 1


@pytest.mark.parametrize("kv_heads", [1, 2])
def test_a_transform_of_one_head_expands_only_its_group(kv_heads: int) -> None:
    space = Space(rows=1, heads=4, queries=5, tokens={"text": 7}, dtype=torch.float64)
    query, key, value = (
        torch.randn(1, n, t, 4, dtype=torch.float64) for n, t in ((4, 5), (kv_heads, 7), (kv_heads, 7))
    )
    program = compose([p.TokenDiagonal((2,), 0.0, on=(3,))], space)
    assert program is not None
    used: list[int] = []

    class Keys(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            if func is torch.nn.functional.scaled_dot_product_attention:
                used.append(args[1].shape[1])
            return func(*args, **(kwargs or {}))

    with Keys():
        result, _ = run(program, query, {"text": (key, value)}, plain="text", backend="sdpa")
    expected, _ = Oracle(Problem(query, {"text": (key, value)}, "text"), [p.TokenDiagonal((2,), 0.0, on=(3,))]).run()
    torch.testing.assert_close(result.flatten(0, 1), expected)
    assert used == ([4] if kv_heads == 1 else [1, 2])


def test_gradients_flow_through_taps_and_edits() -> None:
    case = problem()
    query = case.query.requires_grad_()
    parts = [p.GainMap((3,), torch.linspace(0, 1, 16)), p.Watch(torch.eye(11)[:, 3:4], "edited")]
    program = compose(parts, SPACE)
    assert program is not None
    result, taps = run(program, query, case.sources, plain="text")
    expected, wanted = Oracle(case, parts).run()
    for ours, theirs in ((result.sum(), expected.sum()), (taps[0].amax(), wanted.amax())):
        gradient, right = (torch.autograd.grad(one, query, retain_graph=True)[0] for one in (ours, theirs))
        assert right.abs().max() > 1e-3
        torch.testing.assert_close(gradient, right, atol=1e-5, rtol=1e-4)


KEPT_PARTS: dict[str, Callable[[tuple[int, ...]], Part]] = {
    **SOMETHING,
    "tap of one row": lambda on: p.Watch(torch.eye(11)[:, 2:5], on=on),
}


@pytest.mark.parametrize("name", KEPT_PARTS)
def test_what_is_kept_from_step_to_step_changes_no_bit_and_does_not_grow(name: str) -> None:
    parts = [KEPT_PARTS[name]((2, 3)), p.Watch(torch.eye(11)[:, 2:5], "edited", on=(0, 1, 4, 5))]
    program, case, kept = compose(parts, SPACE), problem(), Kept()
    assert program is not None
    sizes = []
    for step in range(3):
        query = case.query * (1 + step)
        seen, columns = run(program, query, case.sources, plain="text", kept=kept)
        expected, wanted = run(program, query, case.sources, plain="text")
        assert torch.equal(seen, expected)
        assert all(map(torch.equal, columns, wanted))
        sizes.append(kept.size)
    assert sizes[0] == sizes[1] == sizes[2] > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64], ids=str)
@pytest.mark.parametrize(
    "columns", [torch.eye(11)[:, [4, 2]], torch.eye(11)[:, :3] + torch.eye(11)[:, 2:5], torch.eye(11)]
)
def test_columns_from_a_known_denominator_are_those_of_the_probabilities(
    columns: torch.Tensor, dtype: torch.dtype
) -> None:
    case, parts = problem(dtype=dtype), [p.Watch(columns, on=(2, 3)), p.Watch(columns[:, :1], on=(0, 1, 4, 5))]
    program = compose(parts, replace(SPACE, dtype=torch.float64 if dtype == torch.float64 else torch.float32))
    assert program is not None
    with torch.no_grad():
        seen, taps = run(program, case.query, case.sources, plain="text")
        assert torch.equal(seen, attend(case.query, *case.sources["text"]))
    _, expected = Oracle(case, parts).run()
    whole = laid_out(program, taps, SPACE.rows)
    assert whole is not None
    assert (whole.double() - expected).abs().max() <= (1e-10 if dtype == torch.float64 else 4e-6)
