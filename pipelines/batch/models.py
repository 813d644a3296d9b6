"""The models that rows ask for, one of them loaded at a time."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from pipelines.pipeline import Pipeline
    from pipelines.recipe import ModelRef
    from pipelines.text import AnyTower

_KEPT_ENCODINGS = 64


class Models:
    """Pipelines by name or path. The default's stays; of the others the last one."""

    def __init__(self, default: str, load: Callable[[str], Pipeline], loaded: Pipeline | None = None) -> None:
        self.default = default
        self._load = load
        self._first = None if loaded is None else remembering(loaded)
        self._other: tuple[str, Pipeline] | None = None

    def name(self, asked: ModelRef | None) -> str:
        """What to load for a recipe's model: the default where it is that one, however it is called."""
        if asked is None or asked.name == self.default:
            return self.default
        ours = self.get(self.default).model.ref
        same = asked.name == ours.name if asked.sha256 is None else asked.sha256 == ours.sha256
        return self.default if same else asked.name

    def get(self, name: str) -> Pipeline:
        """The pipeline. Raises XattnError where it cannot be loaded."""
        if name == self.default:
            if self._first is None:
                self._first = remembering(self._load(name))
            return self._first
        if self._other is None or self._other[0] != name:
            self._other = None  # let go of one before the next needs its memory
            self._other = (name, remembering(self._load(name)))
        return self._other[1]


def remembering(pipe: Pipeline) -> Pipeline:
    """The pipeline with text towers that keep what they made: equal prompts are encoded once in a batch.

    What is kept is the answer to a whole call, never put together of parts, so pictures stay equal bit for bit.
    """
    made, text = copy.copy(pipe), pipe.model.text
    towers: tuple[AnyTower, ...] = tuple(_Remembering(tower) for tower in text.towers)
    made.model = replace(pipe.model, text=replace(text, towers=towers))
    return made


@dataclass(slots=True, eq=False)
class _Remembering:
    """A text tower and its last answers."""

    tower: AnyTower
    _kept: OrderedDict[tuple[object, ...], tuple[Tensor, Tensor | None]] = field(default_factory=OrderedDict)

    @property
    def module(self) -> nn.Module:
        return self.tower.module

    @property
    def device(self) -> torch.device:
        return self.tower.device

    def __call__(self, ids: Tensor, *, skip: int = 0, normed: bool = True) -> tuple[Tensor, Tensor | None]:
        key = (ids.cpu().numpy().tobytes(), tuple(ids.shape), skip, normed)
        if key not in self._kept:
            self._kept[key] = self.tower(ids, skip=skip, normed=normed)
            if len(self._kept) > _KEPT_ENCODINGS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]
