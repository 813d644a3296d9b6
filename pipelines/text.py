"""Prompts to what the UNet reads: hidden states, pooled text, and a ledger of which column is which word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from pipelines.ledger import Ledger
from pipelines.prompt import Effect, Reading
from pipelines.prompt.emphasis import emphasise
from pipelines.tokenizer import Tokenizer
from pipelines.towers import Tower, TowerConfig, load_tower
from xattn.errors import BadModel, BadValue


class AnyTower(Protocol):
    """A text tower, whoever wrote its layers; see pipelines.towers.Tower."""

    @property
    def module(self) -> nn.Module:
        """Its layers."""

    @property
    def device(self) -> torch.device:
        """Where its weights are."""

    def __call__(self, ids: Tensor, *, skip: int = 0, normed: bool = True) -> tuple[Tensor, Tensor | None]:
        """Hidden states and pooled text of token ids."""


@dataclass(frozen=True, slots=True, eq=False)
class Conditioning:
    """Encoded prompts, one a row.

    hidden: [rows, tokens, width]; tokens are whole chunks, so 77, 154 …
    pooled: [rows, width] where a tower has a projection (SDXL), else None; it is the first chunk's
    ledgers: one a row; `ledgers[row].tokens` has one token for each column of `hidden[row]`
    """

    hidden: Tensor
    pooled: Tensor | None
    ledgers: tuple[Ledger, ...]


@dataclass(frozen=True, slots=True, eq=False)
class TextEncoder:
    """A checkpoint's text side: one tower (SD 1 and 2) or two side by side (SDXL), each with its tokenizer.

    The towers' hidden states are joined along the width. Encoding changes nothing, so threads may share one.
    penultimate: whether the last layer and the final norm are left out, as SDXL was trained
    """

    tokenizers: tuple[Tokenizer, ...]
    towers: tuple[AnyTower, ...]
    penultimate: bool = False

    @classmethod
    def from_folder(
        cls, folder: str | Path, dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu"
    ) -> TextEncoder:
        """Read `text_encoder/` and `tokenizer/` of a model folder in Stable Diffusion's layout, and SDXL's second pair.

        Raises BadModel where a part is missing or unusable, or where tokenizer and tower do not belong together.
        """
        root = Path(folder)
        suffixes = [suffix for suffix in ("", "_2") if (root / f"text_encoder{suffix}").is_dir()]
        if not suffixes:
            raise BadModel(f"{root} has no text_encoder folder, so it is no Stable Diffusion model.")
        if (root / "text_encoder_3").is_dir():
            raise BadModel(f"{root} has three text encoders (Stable Diffusion 3); 1, 2 and XL are what runs here.")
        pairs = [_pair(root, suffix, dtype, device) for suffix in suffixes]
        tokenizers = tuple(tokenizer for tokenizer, _ in pairs)
        if not all(tokenizer.cuts_like(tokenizers[0]) for tokenizer in tokenizers):
            raise BadModel(f"The two tokenizers in {root} cut a prompt differently, so its words have no one column.")
        return cls(tokenizers, tuple(tower for _, tower in pairs), penultimate="_2" in suffixes)

    def ledger(self, prompt: str | Reading, chunks: int | None = None) -> Ledger:
        """The prompt's tokens and words; no tower runs. Raises BadValue for what is no text, or too long.

        chunks: at least so many, as in `encode`
        """
        return self.tokenizers[0].ledger(prompt, chunks)

    def chunks(self, prompt: str | Reading) -> int:
        """How many chunks of tokens (77 each in CLIP) the prompt takes; a short one takes one."""
        return self.tokenizers[0].chunks(prompt)

    def encode(
        self,
        prompts: Sequence[str | Reading],
        *,
        clip_skip: int = 0,
        chunks: int | None = None,
        emphasis: Effect = "a1111",
    ) -> Conditioning:
        """Encode prompts, one a row, empty ones too; equal prompts are encoded once.

        A str is taken letter for letter; a Reading (pipelines.prompt) has weights, which act as `emphasis` says.
        A prompt of over 75 tokens takes several chunks, each encoded alone and joined along the tokens; nothing
        is cut off. All rows get as many chunks as the longest needs (or `chunks`, where more): shorter prompts are
        filled up with chunks of the empty prompt. The UNet reads those too, so a picture's prompts should be
        encoded with the chunks that they need themselves, whatever else is in the batch.

        clip_skip: layers left out at the end beyond the model's own habit, as diffusers counts (web UIs count one more)
        Raises BadValue for what is no text, for no prompts, and for a prompt of over 2,400 tokens.
        """
        if isinstance(prompts, str) or not prompts:
            raise BadValue("prompts", prompts, "a list of at least one prompt")
        needed = max(self.chunks(prompt) for prompt in dict.fromkeys(prompts))
        count = needed if chunks is None else chunks
        ledgers = {prompt: self.tokenizers[0].ledger(prompt, count) for prompt in dict.fromkeys(prompts)}
        parts = [
            self._run(tokenizer, tower, list(ledgers.values()), clip_skip, emphasis)
            for tokenizer, tower in zip(self.tokenizers, self.towers, strict=True)
        ]
        places = {prompt: place for place, prompt in enumerate(ledgers)}
        rows = torch.tensor([places[prompt] for prompt in prompts], device=parts[0][0].device)
        pooled = next((pooled for _, pooled in reversed(parts) if pooled is not None), None)
        return Conditioning(
            hidden=torch.cat([hidden for hidden, _ in parts], dim=-1)[rows],
            pooled=None if pooled is None else pooled[rows],
            ledgers=tuple(ledgers[prompt] for prompt in prompts),
        )

    def _run(
        self, tokenizer: Tokenizer, tower: AnyTower, ledgers: list[Ledger], clip_skip: int, emphasis: Effect
    ) -> tuple[Tensor, Tensor | None]:
        extra = 1 if self.penultimate else 0

        def towered(ledgers: list[Ledger]) -> tuple[Tensor, Tensor | None]:
            ids = torch.tensor([tokenizer.ids(ledger) for ledger in ledgers], device=tower.device)
            return tower(ids.flatten(0, 1), skip=clip_skip + extra, normed=not self.penultimate)

        hidden, pooled = towered(ledgers)  # [prompts · chunks, length, width]
        written = [token.weight for ledger in ledgers for token in ledger.tokens]
        weights = torch.tensor(written, device=hidden.device).view(hidden.shape[:2])
        hidden = emphasise(hidden, weights, emphasis, lambda: towered([tokenizer.ledger("")])[0][0])
        hidden = hidden.unflatten(0, (len(ledgers), -1)).flatten(1, 2)
        return hidden, None if pooled is None else pooled.unflatten(0, (len(ledgers), -1))[:, 0]


def _pair(root: Path, suffix: str, dtype: torch.dtype, device: str | torch.device) -> tuple[Tokenizer, Tower]:
    folder, words = root / f"text_encoder{suffix}", root / f"tokenizer{suffix}"
    if not words.is_dir():
        raise BadModel(f"{root} has a {folder.name} folder but no {words.name} folder.")
    tokenizer = Tokenizer.from_folder(words, TowerConfig.from_file(folder / "config.json").positions)
    tower = load_tower(folder, dtype, device, tokenizer.length)
    rows = tower.config.vocab_size
    if tokenizer.highest_id >= rows:
        highest = tokenizer.highest_id
        raise BadModel(f"{words} gives ids up to {highest}, but the tower in {folder} has rows for {rows} only.")
    if tower.projection is not None and tower.config.eos not in (2, tokenizer.end.id):
        got, wanted = tower.config.eos, tokenizer.end.id
        raise BadModel(f"{folder / 'config.json'} says eos_token_id is {got}, but {words} ends a prompt with {wanted}.")
    return tokenizer, tower
