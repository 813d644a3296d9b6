"""The conditional UNet of Stable Diffusion, with attention that can be watched and changed.

Ronneberger et al. 2015 (the U), Ho et al. 2020 (the residual blocks), Rombach et al. 2022 (the transformers). Names of
modules are those of diffusers' `UNet2DConditionModel`, so real checkpoints load as they are.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from unet.blocks import DownBlock, MiddleBlock, UpBlock
from unet.config import UNetConfig
from unet.context import Added, Pass, Residuals, Stopped, TextContext
from unet.embeddings import FeatureEmbedding, activation, wave_features
from unet.laid_out import can_fuse, channels_last, gains
from unet.moments import TOGETHER, Moment, Time
from unet.resnet import ResidualBlock
from unet.transformer import TransformerBlock
from xattn.backends import get_backend
from xattn.errors import BadValue
from xattn.module import Attention, KeyValue
from xattn.program import StepProgram
from xattn.sites import AttentionSite


class UNet(nn.Module):
    """Predicts noise (or velocity) in a noisy latent, given the time and the text.

    config: the shape; backend: how attention is computed, a name in `xattn.backends.BACKENDS` or "auto". A new UNet
    has torch's random weights; `load_unet` reads trained ones. Nothing in it changes while it runs, so any number of
    runs may share it. Raises UnknownName for a backend there is not.
    """

    def __init__(self, config: UNetConfig, backend: str = "auto") -> None:
        super().__init__()
        if backend != "auto":
            get_backend(backend)
        self.config, self.backend = config, backend
        channels = config.block_out_channels
        self.conv_in = nn.Conv2d(
            config.in_channels, channels[0], config.conv_in_kernel, padding=config.conv_in_kernel // 2
        )
        self.time_embedding = FeatureEmbedding(channels[0], config.time_dim, config.act_fn)
        self.add_embedding = (
            FeatureEmbedding(config.projection_class_embeddings_input_dim, config.time_dim, "silu")
            if config.addition_embed_type == "text_time"
            else None
        )
        self.down_blocks = nn.ModuleList(DownBlock(config, level, backend) for level in range(config.levels))
        self.mid_block = MiddleBlock(config, backend) if config.mid_block_type is not None else None
        self.up_blocks = nn.ModuleList(UpBlock(config, step, backend) for step in range(config.levels))
        self.conv_norm_out = nn.GroupNorm(config.norm_num_groups, channels[0], config.norm_eps)
        self.conv_out = nn.Conv2d(
            channels[0], config.out_channels, config.conv_out_kernel, padding=config.conv_out_kernel // 2
        )
        self._activation = activation(config.act_fn)
        blocks = [module for module in self.modules() if isinstance(module, TransformerBlock)]
        self.sites: tuple[AttentionSite, ...] = tuple(
            site for block in blocks for site in (block.self_site, block.cross_site)
        )
        """All attention sites, in the order in which they run."""
        self._convolved = sum(conv.weight.numel() for conv in self.modules() if isinstance(conv, nn.Conv2d))
        self._site_names = frozenset(site.name for site in self.sites)
        self._cross_names = frozenset(site.name for site in self.sites if site.cross)

    @property
    def dtype(self) -> torch.dtype:
        """The weights' dtype, which sample and text must have too."""
        return self.conv_in.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.conv_in.weight.device

    def with_backend(self, backend: str) -> UNet:
        """This UNet with another attention backend. Raises UnknownName.

        The two share their tensors, so casting or moving one casts or moves both.
        """
        with torch.device("meta"):
            other = UNet(self.config, backend)
        other.load_state_dict(self.state_dict(keep_vars=True), assign=True)
        return other.train(self.training)

    def text_context(self, sources: Mapping[str, Tensor], *, trainable: bool = False) -> TextContext:
        """Keys and values of the text at every cross-attention site, to be made once a prompt.

        sources: hidden states by source name, [rows, tokens, cross_attention_dim], in the UNet's dtype. "text" is
            what the plain model attends to; others ("region:0") are there for programs to use.
        trainable: let gradients flow to the text and to its projections; else they are made under `no_grad` (not
            `inference_mode`, whose tensors raise in a later backward).
        Raises BadValue where "text" is missing or a tensor has another shape or dtype.
        """
        rows = self._check_sources(sources)
        with torch.set_grad_enabled(trainable and torch.is_grad_enabled()):
            made: dict[str, dict[str, KeyValue]] = {}
            for block in self.modules():
                if isinstance(block, TransformerBlock):
                    attention: Attention = block.attn2
                    made[block.cross_site.name] = {
                        name: attention.key_value(hidden) for name, hidden in sources.items()
                    }
        return TextContext(made, rows)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float | Moment,
        context: TextContext,
        added: Added | None = None,
        program: StepProgram | None = None,
        residuals: Residuals | None = None,
        *,
        copies: int = 1,
    ) -> Tensor | None:
        """The prediction for `sample` [rows, in_channels, h, w]: [rows, out_channels, h, w]; any sides.

        timestep: one for all rows, or [rows], or one of `moments`. context: from `text_context`, with as many rows.
        added: SDXL's pooled text and sizes; required by models that have them, refused by others. program: what
            attention sites do differently in this step; None and an empty one give the same bits. residuals: what a
            ControlNet adds.
        copies: the sample stands for so many times its rows, one set after the other (unconditional, conditional),
            each with a context of its own: what comes before the first text is then computed once for all.
        Returns None where `program.stop_after` ended the pass.
        Raises BadValue where one of them does not fit the model or the others, before anything is computed (a
        residual's shape: where it is added).
        """
        self._check_sample(sample, context, copies)
        if not isinstance(timestep, Moment):
            self._check_timestep(timestep, context.rows)
        self._check_added(added, context.rows)
        self._check_program(program)
        self._check_residuals(residuals)
        fused = context.laid_out if can_fuse(self.conv_in.weight) else None
        laid_out = fused if gains(self.conv_in.weight, self._convolved) else None
        moment = timestep if isinstance(timestep, Moment) else Moment(self._embedding(timestep))
        time = self._time(moment, added, context.rows)
        try:
            return self._run(sample, time, Pass(context, program, laid_out, fused), residuals or Residuals())
        except Stopped:
            return None

    def moments(self, timesteps: Tensor) -> Iterator[Moment]:
        """The times of a run, [steps], in order, to be given as `timestep`: what depends on them alone is made ahead.

        Without gradients, and some tens of steps at once.
        """
        blocks = [block for block in self.modules() if isinstance(block, ResidualBlock)]
        projections = [] if self.add_embedding is not None else [block.time_emb_proj for block in blocks]
        for some in timesteps.reshape(-1).split(TOGETHER):
            with torch.no_grad():
                embedded = self._embedding(some)
                activated = self._activation(embedded)
                projected = {one: one(activated) for one in projections}
            for place in range(len(some)):
                own = {one: made[place : place + 1] for one, made in projected.items()}
                yield Moment(embedded[place : place + 1], own)

    def _run(self, sample: Tensor, time: Time, run: Pass, residuals: Residuals) -> Tensor:
        if self.config.center_input_sample:
            sample = 2 * sample - 1.0
        if time.rows > 1 or residuals.down:  # rows that differ from the first block on
            sample = run.spread(sample)
        layout = torch.channels_last if channels_last(sample) else torch.contiguous_format
        if run.laid_out is not None:
            sample = sample.contiguous(memory_format=torch.channels_last)
        hidden_states = run.convolve(self.conv_in, sample)
        skips = [hidden_states]
        for block in self.down_blocks:
            hidden_states, left = block(hidden_states, time, run)
            skips.extend(left)
        if residuals.down:
            pairs = enumerate(zip(skips, residuals.down, strict=True))
            skips = [_add_residual(skip, residual, f"residuals.down[{at}]") for at, (skip, residual) in pairs]
        if self.mid_block is not None:
            hidden_states = self.mid_block(hidden_states, time, run)
        hidden_states = run.spread(hidden_states)
        if residuals.mid is not None:
            hidden_states = _add_residual(hidden_states, residuals.mid, "residuals.mid")
        for block in self.up_blocks:
            hidden_states = block(hidden_states, skips, time, run)
        normed = run.normalise(self.conv_norm_out, hidden_states)
        predicted = run.convolve(self.conv_out, self._activation(normed))
        return predicted.contiguous(memory_format=layout)

    def _embedding(self, timestep: Tensor | float) -> Tensor:
        """The time embedding [times, time_dim]."""
        config = self.config
        steps = torch.as_tensor(timestep, device=self.device).reshape(-1)
        waves = wave_features(
            steps,
            config.block_out_channels[0],
            cosine_first=config.flip_sin_to_cos,
            shift=config.freq_shift,
        )
        time: Tensor = self.time_embedding(waves.to(self.dtype))
        return time

    def _time(self, moment: Moment, added: Added | None, rows: int) -> Time:
        """The time with SDXL's additions; one row where all are the same."""
        config, time = self.config, moment.embedding
        # every residual block begins with this activation
        if added is None or self.add_embedding is None:
            return Time(self._activation(time), moment.projected)
        sizes = wave_features(
            added.time_ids.flatten(),
            config.addition_time_embed_dim,
            cosine_first=config.flip_sin_to_cos,
            shift=config.freq_shift,
        )
        features = torch.cat((added.text_embeds, sizes.reshape(rows, -1)), dim=-1)
        extra: Tensor = self.add_embedding(features.to(time.dtype))
        return Time(self._activation(time + extra), {})

    def _check_sample(self, sample: Tensor, context: TextContext, copies: int) -> None:
        if sample.dim() != 4 or sample.shape[1] != self.config.in_channels or 0 in sample.shape:
            raise BadValue("sample", list(sample.shape), f"[rows, {self.config.in_channels}, height, width]")
        # Unpadded convolutions round a side down, and it must not vanish; padded ones round up.
        least = 1 if self.config.downsample_padding else 2 ** (self.config.levels - 1)
        if min(sample.shape[-2:]) < least:
            raise BadValue("sample", list(sample.shape), f"of at least {least} on each side")
        if sample.dtype != self.dtype and not torch.is_autocast_enabled(sample.device.type):
            raise BadValue("sample.dtype", sample.dtype, f"the model's, {self.dtype}", "Use sample.to(unet.dtype)")
        if context.sites.keys() != self._cross_names:
            raise BadValue("context", "made by another model", "what this model's text_context returned")
        if context.rows != copies * sample.shape[0]:
            rows = f"{copies * sample.shape[0]}, as many as the sample has"
            raise BadValue("context.rows", context.rows, rows if copies == 1 else f"{rows} in {copies} copies")

    def _check_timestep(self, timestep: Tensor | float, rows: int) -> None:
        if isinstance(timestep, Tensor) and tuple(timestep.shape) not in ((), (1,), (rows,)):
            raise BadValue("timestep", list(timestep.shape), f"one number, or one for each of the {rows} rows")

    def _check_added(self, added: Added | None, rows: int) -> None:
        if self.add_embedding is None:
            if added is not None:
                raise BadValue("added", "Added(…)", "left out: this model has no pooled text and no sizes")
            return
        if added is None:
            raise BadValue("added", None, "an Added(text_embeds, time_ids): this model reads pooled text and sizes")
        if added.time_ids.dim() != 2 or added.time_ids.shape[0] != rows:
            raise BadValue("added.time_ids", list(added.time_ids.shape), f"[{rows}, sizes]")
        sizes = added.time_ids.shape[1]
        width = self.config.projection_class_embeddings_input_dim - sizes * self.config.addition_time_embed_dim
        if tuple(added.text_embeds.shape) != (rows, width):
            expected = f"[{rows}, {width}] beside {sizes} sizes in time_ids"
            raise BadValue("added.text_embeds", list(added.text_embeds.shape), expected)

    def _check_sources(self, sources: Mapping[str, Tensor]) -> int:
        if "text" not in sources:
            raise BadValue("sources", sorted(sources), 'a mapping with "text", the hidden states of the prompt')
        if "self" in sources:
            raise BadValue("sources", sorted(sources), 'without "self", which names the picture\'s own keys')
        rows, width = sources["text"].shape[0], self.config.cross_attention_dim
        for name, hidden in sources.items():
            if hidden.dim() != 3 or hidden.shape[0] != rows or hidden.shape[2] != width or hidden.shape[1] == 0:
                raise BadValue(name, list(hidden.shape), f"hidden states [{rows}, tokens, {width}]")
            if hidden.dtype != self.dtype and not torch.is_autocast_enabled(hidden.device.type):
                raise BadValue(f"{name}.dtype", hidden.dtype, f"the model's, {self.dtype}", "Use hidden.to(unet.dtype)")
        return rows

    def _check_program(self, program: StepProgram | None) -> None:
        if program is None:
            return
        named = [("program.sites", name) for name in program.sites]
        if program.stop_after is not None:
            named.append(("program.stop_after", program.stop_after))
        for parameter, name in named:
            if name not in self._site_names:
                near = difflib.get_close_matches(name, self._site_names, n=1, cutoff=0.0)
                remedy = f"unet.sites has them; the nearest is {near[0]!r}" if near else "It has no attention"
                raise BadValue(parameter, name, f"one of this model's {len(self.sites)} attention sites", remedy)

    def _check_residuals(self, residuals: Residuals | None) -> None:
        # The input's own skip, one after each residual block, one after each halving.
        skips = 1 + sum(self.config.layers_per_block) + self.config.levels - 1
        if residuals is not None and len(residuals.down) not in (0, skips):
            raise BadValue("len(residuals.down)", len(residuals.down), f"{skips}, one for each skip, or 0")


def _add_residual(feature: Tensor, residual: Tensor, name: str) -> Tensor:
    shapes = (feature.shape, (1, *feature.shape[1:]))
    if residual.shape not in shapes:
        raise BadValue(name, list(residual.shape), f"{list(feature.shape)}, or one row of that")
    return feature + residual
