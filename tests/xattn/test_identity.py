"""Parts that are the identity by their parameters leave no program: the plain call runs, bit for bit as without."""

from __future__ import annotations

import pytest
import torch

from xattn import parts as p
from xattn.compose import compose
from xattn.parts import Part
from xattn.space import Space

TEXT = Space(rows=2, heads=2, queries=4, keys="text", tokens={"text": 6, "image:0": 3})
NOTHING: dict[str, Part] = {
    "a bias of no place": p.Bias(torch.zeros(4), torch.ones(6)),
    "a bias of no token": p.Bias(torch.ones(4), torch.zeros(6)),
    "a bias by the range, of no token": p.Bias(lambda low, high: high - low, torch.zeros(6)),
    "a key scale of one": p.KeyScale(torch.ones(6)),
    "a token factor of one": p.TokenDiagonal((1, 2), 1.0),
    "a token map to itself": p.TokenMap(torch.eye(6)),
    "an output field of one": p.OutputField(torch.ones(4)),
    "an added source nowhere": p.AddSource("image:0", torch.zeros(4)),
    "a mix of nothing": p.Mix((0, 1), torch.rand(6, 6), 0.0, on=(2, 3)),
    "a route to itself": p.Route((2, 3), (2, 3), on=(2, 3)),
    "a gain of one": p.GainMap((1,), torch.ones(4)),
    "a renormalised gain of one": p.GainMap((1,), torch.ones(4), renormalise=True),
    "a gate of one": p.Gate(1.0),
    "a set map of no token": p.SetMap((), torch.ones(4)),
    "a token factor on no lane": p.TokenDiagonal((1,), 2.0, on=()),
}


@pytest.mark.parametrize("name", NOTHING)
def test_a_part_that_changes_nothing_leaves_no_program(name: str) -> None:
    assert compose([NOTHING[name]], TEXT) is None


def test_beside_others_it_leaves_the_program_that_they_make() -> None:
    other = p.TokenDiagonal((3,), 2.0)
    program = compose([*NOTHING.values(), other], TEXT)
    alone = compose([other], TEXT)
    assert program is not None
    assert alone is not None
    assert len(program.lanes) == len(alone.lanes) == 1
    assert not program.ranks
    assert program.gate is None
    assert program.lanes[0].bias == alone.lanes[0].bias
