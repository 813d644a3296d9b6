"""What a list of parts is composed for: the lanes of one call, and the sizes of its key sources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from xattn.errors import BadValue


@dataclass(frozen=True, slots=True)
class Space:
    """One attention call.

    rows, heads: of the batch; lane numbers are row · heads + head. queries: N, the places of the site's grid.
    keys: the site's own source, "self" or "text". tokens: K of every source but "self", whose tokens are the queries.
    dtype: of the program's numbers (not of the model's): float32, or float64 where that is wanted.
    """

    rows: int
    heads: int
    queries: int
    keys: str = "text"
    tokens: Mapping[str, int] = field(default_factory=dict)
    dtype: torch.dtype = torch.float32
    device: str | torch.device = "cpu"

    @property
    def size(self) -> int:
        """How many lanes there are."""
        return self.rows * self.heads

    def lanes(self, rows: Iterable[int] | None = None, heads: Iterable[int] | None = None) -> tuple[int, ...]:
        """The lanes of these rows and heads (None: all), row by row in the order given."""
        some_rows = tuple(range(self.rows) if rows is None else rows)
        some_heads = tuple(range(self.heads) if heads is None else heads)
        for name, given, limit in (("rows", some_rows, self.rows), ("heads", some_heads, self.heads)):
            if any(not 0 <= number < limit for number in given):
                raise BadValue(name, list(given), f"numbers from 0 to {limit - 1}")
        return tuple(row * self.heads + head for row in some_rows for head in some_heads)

    def width(self, keys: str) -> int:
        """K of a key source; raises BadValue where it is not known."""
        if keys == "self":
            return self.queries
        if keys not in self.tokens:
            known = ", ".join(sorted({*self.tokens, "self"}))
            raise BadValue("keys", keys, f"a key source of this call ({known})")
        return self.tokens[keys]

    def tensor(self, given: Tensor | float, count: int, shape: tuple[int, ...], name: str) -> Tensor:
        """`given` as [1, *shape], or [count, *shape] where it holds one value a lane; raises BadValue."""
        tensor = torch.as_tensor(given, dtype=self.dtype, device=self.device)
        if tensor.dim() == 0:
            tensor = tensor.expand(shape)
        if tensor.shape == shape:
            tensor = tensor[None]
        elif tensor.shape != (count, *shape):
            raise BadValue(name, list(tensor.shape), f"of shape {list(shape)} or {[count, *shape]}")
        if tensor.isnan().any():
            raise BadValue(name, "NaN", "made of numbers")
        return tensor

    def one_hot(self, columns: tuple[int, ...], keys: str) -> Tensor:
        """[len(columns), K], a row for each column."""
        picked = torch.tensor(columns, device=self.device)
        return torch.nn.functional.one_hot(picked, self.width(keys)).to(self.dtype)
