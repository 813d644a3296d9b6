"""Words' maps while a picture is drawn: the same means as those of a capture."""

from __future__ import annotations

import torch

from pipelines.techniques.edit import Live
from pipelines.techniques.live import LiveMaps
from xattn.sites import AttentionSite

FEW = AttentionSite("down_blocks.0.attentions.0.transformer_blocks.0.attn2", "cross", "down", 1, 2, 8)
MANY = AttentionSite("mid_block.attentions.0.transformer_blocks.0.attn2", "cross", "mid", 1, 6, 8)
HALF = AttentionSite("up_blocks.0.attentions.0.transformer_blocks.0.attn2", "cross", "up", 2, 4, 8)
SITES = (FEW, MANY, HALF)


def test_every_head_of_every_site_and_step_counts_once() -> None:
    generator = torch.Generator().manual_seed(0)
    key, maps = (0, Live("fox")), LiveMaps((4, 6))
    seen = {site: torch.rand(2, site.heads, 24 if site.downsampling == 1 else 6, generator=generator) for site in SITES}
    for step in range(2):
        for site, shares in seen.items():
            maps.add(key, site, (4, 6) if site.downsampling == 1 else (2, 3), shares[step])
    fine = torch.cat([seen[FEW], seen[MANY]], dim=1).flatten(0, 1).mean(dim=0)
    coarse = seen[HALF].flatten(0, 1).mean(dim=0)
    grids = maps.on_grids(key)
    torch.testing.assert_close(grids[1].flatten(), fine)
    torch.testing.assert_close(grids[2].flatten(), coarse)
    large = torch.nn.functional.interpolate(coarse.view(1, 1, 2, 3), (4, 6), mode="bicubic").clamp(min=0)
    expected = (fine.view(4, 6) * 8 + large[0, 0] * 4) / 12
    torch.testing.assert_close(maps.map(key), expected)
