"""What one forward pass is conditioned on, beside sample and time: values that the caller makes and owns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from unet.laid_out import LaidOut, group_norm
from xattn.asked import Asked
from xattn.errors import BadValue
from xattn.kept import Kept
from xattn.module import Attention, KeyValue
from xattn.program import Program, StepProgram
from xattn.sites import AttentionSite


@dataclass(frozen=True, slots=True)
class TextContext:
    """Keys and values of the text at every cross-attention site, made once by `UNet.text_context`, used every step.

    `sites` maps a site's name to its sources ("text", "region:0", …), each a KeyValue of
    [rows, kv_heads, tokens, head_dim]. It is a plain value: whoever changes the prompt or the weights makes a new one.
    `laid_out` keeps what else a run makes of the weights once, `kept` what the program at work makes of the text.
    """

    sites: Mapping[str, Mapping[str, KeyValue]]
    rows: int
    laid_out: LaidOut = field(default_factory=LaidOut, repr=False)
    _asked: dict[tuple[Program, str], Asked] = field(default_factory=dict, init=False, repr=False)
    _kept: dict[str, tuple[Program, Kept]] = field(default_factory=dict, init=False, repr=False)

    def kept(self, site: AttentionSite, program: Program) -> Kept | None:
        """What one program makes of the text at a site, as long as no other runs there; None where gradients flow."""
        if torch.is_grad_enabled():
            return None
        before, kept = self._kept.get(site.name, (None, None))
        if kept is None or before is not program:
            # sites of one kind share a program; what is asked of those that have ended is let go
            current = {one for one, _ in self._kept.values()}
            for known in [known for known in self._asked if known[0] not in current]:
                del self._asked[known]
            kept = Kept(self._asked)
            self._kept[site.name] = program, kept
        return kept

    def at(self, site: AttentionSite) -> Mapping[str, KeyValue]:
        """The sources of one cross-attention site."""
        return self.sites[site.name]

    def take(self, rows: Sequence[int]) -> TextContext:
        """The context of some rows, in that order; a row may come twice. Raises BadValue for a row there is not."""
        for row in rows:
            if not 0 <= row < self.rows:
                raise BadValue("rows", tuple(rows), f"indices from 0 to {self.rows - 1}")
        kept: dict[str, dict[str, KeyValue]] = {}
        run = range(rows[0], rows[0] + len(rows)) if rows else range(0)
        for site, sources in self.sites.items():
            kept[site] = {}
            for name, (key, value) in sources.items():
                if tuple(rows) == tuple(run):  # neighbours: nothing need be copied
                    kept[site][name] = KeyValue(key[run.start : run.stop], value[run.start : run.stop])
                    continue
                index = torch.tensor(rows, dtype=torch.int64, device=key.device)
                kept[site][name] = KeyValue(key.index_select(0, index), value.index_select(0, index))
        return TextContext(kept, len(rows), self.laid_out)


@dataclass(frozen=True, slots=True)
class Added:
    """What SDXL adds to the time embedding.

    text_embeds: pooled text [rows, pooled_dim]; time_ids [rows, 6]: original height and width, top and left of the
    crop, target height and width, in pixels (Podell et al. 2023, "SDXL", section 2.2). SDXL's refiner has five: an
    aesthetic score instead of the target size.
    """

    text_embeds: Tensor
    time_ids: Tensor


@dataclass(frozen=True, slots=True)
class Residuals:
    """What a ControlNet adds (Zhang et al. 2023, "Adding Conditional Control", section 3.2).

    down: one tensor for each skip connection, first the input convolution's, in the order they are made; empty for
    none. mid: added to the middle block's output. Each [rows or 1, channels, h, w] as the feature it is added to.
    """

    down: tuple[Tensor, ...] = ()
    mid: Tensor | None = None


class Stopped(Exception):
    """Ends a forward pass after the site that `StepProgram.stop_after` names; never leaves `UNet.forward`.

    An exception, because the site lies four calls deep and nothing between it and the UNet has anything to add.
    """


@dataclass(frozen=True, slots=True)
class Pass:
    """One forward pass, as its attention sites and convolutions see it.

    laid_out, fused: how convolutions, and the other layers, run on a CPU without gradients; None is torch's own way
    """

    context: TextContext
    program: StepProgram | None
    laid_out: LaidOut | None = None
    fused: LaidOut | None = None

    def spread(self, hidden_states: Tensor) -> Tensor:
        """All rows, of those that stood for all: [rows or rows / copies, …] → [rows, …]. Laid out as it was."""
        copies = self.context.rows // hidden_states.shape[0]
        return hidden_states if copies == 1 else torch.cat([hidden_states] * copies)

    def convolve(self, conv: nn.Conv2d, image: Tensor, added: Tensor | None = None) -> Tensor:
        """`conv` of [rows, c, h, w], plus `added` [rows or 1, channels], the same at every position."""
        if self.laid_out is None or _hooked(conv):
            made: Tensor = conv(image)
            return made if added is None else made + added[:, :, None, None]
        if added is None:
            return self.laid_out.convolve(conv, image, conv.bias)
        if added.shape[0] > 1:
            return self.laid_out.convolve(conv, image, conv.bias) + added[:, :, None, None]
        return self.laid_out.convolve(conv, image, added[0] if conv.bias is None else conv.bias + added[0])

    def normalise(self, norm: nn.GroupNorm, image: Tensor) -> Tensor:
        """`norm` of [rows, c, h, w], laid out as it was."""
        if self.fused is None or _hooked(norm):
            made: Tensor = norm(image)
            return made
        return group_norm(norm, image)

    def gated(self, proj: nn.Linear, tokens: Tensor, plain: nn.Module) -> Tensor:
        """The first half of what `proj` makes of [.., c], times GELU of the second; `plain` does it by torch's own."""
        if self.fused is None or _hooked(proj) or _hooked(plain):
            made: Tensor = plain(tokens)
            return made
        return self.fused.gated(proj, tokens, lay=self.laid_out is not None)

    def attend(self, attention: Attention, site: AttentionSite, hidden_states: Tensor, grid: tuple[int, int]) -> Tensor:
        """Run `attention` on [rows, h·w, channels] as the program says for `site`; `grid` is (h, w).

        Raises Stopped where the program ends here.
        """
        sources = self.context.at(site) if site.cross else None
        if self.program is None:
            plain: Tensor = attention(hidden_states, sources)
            return plain
        program = self.program.at(site.name)
        edited: Tensor = attention(
            hidden_states,
            sources,
            program,
            site=site,
            grid=grid,
            record=self.program.record,
            record_rows=self.program.record_rows,
            kept=None if program is None else self.context.kept(site, program),
        )
        if self.program.stop_after == site.name:
            raise Stopped
        return edited


def _hooked(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)
