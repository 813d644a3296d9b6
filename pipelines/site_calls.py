"""What each attention site will be asked, who will do it and why, and what it costs. Counted, not measured.

One call on rows · heads lanes with N queries and K keys multiplies and adds 2 · N · K · (head_dim + value_dim) numbers
a lane (Vaswani et al. 2017, table 1, both products).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from unet import UNet
from xattn.backends import choose, reasons
from xattn.request import Request
from xattn.sites import AttentionSite


@dataclass(frozen=True, slots=True)
class SiteExplanation:
    """One attention site at one step.

    grid: (height, width); queries, keys: N and K; lanes: rows · heads; kernel: the backend that will run, why: what
    the backends asked before it answered; flops: of the call; program: what is done beside the plain call
    """

    site: AttentionSite
    grid: tuple[int, int]
    queries: int
    keys: int
    lanes: int
    kernel: str
    why: tuple[str, ...]
    flops: int
    program: tuple[str, ...] = ()


def sites_of(
    unet: UNet, latent: tuple[int, int], rows: int, text_tokens: int, *, watched: int = 0
) -> tuple[SiteExplanation, ...]:
    """Every site's plain call for a batch of `rows` on a latent (height, width); `watched` words are read.

    Raises Unsupported where the UNet's backend cannot do a call, and says why.
    """
    made = []
    for site in unet.sites:
        grid = (math.ceil(latent[0] / site.downsampling), math.ceil(latent[1] / site.downsampling))
        request = site_request(unet, site, grid, rows, text_tokens)
        asked = reasons(request) if unet.backend == "auto" else (f"{unet.backend}: asked for by name",)
        made.append(
            SiteExplanation(
                site=site,
                grid=grid,
                queries=request.queries,
                keys=request.keys,
                lanes=rows * site.heads,
                kernel=choose(request, unet.backend).name,
                why=asked,
                flops=2 * rows * site.heads * request.queries * request.keys * (2 * site.head_dim),
                program=(f"watch {watched} {'word' if watched == 1 else 'words'}",) if watched and site.cross else (),
            )
        )
    return tuple(made)


def site_request(unet: UNet, site: AttentionSite, grid: tuple[int, int], rows: int, text_tokens: int) -> Request:
    """What the plain call of a site asks of a backend."""
    queries = math.prod(grid)
    return Request(
        batch=rows,
        heads=site.heads,
        kv_heads=site.heads,
        queries=queries,
        keys=text_tokens if site.cross else queries,
        head_dim=site.head_dim,
        value_dim=site.head_dim,
        dtype=unet.dtype,
        device=unet.device.type,
    )
