"""The range of the scores of each query, without keeping them: what biases "up to the greatest score" need."""

from __future__ import annotations

import torch
from torch import Tensor

from xattn.tiled import KEYS, QUERIES, by_key_head, by_query_head, working_dtype


def score_range(query: Tensor, key: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Lowest and greatest scaled score over the keys, each [B, H, N], a block at a time.

    Per query, row and head, never over the batch: a picture may not depend on its neighbours.
    """
    wide = working_dtype(query.dtype)
    group = query.shape[1] // key.shape[1]
    lows, highs = [], []
    for start in range(0, query.shape[2], QUERIES):
        rows = by_key_head(query[:, :, start : start + QUERIES], key.shape[1]).to(wide) * scale
        low = rows.new_full(rows.shape[:3], torch.inf)
        high = -low
        for first in range(0, key.shape[2], KEYS):
            scores = rows @ key[:, :, first : first + KEYS].to(wide).mT
            low = torch.minimum(low, scores.amin(dim=-1))
            high = torch.maximum(high, scores.amax(dim=-1))
        lows.append(by_query_head(low[..., None], group)[..., 0])
        highs.append(by_query_head(high[..., None], group)[..., 0])
    return torch.cat(lows, dim=2), torch.cat(highs, dim=2)
