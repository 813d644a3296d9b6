"""One cross-attention call of a run: edits are lowered as in a run, through `Programs`, and the call is run.

What should come out a test says apart from the package, in float64, on explicit probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pipelines.ledger import Ledger, Token, Word
from pipelines.programs import Drawn, Programs, Setting
from pipelines.recipe import Recipe
from pipelines.running import rows_for
from pipelines.techniques import Edit
from xattn.lower import run
from xattn.program import StepProgram
from xattn.sites import AttentionSite

PROMPT = "a fox and ice cream"
TOKENS = 8
"""Begin of text, five words, end, and one of padding."""
FOX, ICE_CREAM = [2], [4, 5]
HEADS, HEAD_DIM, VALUE_DIM = 3, 5, 4


def ledger() -> Ledger:
    tokens, words, start = [Token("<|startoftext|>", 0, 0, 0, None, 0, 0, role="begin")], [], 0
    for place, text in enumerate(PROMPT.split()):
        stop = start + len(text)
        tokens.append(Token(f"{text}</w>", place + 1, 0, place + 1, place, start, stop))
        words.append(Word(text, start, stop, (place + 1,)))
        start = stop + 1
    tokens += [Token("<|endoftext|>", 9, 0, at, None, start, start, role="end") for at in (6, 7)]
    return Ledger(PROMPT, tuple(tokens), tuple(words))


@dataclass
class Call:
    """`edits` of one picture for its conditional row; row 1 is the negative prompt's, and nobody's.

    latent: (height, width); the site's grid is that, halved upwards where `downsampling` is 2
    further: tokens of each key source that the edits ask for, in order
    """

    edits: Sequence[Edit]
    latent: tuple[int, int] = (5, 7)
    downsampling: int = 1
    steps: int = 4
    sigmas: Sequence[float] = (4096.0, 3.0, 1.0, 0.1)
    dtype: torch.dtype = torch.float64
    further: Sequence[int] = ()
    seed: int = 0
    site: AttentionSite = field(init=False)
    programs: Programs = field(init=False)
    query: Tensor = field(init=False)
    sources: Mapping[str, tuple[Tensor, Tensor]] = field(init=False)

    def __post_init__(self) -> None:
        self.site = AttentionSite("here.attn2", "cross", "up", self.downsampling, HEADS, HEAD_DIM)
        names: list[str] = []
        keys: dict[int, tuple[str, ...]] = {}
        for place, edit in enumerate(self.edits):
            keys[place] = tuple(f"{place}:{number}" for number in range(len(edit.texts)))
            names += keys[place]
        tokens = {"text": TOKENS} | dict(zip(names, self.further, strict=True))
        drawn = Drawn(Recipe(PROMPT, edits=tuple(self.edits)), {"cond": (ledger(),), "uncond": (ledger(),)}, keys=keys)
        wide = torch.float64 if self.dtype == torch.float64 else torch.float32
        setting = Setting(self.latent, self.steps, tuple(self.sigmas), tokens, torch.device("cpu"), wide)
        self.programs = Programs([drawn], rows_for(1, ("cond", "uncond")), [self.site], setting)
        generator = torch.Generator().manual_seed(self.seed)
        places = self.grid[0] * self.grid[1]

        def noise(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=torch.float64).to(self.dtype)

        self.query = 1.5 * noise(2, HEADS, places, HEAD_DIM)
        self.sources = {
            name: (1.5 * noise(2, HEADS, count, HEAD_DIM), noise(2, HEADS, count, VALUE_DIM))
            for name, count in tokens.items()
        }

    @property
    def grid(self) -> tuple[int, int]:
        return -(-self.latent[0] // self.downsampling), -(-self.latent[1] // self.downsampling)

    def step(self, index: int) -> StepProgram | None:
        return self.programs.at(index)

    def output(self, index: int = 1, backend: str = "auto") -> Tensor:
        """[heads, N, value_dim] of the conditional row at step `index`; the other row must be untouched."""
        step = self.step(index)
        program = None if step is None else step.at(self.site.name)
        assert program is not None
        made, _ = run(program, self.query, self.sources, plain="text", backend=backend)
        plain = self.probs("text", row=1) @ self.value("text", row=1)
        assert (made[1].double() - plain).abs().max() < (1e-12 if self.dtype == torch.float64 else 5e-2)
        return made[0]

    def scores(self, keys: str = "text", row: int = 0) -> Tensor:
        """[heads, N, K], scaled."""
        made: Tensor = self.query[row].double() @ self.sources[keys][0][row].double().mT * HEAD_DIM**-0.5
        return made

    def probs(self, keys: str = "text", row: int = 0) -> Tensor:
        return self.scores(keys, row).softmax(dim=-1)

    def value(self, keys: str = "text", row: int = 0) -> Tensor:
        return self.sources[keys][1][row].double()
