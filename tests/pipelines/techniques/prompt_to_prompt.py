"""Prompt-to-Prompt a second time, from the paper (Hertz et al. 2022, arXiv 2208.01626), in the materialising way.

Every probability matrix of diffusers' own UNet is made, edited as the paper's formulas read, and multiplied with V.
Nothing here knows xattn: prompts become columns by transformers' tokenizer, the loop is diffusers' scheduler.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

LENGTH = 77


@dataclass
class Blend:
    """B(M̄) ∪ B(M̄*): words by column, each group of columns summed and thresholded apart, then united."""

    own: list[list[int]] = field(default_factory=list)
    source: list[list[int]] = field(default_factory=list)
    threshold: float = 0.3
    edited: bool = False
    grid: tuple[int, int] = (0, 0)
    painted: Tensor | None = None


@dataclass
class Target:
    """One edited picture; steps are ranges of step numbers from 0.

    mapper: [K, K] from the source's columns to the target's. alpha: [K] or [steps, K], 1 where the mapped map is taken,
    0 where the target's own is. scale: [K]
    """

    prompt: str
    mapper: Tensor | None = None
    alpha: Tensor | None = None
    cross: range = range(0)
    scale: Tensor | None = None
    scale_steps: range = range(0)
    inject: range = range(0)
    inject_at_most: int = 10**9
    blend: Blend | None = None
    heads: list[int] | None = None  # in which heads maps are taken over; None is all


@dataclass
class Control:
    """Where the run is, and the sums of cross-attention so far by grid: [image, head-mean, N, K]."""

    targets: Sequence[Target]
    size: tuple[int, int]
    source_columns: int | None = None  # the source reads so many columns; what is behind them is hidden from it
    step: int = 0
    model: dict[tuple[int, int], Tensor] = field(default_factory=dict)
    edited: dict[tuple[int, int], Tensor] = field(default_factory=dict)

    def edit(self, cond: Tensor, cross: bool) -> Tensor:
        """The conditional half [images, heads, N, K], the source first; never renormalised."""
        result = cond.clone()
        for place, target in enumerate(self.targets, 1):
            some = slice(None) if target.heads is None else target.heads
            if not cross and self.step in target.inject and cond.shape[2] <= target.inject_at_most:
                result[place, some] = cond[0, some]
            if cross and target.mapper is not None and target.alpha is not None and self.step in target.cross:
                alpha = target.alpha if target.alpha.ndim == 1 else target.alpha[self.step]
                result[place, some] = (cond[0, some] @ target.mapper) * alpha + cond[place, some] * (1 - alpha)
            if cross and target.scale is not None and self.step in target.scale_steps:
                result[place] = result[place] * target.scale
        if cross:
            for store, seen in ((self.model, cond), (self.edited, result)):
                grid = self.grid_of(cond.shape[2])
                store[grid] = store.get(grid, torch.zeros(())) + seen.mean(1)
        return result

    def grid_of(self, places: int) -> tuple[int, int]:
        """The (height, width) with so many places: the latent halved so often."""
        height, width = self.size
        while height * width > places:
            height, width = (height + 1) // 2, (width + 1) // 2
        return height, width

    def blended(self, latents: Tensor) -> Tensor:
        """Latents [images, c, h, w] after a step."""
        result = latents.clone()
        for place, target in enumerate(self.targets, 1):
            if target.blend is not None:
                mask = self.mask(place, target.blend)
                result[place] = mask * latents[place] + (1 - mask) * latents[0]
        return result

    def mask(self, place: int, blend: Blend) -> Tensor:
        """1 where a word looked, on the latent's grid."""
        store = self.edited if blend.edited else self.model
        union = torch.zeros(self.size) if blend.painted is None else blend.painted
        for row, groups in ((place, blend.own), (0, blend.source)):
            for columns in groups:
                seen = store[blend.grid][row][:, columns].sum(-1).view(1, 1, *blend.grid)
                seen = F.interpolate(F.max_pool2d(seen, 3, 1, 1), self.size)[0, 0]
                union = torch.maximum(union, (seen / seen.max() > blend.threshold).float())
        return union


def cross_table(first: float, last: float, steps: int) -> range:
    """The published code's table of α: a row more than steps, 1 between two whole parts of fractions of its rows."""
    alpha = torch.zeros(steps + 1)
    alpha[int(first * alpha.shape[0]) : int(last * alpha.shape[0])] = 1
    taken = [step for step in range(steps) if alpha[step] == 1]
    return range(taken[0], taken[-1] + 1) if taken else range(0)


