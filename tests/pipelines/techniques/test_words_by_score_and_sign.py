"""PaintWithWords and NegPip against their formulas on explicit probabilities."""

from __future__ import annotations

import math

import pytest
import torch
from PIL import Image

from pipelines.assets import Asset
from pipelines.techniques import NegPip, PaintWithWords
from pipelines.techniques.values import Box
from pipelines.techniques.window import Window
from tests.pipelines.techniques.one_call import FOX, ICE_CREAM, Call
from xattn.errors import BadValue, UnknownWord

VALUES = torch.arange(35).view(5, 7) * 7
PAINTED = Asset.from_image(Image.fromarray(VALUES.to(torch.uint8).numpy()))
FIELD = (VALUES.flatten() / 255).double()
BACKENDS = ["auto", "tiled", "explicit"]
ROUNDING = {torch.float32: 2e-6, torch.bfloat16: 6e-2, torch.float16: 8e-3}


def raised(call: Call, columns: list[int], strength: float, sigma: float) -> torch.Tensor:
    """softmax of the scores with w log(1 + σ) max(QKᵀ) added inside the field, head by head."""
    scores = call.scores()
    for head in scores:
        head[:, columns] += (FIELD * strength * math.log(1 + sigma) * head.max())[:, None]
    return scores.softmax(dim=-1)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("index", "sigma"), [(0, 4096.0), (1, 3.0), (3, 0.1)])
def test_painting_with_words_raises_scores_by_the_greatest_of_the_head(backend: str, index: int, sigma: float) -> None:
    for word, columns in (("fox", FOX), ("ice cream", ICE_CREAM)):
        call = Call([PaintWithWords(word, PAINTED, 0.4)])
        expected = raised(call, columns, 0.4, sigma) @ call.value()
        torch.testing.assert_close(call.output(index, backend), expected, rtol=0, atol=1e-10)


def test_infinite_sigma_is_that_of_the_last_step_before_it() -> None:
    call = Call([PaintWithWords("fox", PAINTED, 0.4)], sigmas=(math.inf, 1.0, 1.0, 1.0))
    expected = raised(call, FOX, 0.4, 4096.0) @ call.value()
    torch.testing.assert_close(call.output(0), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
def test_painting_with_words_is_right_to_the_dtypes_rounding(dtype: torch.dtype) -> None:
    call = Call([PaintWithWords("ice cream", PAINTED, 0.4)], dtype=dtype)
    expected = raised(call, ICE_CREAM, 0.4, 3.0) @ call.value()
    assert (call.output(1).double() - expected).abs().max() < ROUNDING[dtype]


@pytest.mark.parametrize("dtype", [torch.float64, *ROUNDING], ids=str)
def test_a_negative_word_acts_by_minus_its_values(dtype: torch.dtype) -> None:
    call = Call([NegPip("ice cream", 1.5)], dtype=dtype)
    probs = call.probs()
    probs[..., ICE_CREAM] *= -1.5
    error = (call.output().double() - probs @ call.value()).abs().max()
    assert error < {torch.float64: 1e-10, **ROUNDING}[dtype]


def test_strengths_run_over_the_steps() -> None:
    call = Call([NegPip("fox", ((0.0, 2.0), (1.0, 0.5)))])
    for index, strength in enumerate((2.0, 1.5, 1.0, 0.5)):
        probs = call.probs()
        probs[..., FOX] *= -strength
        torch.testing.assert_close(call.output(index), probs @ call.value(), rtol=0, atol=1e-10)
    call = Call([PaintWithWords("fox", PAINTED, ((0.0, 1.0), (1.0, 0.0)))])
    expected = raised(call, FOX, 2 / 3, 3.0) @ call.value()
    torch.testing.assert_close(call.output(1), expected, rtol=0, atol=1e-10)
    assert call.step(3) is None


def test_a_strength_of_nothing_and_a_closed_window_leave_no_program() -> None:
    assert Call([PaintWithWords("fox", PAINTED, 0.0)]).step(0) is None
    later = Window(steps=(3, 4))
    assert Call([PaintWithWords("fox", PAINTED, window=later), NegPip("fox", window=later)]).step(0) is None


def test_what_cannot_be_is_told_in_a_sentence() -> None:
    with pytest.raises(UnknownWord, match=r'no word "wolf"'):
        Call([NegPip("wolf")])
    with pytest.raises(BadValue, match=r"paint_with_words.strength is 11.* a number from 0 to 10"):
        PaintWithWords("fox", Box(0, 0, 1, 0.5), 11)
    with pytest.raises(BadValue, match=r"paint_with_words.field is None.* a Box"):
        PaintWithWords("fox", None)  # type: ignore[arg-type]
    with pytest.raises(BadValue, match=r"neg_pip.strength is -1.* 0 silences the word"):
        NegPip("fox", -1)
