"""Every backend computes the same attention, as the explicit float64 form has it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.xattn.oracle import attention
from xattn.backends import BACKENDS, Request, choose, get_backend, reasons
from xattn.errors import BadValue, UnknownName, Unsupported
from xattn.functional import attend
from xattn.masks import closed

HERE = ["sdpa", "tiled", "explicit"]
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def problems(draw: st.DrawFn) -> dict[str, object]:
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    batch, kv_heads, group = (draw(st.integers(1, 3)) for _ in range(3))
    n, m = draw(st.sampled_from([1, 3, 8, 300])), draw(st.sampled_from([1, 2, 7, 77, 600]))
    d, dv = draw(st.integers(1, 9)), draw(st.integers(1, 9))

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    bias = None
    if draw(st.booleans()):
        shape = (batch, kv_heads * group, n, m)
        bias = noise(*(size if draw(st.booleans()) else 1 for size in shape))
        bias = bias.masked_fill(noise(*bias.shape) > 0.7, -torch.inf)
        if draw(st.booleans()):
            bias[..., : 1 + bias.shape[2] // 2, :] = -torch.inf  # these queries see nothing at all
    return {
        "query": noise(batch, kv_heads * group, n, d) * 2,
        "key": noise(batch, kv_heads, m, d),
        "value": noise(batch, kv_heads, m, dv),
        "bias": bias,
        "causal": draw(st.booleans()),
        "scale": draw(st.sampled_from([None, 0.3, 2.0])),
    }


@pytest.mark.parametrize("backend", HERE)
@quick
@given(problem=problems())
def test_attention_agrees_with_the_explicit_form_in_float64(backend: str, problem: dict[str, object]) -> None:
    expected, lse = attention(**problem)  # type: ignore[arg-type]
    output = attend(**problem, backend=backend)  # type: ignore[call-overload]
    torch.testing.assert_close(output, expected, rtol=1e-10, atol=1e-10)
    if backend != "sdpa":
        output, log_sum = attend(**problem, backend=backend, lse=True)  # type: ignore[call-overload]
        torch.testing.assert_close(output, expected, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(log_sum, lse, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 2e-6), (torch.bfloat16, 2e-2), (torch.float16, 3e-3)])
@settings(max_examples=10, deadline=None)
@given(problem=problems())
def test_attention_is_right_to_the_dtypes_rounding(
    backend: str, dtype: torch.dtype, error: float, problem: dict[str, object]
) -> None:
    narrow = {k: v.to(dtype) if isinstance(v, torch.Tensor) else v for k, v in problem.items()}
    expected, _ = attention(**narrow)  # type: ignore[arg-type]
    output = attend(**narrow, backend=backend)  # type: ignore[call-overload]
    assert output.dtype == dtype
    assert (output.double() - expected).abs().max() <= error * (1 + narrow["value"].double().abs().max())  # type: ignore[union-attr]


@pytest.mark.parametrize("backend", HERE)
def test_a_query_that_sees_nothing_gets_zero_and_no_gradient(backend: str) -> None:
    query, key, value = (torch.randn(1, 2, 4, 8, requires_grad=True) for _ in range(3))
    bias = torch.zeros(1, 1, 4, 4)
    bias[..., 1, :] = -torch.inf
    output = attend(query, key, value, bias=bias, backend=backend)
    gradients = torch.autograd.grad(output.sum(), (query, key, value))
    assert torch.equal(output[:, :, 1], torch.zeros_like(output[:, :, 1]))
    assert all(bool(g.isfinite().all()) for g in gradients)
    assert torch.equal(gradients[0][:, :, 1], torch.zeros(1, 2, 8))


def test_a_kernel_is_never_shown_a_query_that_sees_nothing() -> None:
    bias = torch.zeros(1, 1, 3, 4)
    bias[..., 1, :], bias[..., 2, 0] = -torch.inf, -torch.inf
    query, key = torch.zeros(1, 1, 3, 8), torch.zeros(1, 1, 4, 8)
    mask, blind = closed(bias, Request.of(query, key, key, bias=bias, causal=False, lse=False), query)
    assert mask is not None
    assert blind is not None
    assert blind.flatten().tolist() == [False, True, False]
    assert torch.equal(mask[0, 0, 1], torch.zeros(4))
    assert torch.equal(mask[0, 0, 2], bias[0, 0, 2])


@pytest.mark.parametrize("backend", ["tiled", "explicit"])
def test_the_log_sum_exp_of_a_query_that_sees_nothing_is_minus_infinity(backend: str) -> None:
    tensors = (torch.randn(1, 1, 2, 4, dtype=torch.bfloat16) for _ in range(3))
    _, lse = attend(*tensors, bias=torch.full((1, 1, 1, 1), -torch.inf), backend=backend, lse=True)
    assert lse.dtype == torch.float32
    assert bool((lse == -torch.inf).all())


@pytest.mark.parametrize("backend", HERE)
@settings(max_examples=15, deadline=None)
@given(problem=problems())
def test_gradients_are_those_of_the_explicit_form(backend: str, problem: dict[str, object]) -> None:
    names = [name for name in ("query", "key", "value", "bias") if problem[name] is not None]
    weights = torch.linspace(-1, 1, problem["value"].shape[-1], dtype=torch.float64)  # type: ignore[union-attr]
    found = []
    for function in (attention, attend):
        inputs = {k: v.clone().requires_grad_() if k in names else v for k, v in problem.items()}  # type: ignore[union-attr]
        extra = {"backend": backend} if function is attend else {}
        result = function(**inputs, **extra)  # type: ignore[operator]
        output = result[0] if isinstance(result, tuple) else result
        found.append(torch.autograd.grad((output * weights).sum(), [inputs[name] for name in names]))  # type: ignore[misc]
    for ours, theirs in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(ours, theirs.nan_to_num(), rtol=1e-9, atol=1e-9)


def test_auto_goes_to_the_first_backend_that_says_yes() -> None:
    request = Request(1, 2, 2, 4, 4, 8, 8, torch.float32, "cpu")
    assert choose(request).name == "sdpa"
    assert choose(Request(1, 2, 2, 4, 4, 8, 8, torch.float32, "cpu", lse=True)).name == "tiled"
    assert [line.split(":")[0] for line in reasons(request)] == [backend.name for backend in BACKENDS]


def test_a_backend_that_cannot_says_why() -> None:
    tensors = [torch.randn(1, 1, 2, 4) for _ in range(3)]
    with pytest.raises(Unsupported, match="because scaled_dot_product_attention gives no log-sum-exp"):
        attend(*tensors, backend="sdpa", lse=True)


def test_an_unknown_backend_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="tiled"):
        get_backend("tield")


@pytest.mark.parametrize(
    ("query", "key", "value", "bias", "says"),
    [
        ((1, 2, 4), (1, 2, 3, 4), (1, 2, 3, 4), None, "query is"),
        ((1, 2, 3, 4), (2, 2, 3, 4), (2, 2, 3, 4), None, "key is"),
        ((1, 3, 3, 4), (1, 2, 3, 4), (1, 2, 3, 4), None, "divides query's 3"),
        ((1, 2, 3, 4), (1, 2, 3, 4), (1, 2, 5, 4), None, "value is"),
        ((1, 2, 3, 4), (1, 2, 3, 4), (1, 2, 3, 4), (7,), "bias is"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    query: tuple[int, ...], key: tuple[int, ...], value: tuple[int, ...], bias: tuple[int, ...] | None, says: str
) -> None:
    with pytest.raises(BadValue, match=says):
        attend(torch.ones(query), torch.ones(key), torch.ones(value), bias=None if bias is None else torch.ones(bias))


def test_a_boolean_mask_is_refused_with_the_way_to_write_it() -> None:
    tensors = [torch.randn(1, 1, 2, 4) for _ in range(3)]
    with pytest.raises(BadValue, match="use 0 where seen and -inf where hidden"):
        attend(*tensors, bias=torch.ones(2, 2, dtype=torch.bool))


@quick
@given(seed=st.integers(0, 1000), backend=st.sampled_from(HERE))
def test_permuting_keys_changes_nothing_and_permuting_queries_permutes(seed: int, backend: str) -> None:
    generator = torch.Generator().manual_seed(seed)
    query, key, value = (torch.randn(2, 2, n, 4, generator=generator, dtype=torch.float64) for n in (5, 9, 9))
    keys, queries = torch.randperm(9, generator=generator), torch.randperm(5, generator=generator)
    plain = attend(query, key, value, backend=backend)
    torch.testing.assert_close(attend(query, key[:, :, keys], value[:, :, keys], backend=backend), plain)
    torch.testing.assert_close(attend(query[:, :, queries], key, value, backend=backend), plain[:, :, queries])
