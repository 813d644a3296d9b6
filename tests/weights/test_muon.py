"""Muon's update: the nearest semi-orthogonal matrix, about, at Adam's size."""

from __future__ import annotations

import pytest
import torch

from weights.train.muon import Muon, orthogonalise

SHAPES = [(16, 16), (8, 40), (40, 8)]


@pytest.mark.parametrize("shape", SHAPES)
def test_singular_values_come_near_one(shape):
    matrices = torch.randn(5, *shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalise(matrices).float())
    # the quintic trades exactness for speed: anything in [0.65, 1.25] serves (Jordan et al. 2024)
    assert values.max() < 1.25
    # a random square matrix has singular values near zero, which five steps lift only so far
    assert values.quantile(0.1) > (0.3 if shape[0] == shape[1] else 0.65)


@pytest.mark.parametrize("shape", SHAPES)
def test_it_points_where_the_exact_orthogonal_factor_points(shape):
    matrices = torch.randn(5, *shape, generator=torch.Generator().manual_seed(1))
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    cosine = torch.nn.functional.cosine_similarity(
        orthogonalise(matrices).float().flatten(1), (left @ right).flatten(1), dim=1
    )
    assert cosine.min() > 0.93


def test_the_scale_of_the_gradient_does_not_matter():
    matrices = torch.randn(1, 8, 24, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(orthogonalise(matrices), orthogonalise(matrices * 4096))


def test_a_step_is_as_large_as_adams():
    weight = torch.nn.Parameter(torch.zeros(64, 16, 3, 3))
    weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(3))
    Muon([weight], lr=1.0, decay=0.0).step()
    assert weight.detach().square().mean().sqrt() == pytest.approx(0.2, rel=0.15)


def test_parameters_of_one_shape_do_not_mix():
    generator = torch.Generator().manual_seed(4)
    gradients = [torch.randn(6, 10, generator=generator) for _ in range(2)]

    def stepped(chosen: list[torch.Tensor]) -> list[torch.Tensor]:
        weights = [torch.nn.Parameter(torch.zeros(6, 10)) for _ in chosen]
        for weight, gradient in zip(weights, chosen, strict=True):
            weight.grad = gradient.clone()
        Muon(weights, lr=0.1).step()
        return [weight.detach() for weight in weights]

    together, alone = stepped(gradients), [stepped([gradient])[0] for gradient in gradients]
    for both, one in zip(together, alone, strict=True):
        assert torch.allclose(both, one, atol=2e-3)
