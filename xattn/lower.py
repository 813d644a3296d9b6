"""Run a Program: the plain call where it says nothing, a few fused calls where it does."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from xattn.functional import attend
from xattn.program import Program


def run(
    program: Program,
    query: Tensor,
    sources: Mapping[str, tuple[Tensor, Tensor]],
    *,
    plain: str,
    backend: str,
) -> tuple[Tensor, Tensor | None]:
    """Not yet: only the plain call."""
    if not program.identity:
        raise NotImplementedError("programs are not lowered yet")
    key, value = sources[plain]
    return attend(query, key, value, backend=backend), None
