"""How much a word brings: held to the definition, head by head, on a tiny model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipelines.capture import Capture
from pipelines.pipeline import Pipeline
from pipelines.recipe import Recipe
from pipelines.value_lengths import value_lengths

SAID = Recipe("a fox, on red", seed=1, num_inference_steps=2)


def test_a_length_is_that_of_the_value_through_the_output_projection(pipe: Pipeline) -> None:
    result = pipe(SAID, maps=Capture("*", ("layer", "head")))
    maps = result.maps
    assert maps is not None
    lengths = value_lengths(pipe.model, result.recipe, maps)
    hidden = pipe.model.text.encode([SAID.prompt]).hidden[0].double()
    fox = pipe.ledger(SAID.prompt).words[1].tokens
    sites = [site for site in pipe.model.unet.sites if site.cross]
    assert lengths.shape == (len(maps.words) + 4, len(sites), max(site.heads for site in sites))
    for layer, site in enumerate(sites):
        attention = pipe.model.unet.get_submodule(site.name)
        value = hidden @ attention.to_v.weight.double().T  # type: ignore[union-attr, operator]
        width = value.shape[1] // site.heads
        for head in range(site.heads):
            own = slice(head * width, (head + 1) * width)
            out = value[:, own] @ attention.to_out[0].weight.double()[:, own].T  # type: ignore[union-attr, index, operator]
            expected = torch.linalg.norm(out, dim=1)
            assert lengths[1, layer, head] == pytest.approx(float(expected[list(fox)].mean()), rel=1e-4)
            assert lengths[len(maps.words), layer, head] == pytest.approx(float(expected[0]), rel=1e-4)
        assert not lengths[:, layer, site.heads :].any()


def test_every_token_is_in_one_set(pipe: Pipeline) -> None:
    result = pipe(SAID, maps=Capture("*"))
    assert result.maps is not None
    comma = value_lengths(pipe.model, result.recipe, result.maps)[-1]
    assert comma.any(), "the comma is what no word has"
    without = pipe(Recipe("a fox on red", seed=1, num_inference_steps=2), maps=Capture("*"))
    assert without.maps is not None
    assert not np.any(value_lengths(pipe.model, without.recipe, without.maps)[-1])