class Materialise:
    """An attention processor that makes P, hands it to the control, and multiplies it with V."""

    def __init__(self, control: Control) -> None:
        self.control = control

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        **_: object,
    ) -> Tensor:
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = (
            some.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for some in (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
        )
        scores = query @ key.transpose(-1, -2) * attn.scale
        if encoder_hidden_states is not None and self.control.source_columns is not None:
            scores[:: len(scores) // 2, :, :, self.control.source_columns :] = -torch.inf
        probs = scores.softmax(-1)
        uncond, cond = probs.chunk(2)
        probs = torch.cat([uncond, self.control.edit(cond, encoder_hidden_states is not None)])
        out: Tensor = attn.to_out[0]((probs @ value).transpose(1, 2).flatten(2))
        return out


class Reference:
    """A model folder as diffusers and transformers read it."""

    def __init__(self, folder: Path) -> None:
        self.unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32)
        self.text = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
        self.tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
        self.folder = folder

    def tokens(self, text: str) -> list[int]:
        """Ids without begin, end and padding."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False).input_ids
        return ids

    def encode(self, prompt: str, chunks: int) -> Tensor:
        """[1, chunks · 77, width], each chunk of 75 tokens encoded alone."""
        ids = self.tokens(prompt)
        rows = []
        for chunk in range(chunks):
            some = ids[chunk * (LENGTH - 2) : (chunk + 1) * (LENGTH - 2)]
            row = [self.tokenizer.bos_token_id, *some, self.tokenizer.eos_token_id]
            rows.append(row + [self.tokenizer.pad_token_id] * (LENGTH - len(row)))
        with torch.no_grad():
            return self.text(torch.tensor(rows)).last_hidden_state.flatten(0, 1)[None]

    @torch.no_grad()
    def latents(
        self,
        source: str,
        targets: Sequence[Target],
        *,
        seed: int,
        steps: int,
        guidance: float,
        size: tuple[int, int],
        chunks: int = 1,
        source_columns: int | None = None,
    ) -> Tensor:
        """Final latents [1 + targets, c, height, width] of a source and its edited pictures, drawn as one batch."""
        prompts = [source, *(target.prompt for target in targets)]
        empty = self.encode("", chunks)
        context = torch.cat([empty] * len(prompts) + [self.encode(prompt, chunks) for prompt in prompts])
        scheduler = DDIMScheduler.from_pretrained(self.folder / "scheduler")
        scheduler.set_timesteps(steps)
        channels = self.unet.config.in_channels
        noise = torch.randn((1, channels, *size), generator=torch.Generator().manual_seed(seed))
        latents = noise.repeat(len(prompts), 1, 1, 1)
        control = Control(targets, size, source_columns)
        self.unet.set_attn_processor(Materialise(control))
        for control.step, timestep in enumerate(scheduler.timesteps):
            uncond, cond = self.unet(torch.cat([latents] * 2), timestep, context).sample.chunk(2)
            latents = scheduler.step(uncond + guidance * (cond - uncond), timestep, latents).prev_sample
            latents = control.blended(latents)
        return latents

    # Mappers, written down word by word in the tests

    def words(self, prompt: str) -> list[list[int]]:
        """The columns of each word of a prompt that fits one chunk or whose words are a token each."""
        columns, made = 0, []
        for word in prompt.split():
            count = len(self.tokens(word))
            # a chunk's 75 tokens, then end and begin
            made.append([at + 1 + 2 * (at // (LENGTH - 2)) for at in range(columns, columns + count)])
            columns += count
        return made

    def mapper(
        self, source: str, target: str, words: dict[int, int], *, begin: bool = True, end: bool = True, chunks: int = 1
    ) -> tuple[Tensor, Tensor]:
        """Mapper [K, K] and alpha [K] that give target words the maps of source words, {target place: source place}.

        A word of another number of tokens shares the sum of the source's evenly. begin: the first column of each chunk
        is the source's. end: so are end-of-text and padding, in order, what is left over in the last.
        """
        mapper, alpha = torch.zeros(chunks * LENGTH, chunks * LENGTH), torch.zeros(chunks * LENGTH)
        theirs, ours = self.words(source), self.words(target)
        for place, other in words.items():
            for number, column in enumerate(ours[place]):
                alpha[column] = 1
                if len(ours[place]) == len(theirs[other]):
                    mapper[theirs[other][number], column] = 1
                else:
                    mapper[theirs[other], column] = 1 / len(ours[place])
        for chunk in range(chunks):
            first = chunk * LENGTH
            if begin:
                mapper[first, first] = alpha[first] = 1
            if end:
                tails = []
                for prompt in (source, target):
                    used = min(LENGTH - 2, max(0, len(self.tokens(prompt)) - chunk * (LENGTH - 2)))
                    tails.append(list(range(first + 1 + used, first + LENGTH)))
                alpha[tails[1]] = 1
                for number, column in enumerate(tails[0]):
                    mapper[column, tails[1][min(number, len(tails[1]) - 1)]] = 1
        return mapper, alpha
