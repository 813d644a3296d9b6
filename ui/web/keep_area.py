"""The area Keep: what it has on the page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KeepArea:
    """Its components."""


def keep_area() -> KeepArea:
    """Lay it out; to be called inside its tab."""
    return KeepArea()
