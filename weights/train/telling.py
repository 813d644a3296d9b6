"""The text tower says how two objects stand, and their colours: a loss on its states.

A causal tower has no reason of its own to.

Trained contrastively on scenes that differ in their objects, the tower tells relations apart by less than one
hundredth of its states' variance, and a UNet that learns from those states places objects anywhere. Here every relation
is given a direction u_r of the states (orthonormal, the same in every run), and each state that can know the relation,
from the second object's last token to a few past the caption's end, is to point along its own:

    −log softmax_r(SCALE · ⟨u_r, h⟩)

The directions are of fixed length, so that only the states can grow; a learned probe would read a faint code and leave
it faint. The first object's tokens come before the relation and cannot know it.

Colours of objects likewise: the states of an object's own tokens, where places look (see `binding`), point along the
direction of its colour.
"""

from __future__ import annotations

import torch
from torch import Tensor

from weights.train.tint import TINTS
from weights.train.world import world

SCALE = 0.7
REACH = 16
"""States after the second object's name that are asked: the rest of a caption, its end and some padding."""


def directions(width: int) -> Tensor:
    """Orthonormal rows `[relations, width]`."""
    drawn = torch.randn(width, len(world().relations), generator=torch.Generator().manual_seed(11))
    return torch.linalg.qr(drawn).Q.T


def tints(width: int) -> Tensor:
    """Orthonormal rows `[colours of objects, width]`, at right angles to the relations' directions."""
    drawn = torch.randn(width, len(TINTS), generator=torch.Generator().manual_seed(12))
    relations = directions(width)
    return torch.linalg.qr(drawn - relations.T @ (relations @ drawn)).Q.T


def asked(owned: Tensor) -> Tensor:
    """Which states `[B, tokens]` are asked, bool; none in rows without a second object."""
    second = owned == 2
    place = torch.arange(owned.shape[1])
    last = torch.where(second, place, -1).amax(dim=1, keepdim=True)
    return (last >= 0) & (place >= last) & (place < last + REACH)


def loss_of(hidden: Tensor, owned: Tensor, relations: Tensor) -> Tensor:
    """Mean cross entropy over the states asked; 0 where there are none.

    hidden: `[B, tokens, width]`; owned: `[B, tokens]`, see `binding.owners`; relations: int64 `[B]`, places in the
    world's list, anything for scenes of one object.
    """
    where = asked(owned)
    if not where.any():
        return hidden.new_zeros(())
    logits = SCALE * hidden.float() @ directions(hidden.shape[-1]).T
    right = relations[:, None].expand_as(where)
    return torch.nn.functional.cross_entropy(logits[where], right[where])


def colored(owned: Tensor, colors: Tensor) -> Tensor:
    """Each token's colour `[B, tokens]`, -1 where its object has none, or it is no object's.

    owned: `[B, tokens]`, see `binding.owners`; colors: int64 `[B, 2]`, each object's place in TINTS or -1.
    """
    nobody = torch.full((len(colors), 1), -1)
    return torch.cat([nobody, colors], dim=1).gather(1, owned.long())


def loss_of_colors(hidden: Tensor, owned: Tensor, colors: Tensor) -> Tensor:
    """Mean cross entropy over the tokens of coloured objects; 0 where there are none. Shapes as in `colored`."""
    right = colored(owned, colors)
    where = right >= 0
    if not where.any():
        return hidden.new_zeros(())
    logits = SCALE * hidden.float()[where] @ tints(hidden.shape[-1]).T
    return torch.nn.functional.cross_entropy(logits, right[where])


@torch.no_grad()
def told(hidden: Tensor, owned: Tensor, relations: Tensor) -> Tensor:
    """The share of those states that point along their own relation more than along any other."""
    where = asked(owned)
    said = (hidden.float() @ directions(hidden.shape[-1]).T).argmax(dim=-1)
    right = (said == relations[:, None])[where].float()
    return right.mean() if len(right) else right.new_zeros(())
