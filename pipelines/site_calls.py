"""What each attention site will be asked, who will do it and why, and what it costs. Counted, not measured.

One call on rows · heads lanes with N queries and K keys multiplies and adds 2 · N · K · (head_dim + value_dim) numbers
a lane (Vaswani et al. 2017, table 1, both products).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product

from unet import UNet
from xattn.backends import choose, reasons
from xattn.conflicts import commute
from xattn.parts import Part, Watch, WatchRows
from xattn.program import Program
from xattn.request import Request
from xattn.sites import AttentionSite
from xattn.space import Space


@dataclass(frozen=True, slots=True)
class SiteExplanation:
    """One attention site at one step.

    grid: (height, width); queries, keys: N and K; lanes: rows · heads; kernel: the backend that will run, why: what
    the backends asked before it answered; flops: of the fused calls; program: what is done beside the plain call
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


def sites_of(unet: UNet, latent: tuple[int, int], rows: int, text_tokens: int) -> tuple[SiteExplanation, ...]:
    """Every site's plain call for a batch of `rows` on a latent (height, width).

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
            )
        )
    return tuple(made)


def with_program(plain: SiteExplanation, told: tuple[Program | None, Sequence[Part], Space]) -> SiteExplanation:
    """The same site as a program changes it: which parts, how many lanes its fused calls take, and what they cost.

    Taps and ranks are products beside the calls and are not counted.
    """
    program, parts, space = told
    if program is None:
        return plain
    names = tuple(dict.fromkeys(part.name for part in parts if not isinstance(part, Watch | WatchRows)))
    read = sum(tap.weights.shape[1] for tap in program.taps)
    if read:
        names = (*names, f"watch {read} {'map' if read == 1 else 'maps'}")
    places = sum(tap.weights.shape[0] for tap in program.rows)
    if places:
        names = (*names, f"watch {places} {'place' if places == 1 else 'places'}")
    if not program.lanes:
        return replace(plain, program=names)
    calls = [(space.size if one.out is None else len(one.out), space.width(one.keys)) for one in program.lanes]
    each = 2 * plain.queries * 2 * plain.site.head_dim
    return replace(
        plain, program=names, lanes=sum(count for count, _ in calls), flops=sum(each * n * k for n, k in calls)
    )


def with_reading(one: SiteExplanation, maps: int) -> SiteExplanation:
    """The same site where `maps` of its maps are read, explicitly, in a pass that moves the latents before the step."""
    if not maps:
        return one
    return replace(one, program=(*one.program, f"{maps} explicit {'map' if maps == 1 else 'maps'} before the step"))


def commuting(told: tuple[Program | None, Sequence[Part], Space]) -> tuple[tuple[str, str], ...]:
    """Which of a site's edits may change places, all parts of one with all of the other: names in pairs."""
    _, parts, space = told
    edits: dict[str, list[Part]] = {}
    for part in parts:
        if not isinstance(part, Watch | WatchRows):
            edits.setdefault(part.name, []).append(part)
    return tuple(
        (first, second)
        for first, second in combinations(edits, 2)
        if all(commute(one, other, space) for one, other in product(edits[first], edits[second]))
    )


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
