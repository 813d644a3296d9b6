"""The first noise against published vectors and known GPU output."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.noise import cuda_normal, first_noise, philox, slerp, step_noise
from pipelines.plan import guide
from pipelines.recipe import Recipe
from pipelines.stages import stages
from pipelines.step_text import said
from pipelines.upscale import Upscale
from xattn.errors import BadValue, UnknownName, Unsupported

# Known-answer vectors that the authors of Philox publish for 4x32 with ten rounds: counter, key, result.
VECTORS = (
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
)
SHAPE = (4, 8, 8)


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "result"), VECTORS)
def test_philox_gives_its_authors_answers(counter: str, key: str, result: str) -> None:
    made = philox(tuple(np.array([word], np.uint64) for word in words(counter)), tuple(words(key)))
    assert [int(word[0]) for word in made] == words(result)


def test_the_noise_of_seed_0_is_what_cuda_prints() -> None:
    printed = [-0.9247, -0.4253, -2.6438, 0.1452, -0.1209, -0.5797, -0.6229, -0.3284]
    np.testing.assert_allclose(cuda_normal(0, 8), printed, atol=6e-5)


def test_both_halves_of_a_long_seed_count() -> None:
    assert not np.allclose(cuda_normal(1, 8), cuda_normal(1 + 2**32, 8))


def test_gpu_noise_is_normal() -> None:
    drawn = cuda_normal(5, 200_000)
    assert abs(float(drawn.mean())) < 0.01
    assert abs(float(drawn.std()) - 1) < 0.01
    assert abs(float(np.corrcoef(drawn[:-1], drawn[1:])[0, 1])) < 0.01


def draw(**fields: object) -> torch.Tensor:
    recipe = Recipe("a fox", seed=7, **fields)  # type: ignore[arg-type]
    return first_noise(recipe, torch.Generator().manual_seed(7), SHAPE)


def test_cpu_noise_is_torchs_own() -> None:
    assert torch.equal(draw(), torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(7)))
    assert not torch.equal(draw(), draw(noise="nv"))


@pytest.mark.parametrize("noise", ["cpu", "nv"])
def test_a_variation_goes_from_one_seed_to_the_other(noise: str) -> None:
    one = draw(noise=noise)
    other = first_noise(Recipe("a fox", seed=9, noise=noise), torch.Generator().manual_seed(9), SHAPE)
    assert torch.equal(draw(noise=noise, variation_seed=9, variation_strength=0.0), one)
    torch.testing.assert_close(draw(noise=noise, variation_seed=9, variation_strength=1.0), other)
    half = draw(noise=noise, variation_seed=9, variation_strength=0.5)
    torch.testing.assert_close((half - one).norm(), (half - other).norm(), rtol=0.1, atol=0)


@given(strength=st.floats(0, 1), seed=st.integers(0, 100))
def test_an_arc_keeps_the_length_of_noise(strength: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    one, other = torch.randn(2, 4096, generator=generator)
    other = other * one.norm() / other.norm()
    torch.testing.assert_close(slerp(one, other, strength).norm(), one.norm())


def test_an_arc_between_equals_stays() -> None:
    one = draw()
    torch.testing.assert_close(slerp(one, one, 0.3), one)


def test_gpu_noise_with_a_sampler_that_takes_none_is_refused() -> None:
    with pytest.raises(Unsupported, match=r"Brownian tree.*use one of ddim, euler, euler_a, dpmpp_2m, unipc, lcm, or"):
        Recipe("a fox", scheduler="dpmpp_2m_sde", noise="nv")


def test_a_gpus_generator_goes_on_a_call_a_step() -> None:
    """As CUDA's do: the counter's first word counts calls, the third one the numbers of a call."""
    first = draw(noise="nv")[0]
    drawn = [step_noise(7, step, SHAPE) for step in range(3)]
    for step, made in enumerate(drawn):
        word, angle, _, _ = (
            float(some[0]) for some in philox(tuple(np.array([one], np.uint64) for one in (step + 1, 0, 5, 0)), (7, 0))
        )
        radius, turn = np.sqrt(-2 * np.log(word / 2**32 + 2**-33)), 2 * np.pi * (angle / 2**32 + 2**-33)
        assert float(made.flatten()[5]) == pytest.approx(radius * np.sin(turn), abs=1e-5)
        assert not any(torch.equal(made, other) for other in (first, *drawn[:step]))


def test_noise_that_is_none_is_refused() -> None:
    with pytest.raises(UnknownName, match="cpu, nv"):
        Recipe("a fox", noise="dice")  # type: ignore[arg-type]


@pytest.mark.parametrize("said", ["gpu", "GPU", "cuda", "nvidia"])
def test_who_says_gpu_is_told_nv_which_is_not_the_nearest_by_its_letters(said: str) -> None:
    with pytest.raises(UnknownName, match=r'no noise "(gpu|GPU|cuda|nvidia)".*Did you mean "nv"\?$'):
        Recipe("a fox", noise=said)  # type: ignore[arg-type]


def test_a_strength_without_a_seed_is_refused() -> None:
    with pytest.raises(BadValue, match="variation_seed"):
        Recipe("a fox", variation_strength=0.5)


def test_what_needs_a_resolved_recipe_says_so() -> None:
    open_one = Recipe("a fox", passes=(Upscale(2.0, 0.5),))
    for ask in (
        lambda: first_noise(open_one, torch.Generator(), (4, 8, 8)),
        lambda: said(open_one),
        lambda: stages(open_one),
        lambda: guide([open_one]),
        lambda: guide([replace(open_one, num_inference_steps=4)]),
        lambda: stages(replace(open_one, num_inference_steps=4)),
    ):
        with pytest.raises(BadValue, match=r"is None, but it must be filled in\. Resolve the recipe first"):
            ask()
