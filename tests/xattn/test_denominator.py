"""The operator that tells the plain call's denominators is torch's own: tried once, done without where it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from xattn import denominator
from xattn import parts as p
from xattn.compose import compose
from xattn.functional import attend
from xattn.kept import Kept
from xattn.lower import run
from xattn.program import Program
from xattn.space import Space

KERNEL = "_scaled_dot_product_flash_attention_for_cpu"
REAL: Callable[..., tuple[Tensor, Tensor]] = getattr(torch, KERNEL)
SPACE = Space(rows=3, heads=2, queries=16, keys="text", tokens={"text": 11})


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    denominator.refusal.cache_clear()
    yield
    denominator.refusal.cache_clear()


def drawn(tokens: int) -> Tensor:
    return torch.randn(3, tokens, 2, 8, generator=torch.Generator().manual_seed(tokens)).transpose(1, 2)


QUERY, TEXT = drawn(16), (drawn(11), drawn(11) + 1)


def watching() -> Program:
    program = compose([p.Watch(torch.eye(11)[:, 2:4], on=(2, 3))], SPACE)
    assert program is not None
    return program


def refusing(*_: Any, **__: Any) -> None:
    raise RuntimeError("no kernel for this\nat some line")


def moved(*given: Any, **named: Any) -> tuple[Tensor, Tensor]:
    output, lse = REAL(*given, **named)
    return output + 1e-6, lse


def off(*given: Any, **named: Any) -> tuple[Tensor, Tensor]:
    output, lse = REAL(*given, **named)
    return output, lse + 0.5


def by_two(*given: Any, **named: Any) -> tuple[Tensor, Tensor]:
    output, lse = REAL(*given, **named)
    return output, lse / torch.tensor(2.0).log()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_here_the_operator_tells_the_truth(dtype: torch.dtype) -> None:
    before = torch.get_rng_state()
    assert denominator.refusal(dtype) == ""
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        (None, f"has no operator {KERNEL}"),
        (refusing, "refuses its own operator: no kernel for this"),
        (lambda *_, **__: QUERY, "refuses its own operator"),
        (moved, "another output than its public call"),
        (off, "denominators are 0.5 off"),
        (by_two, "denominators are"),
        (lambda *given, **named: (REAL(*given, **named)[0], torch.zeros(3)), "denominators of shape [3]"),
    ],
    ids=["missing", "refusing", "one tensor", "another output", "off", "base two", "another shape"],
)
def test_without_it_words_are_read_all_the_same_and_it_is_said_why(
    monkeypatch: pytest.MonkeyPatch, how: Callable[..., Any] | None, says: str
) -> None:
    with torch.no_grad():
        expected, (read,) = run(watching(), QUERY, {"text": TEXT}, plain="text")
    denominator.refusal.cache_clear()
    if how is None:
        monkeypatch.delattr(torch, KERNEL)
    else:
        monkeypatch.setattr(torch, KERNEL, how)
    with torch.no_grad():
        output, (again,) = run(watching(), QUERY, {"text": TEXT}, plain="text")
    assert says in denominator.refusal(torch.float32)
    assert torch.equal(output, expected)
    torch.testing.assert_close(again, read, rtol=1e-5, atol=1e-6)


class Operators(TorchDispatchMode):
    """Counts torch's operators."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def test_reading_a_row_costs_ten_operators_at_a_site() -> None:
    """Of which one asks which kernel torch takes: on small grids it is calls that cost, not arithmetic."""
    program, kept = watching(), Kept()
    with torch.no_grad():
        run(program, QUERY, {"text": TEXT}, plain="text", kept=kept)
        with Operators() as plain:
            attend(QUERY, *TEXT)
        with Operators() as watched:
            run(program, QUERY, {"text": TEXT}, plain="text", kept=kept)
    assert watched.count - plain.count <= 10


@pytest.mark.parametrize("watched", [[2], [2, 3], [[2, 3], [4]]], ids=["a token", "two", "a phrase"])
@pytest.mark.parametrize("rows", [(0, 1), (4, 5), (2, 3, 4, 5), None], ids=str)
def test_later_calls_read_what_the_first_did_by_a_shorter_way(watched: list[Any], rows: tuple[int, ...] | None) -> None:
    weights = torch.zeros(11, len(watched))
    for column, tokens in enumerate(watched):
        weights[tokens, column] = 1
    program, kept = compose([p.Watch(weights, on=rows)], SPACE), Kept()
    assert program is not None
    with torch.no_grad():
        output, (first,) = run(program, QUERY, {"text": TEXT}, plain="text", kept=kept)
        for query in (QUERY, QUERY.flip(0)):
            expected, (own,) = run(program, query, {"text": TEXT}, plain="text", kept=Kept())
            again, (read,) = run(program, query, {"text": TEXT}, plain="text", kept=kept)
            assert list(kept.quick) == [(program, "auto")]
            assert torch.equal(again, expected)
            assert torch.equal(read, own)
    assert torch.equal(output, attend(QUERY, *TEXT))
    assert not torch.equal(first, read)


def test_the_shorter_way_is_taken_only_where_the_kernel_is_the_one_that_told_it() -> None:
    program, kept = watching(), Kept()
    with torch.no_grad():
        run(program, QUERY, {"text": TEXT}, plain="text", kept=kept)
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            math, (by_math,) = run(program, QUERY, {"text": TEXT}, plain="text", kept=kept)
            assert torch.equal(math, attend(QUERY, *TEXT))
        explicit, (outright,) = run(program, QUERY, {"text": TEXT}, plain="text", kept=kept, backend="explicit")
        assert torch.equal(explicit, attend(QUERY, *TEXT, backend="explicit"))
        _, (read,) = run(program, QUERY, {"text": TEXT}, plain="text", kept=kept)
    for other in (by_math, outright):
        torch.testing.assert_close(other, read, rtol=1e-5, atol=1e-6)


def test_a_program_that_edits_or_reads_twice_has_no_shorter_way() -> None:
    twice = compose([p.Watch(torch.eye(11)[:, :1]), p.Watch(torch.eye(11)[:, :1], on=(2, 3))], SPACE)
    edited = compose([p.TokenDiagonal((3,), 2.0), p.Watch(torch.eye(11)[:, :1])], SPACE)
    for program in (twice, edited):
        assert program is not None
        kept = Kept()
        with torch.no_grad():
            run(program, QUERY, {"text": TEXT}, plain="text", kept=kept)
        assert not kept.quick
