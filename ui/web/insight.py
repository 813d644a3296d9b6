"""What the area See says of a picture's words: each one's share of the attention, and where it is greatest."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.attention_maps import AttentionMaps
from ui.web.colors import word_colors
from ui.web.runs import Run

HELP = "Each word's share of the attention, over all places. The rest goes to begin and end of text."


def insight(run: Run) -> dict[str, Any] | None:
    """The table; None where no maps were kept."""
    maps = run.maps
    if maps is None:
        return None
    shares = maps.mean().mean(axis=(1, 2, 3, 4, 5))
    layers = maps.mean(keep=("layer",)).mean(axis=(4, 5))[:, 0, :, 0]
    steps = maps.mean(keep=("step",)).mean(axis=(4, 5))[:, :, 0, 0]
    rows: list[dict[str, Any]] = []
    for place, (word, color) in enumerate(zip(maps.words, word_colors(maps.words), strict=True)):
        rows.append(
            {
                "text": AttentionMaps.label(word),
                "color": color,
                "share": round(float(shares[place]), 5),
                "layer": maps.layers[int(np.argmax(layers[place]))].label if maps.layers else "",
                "step": int(maps.steps[int(np.argmax(steps[place]))]) if maps.steps else None,
            }
        )
    sizes = dict(zip(("steps", "layers", "heads"), maps.values.shape[1:4], strict=True))
    kept = " × ".join(f"{size} {name}" for name, size in sizes.items() if size > 1) or "all of them together"
    grid = f"{maps.values.shape[5]}×{maps.values.shape[4]}"
    told = f"Kept apart: {kept}, at {grid}; {maps.nbytes / 2**20:.1f} MB of this tab's memory."
    return {"id": run.id, "words": rows, "help": HELP, "kept": told}
