"""The text tower says relations and colours: which states are asked, and that only their own direction satisfies."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from weights.train import telling
from weights.train.data import related
from weights.train.scenes import pair, single
from weights.train.tint import TINTS
from weights.train.world import world

OWNED = torch.tensor([[0, 1, 0, 2, 2, 0, 0, 0], [0, 1, 1, 0, 0, 0, 0, 0]])
"""A caption of two objects, the second of two tokens, and one of one object."""


def test_the_directions_are_orthonormal_and_the_same_in_every_run() -> None:
    first = telling.directions(32)
    torch.testing.assert_close(first @ first.T, torch.eye(len(world().relations)))
    assert torch.equal(first, telling.directions(32))


def test_states_are_asked_from_the_second_objects_last_token_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "REACH", 3)
    assert telling.asked(OWNED).tolist() == [[False] * 4 + [True] * 3 + [False], [False] * 8]


def test_a_state_along_its_own_direction_costs_nothing_and_along_another_much() -> None:
    own, other = 2, 3
    directions = telling.directions(32)
    hidden = torch.zeros(2, 8, 32)
    relations = torch.tensor([own, -1])
    hidden[0, 4:] = 40 * directions[own]
    assert telling.loss_of(hidden, OWNED, relations) == pytest.approx(0, abs=1e-6)
    assert telling.told(hidden, OWNED, relations) == 1
    hidden[0, 4:] = 40 * directions[other]
    assert telling.loss_of(hidden, OWNED, relations) > 20
    assert telling.told(hidden, OWNED, relations) == 0
    hidden[0, :4] = 40 * directions[own]
    assert telling.told(hidden, OWNED, relations) == 0, "tokens before the relation cannot know it"


def test_scenes_of_one_object_ask_nothing() -> None:
    hidden = torch.randn(1, 8, 32, requires_grad=True)
    loss = telling.loss_of(hidden, OWNED[1:], torch.tensor([-1]))
    assert loss == 0
    assert telling.told(hidden, OWNED[1:], torch.tensor([-1])) == 0


def test_a_scene_knows_its_relations_place() -> None:
    rng = np.random.default_rng(0)
    scene = pair(rng)
    assert world().relations[related(scene)] == scene.relation
    assert related(single(rng)) == -1


def test_the_directions_of_colours_are_at_right_angles_to_those_of_relations() -> None:
    tints = telling.tints(32)
    torch.testing.assert_close(tints @ tints.T, torch.eye(len(TINTS)))
    torch.testing.assert_close(tints @ telling.directions(32).T, torch.zeros(len(TINTS), len(world().relations)))


def test_tokens_have_the_colour_of_their_object() -> None:
    colors = torch.tensor([[-1, 4], [2, -1]])
    assert telling.colored(OWNED, colors).tolist() == [[-1, -1, -1, 4, 4, -1, -1, -1], [-1, 2, 2] + [-1] * 5]


def test_an_objects_tokens_along_their_colour_cost_nothing_and_along_the_others_much() -> None:
    tints = telling.tints(32)
    colors = torch.tensor([[6, 4], [-1, -1]])
    hidden = torch.zeros(2, 8, 32)
    hidden[0, 1], hidden[0, 3:5] = 40 * tints[6], 40 * tints[4]
    assert telling.loss_of_colors(hidden, OWNED, colors) == pytest.approx(0, abs=1e-6)
    assert telling.loss_of_colors(hidden, OWNED, colors.flip(1)) > 20
    assert telling.loss_of_colors(hidden, OWNED, torch.full((2, 2), -1)) == 0
