"""The layer is diffusers' attention, name by name and number by number."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from diffusers.models.attention_processor import Attention as Theirs
from diffusers.models.unets.unet_dreamlite import DreamLiteAttnProcessor2_0

from xattn.backends import Request, choose, get_backend
from xattn.compose import compose
from xattn.errors import BadValue, Unsupported
from xattn.masks import aligned
from xattn.module import Attention, KeyValue
from xattn.parts import Gate, Watch
from xattn.program import Program
from xattn.sites import AttentionSite
from xattn.space import Space


@pytest.mark.parametrize("context", [None, 12])
@pytest.mark.parametrize("backend", ["sdpa", "tiled", "explicit"])
def test_the_layer_equals_diffusers_with_the_same_weights(context: int | None, backend: str) -> None:
    theirs = Theirs(query_dim=16, cross_attention_dim=context, heads=4, dim_head=4, bias=False)
    ours = Attention(16, context_dim=context, heads=4, head_dim=4, backend=backend)
    ours.load_state_dict(theirs.state_dict())
    hidden, text = torch.randn(2, 9, 16), torch.randn(2, 5, 12)
    with torch.no_grad():
        expected = theirs(hidden, encoder_hidden_states=None if context is None else text)
        result = ours(hidden, None if context is None else {"text": ours.key_value(text)})
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("context", [None, 12])
def test_grouped_queries_equal_diffusers_own(kv_heads: int, context: int | None) -> None:
    # the one processor of diffusers' that takes fewer key heads than query heads as they are meant
    theirs = Theirs(
        query_dim=16,
        cross_attention_dim=context,
        heads=4,
        kv_heads=kv_heads,
        dim_head=4,
        bias=False,
        processor=DreamLiteAttnProcessor2_0(),
    )
    ours = Attention(16, context_dim=context, heads=4, head_dim=4, kv_heads=kv_heads)
    ours.load_state_dict(theirs.state_dict())
    hidden, text = torch.randn(2, 9, 16), torch.randn(2, 5, 12)
    with torch.no_grad():
        expected = theirs(hidden, encoder_hidden_states=None if context is None else text)
        result = ours(hidden, None if context is None else {"text": ours.key_value(text)})
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kv_heads", [1, 2])
def test_grouped_queries_equal_the_same_heads_repeated(kv_heads: int) -> None:
    grouped = Attention(16, heads=4, head_dim=4, kv_heads=kv_heads)
    whole = Attention(16, heads=4, head_dim=4)
    state = grouped.state_dict()
    for name in ("to_k.weight", "to_v.weight"):
        state[name] = state[name].unflatten(0, (kv_heads, 4)).repeat_interleave(4 // kv_heads, dim=0).flatten(0, 1)
    whole.load_state_dict(state)
    hidden = torch.randn(2, 6, 16)
    torch.testing.assert_close(grouped(hidden), whole(hidden))


def test_an_empty_program_is_the_plain_call_bit_for_bit() -> None:
    layer, hidden = Attention(16, heads=4, head_dim=4), torch.randn(2, 9, 16)
    assert torch.equal(layer(hidden, program=Program()), layer(hidden))


def test_taps_go_to_the_record_with_their_site_and_grid() -> None:
    layer, hidden = Attention(16, context_dim=12, heads=4, head_dim=4), torch.randn(2, 6, 16)
    text = {"text": layer.key_value(torch.randn(2, 5, 12))}
    site = AttentionSite("mid_block.attn2", "cross", "mid", 4, 4, 4)
    program = compose([Watch(torch.eye(5)[:, :2])], Space(2, 4, 6, tokens={"text": 5}))
    seen: list[tuple[object, ...]] = []
    layer(hidden, text, program, site=site, grid=(2, 3), record=lambda *what: seen.append(what))
    ((at, grid, (tap,)),) = seen  # type: ignore[misc]
    assert (at, grid, tap.shape) == (site, (2, 3), (2, 4, 6, 2))  # type: ignore[attr-defined]


def test_recording_without_a_site_is_refused() -> None:
    layer = Attention(16, heads=4, head_dim=4)
    program = compose([Watch(torch.ones(6, 1))], Space(2, 4, 6, keys="self"))
    with pytest.raises(BadValue, match="recorded taps"):
        layer(torch.randn(2, 6, 16), program=program, record=lambda *_: None)


def test_a_bias_beside_a_program_is_refused() -> None:
    layer = Attention(16, heads=4, head_dim=4)
    program = compose([Gate(0.5)], Space(2, 4, 6, keys="self"))
    with pytest.raises(BadValue, match="a part of the program"):
        layer(torch.randn(2, 6, 16), program=program, bias=torch.zeros(6, 6))


def test_cross_attention_without_text_is_refused() -> None:
    layer = Attention(16, context_dim=12, heads=4, head_dim=4)
    with pytest.raises(BadValue, match='with "text"'):
        layer(torch.randn(1, 3, 16))


def test_heads_that_do_not_divide_are_refused() -> None:
    with pytest.raises(BadValue, match=r"a divisor of heads \(4\)"):
        Attention(16, heads=4, head_dim=4, kv_heads=3)


def test_keys_and_values_are_a_named_pair() -> None:
    pair = Attention(16, heads=4, head_dim=4, kv_heads=2).key_value(torch.randn(2, 5, 16))
    assert isinstance(pair, KeyValue)
    assert pair.key.shape == pair.value.shape == (2, 2, 5, 4)


@pytest.mark.parametrize("name", ["xformers", "flex"])
def test_a_backend_that_needs_a_gpu_says_so_on_a_cpu(name: str) -> None:
    with pytest.raises(Unsupported, match=r"because .*(CUDA only|CPU)"):
        choose(Request(1, 2, 2, 4, 4, 8, 8, torch.float32, "cpu"), name)


def test_asking_about_xformers_does_not_import_it() -> None:
    code = (
        "import sys; from xattn.backends import *; import torch\n"
        "reasons(Request(1, 2, 2, 4, 4, 8, 8, torch.float32, 'cpu')); print('xformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr.strip()) == ("False", "")


def test_what_xformers_cannot_do_is_said_before_it_is_imported() -> None:
    supports = get_backend("xformers").supports
    assert "no kernel for torch.float64" in supports(Request(1, 2, 2, 4, 4, 8, 8, torch.float64, "cuda")).reason
    assert "log-sum-exp" in supports(Request(1, 2, 2, 4, 4, 8, 8, torch.float16, "cuda", lse=True)).reason


def test_a_mask_for_xformers_has_rows_that_start_at_multiples_of_eight() -> None:
    mask = torch.randn(1, 1, 3, 77)
    room = aligned(mask, (2, 4), 3)
    assert torch.equal(room, mask.expand(2, 4, 3, 77))
    assert all(stride % 8 == 0 for stride in room.stride()[:3])
