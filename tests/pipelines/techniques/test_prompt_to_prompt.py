"""Whole runs against Prompt-to-Prompt written a second time (prompt_to_prompt.py), ten steps in float32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipelines.load import locate
from pipelines.pipeline import Pipeline, StepEvent
from pipelines.recipe import Recipe
from pipelines.techniques import Edit, Inject, LocalBlend, Refine, Replace, Reweight
from pipelines.techniques.values import Box
from pipelines.techniques.window import Window
from tests.models import write_model
from tests.pipelines.techniques.prompt_to_prompt import Blend, Reference, Target, cross_table

STEPS = 10
CROSS, SELF, ALL = range(8), range(4), range(10)
"""The default windows of ten steps: eight, and four."""
FOX, DOG = "a fox on purple", "a dog on purple"
SAME = {0: 0, 1: 1, 2: 2, 3: 3}
"""Words of equally long prompts, one by one."""
WHOLE = Window()


@dataclass(frozen=True)
class Both:
    """One model in both programs, and the size of its latents."""

    pipe: Pipeline
    reference: Reference
    size: tuple[int, int]
    scale: float = 4.0

    @classmethod
    def of(cls, folder: Path, size: tuple[int, int]) -> Both:
        return cls(Pipeline.from_pretrained(folder), Reference(folder), size)

    def recipe(self, source: str, prompt: str, edits: Sequence[Edit], size: tuple[int, int] | None = None) -> Recipe:
        height, width = (8 * side for side in size or self.size)
        base = Recipe(source, seed=5, num_inference_steps=STEPS, guidance_scale=self.scale, height=height, width=width)
        return replace(base, prompt=prompt, edits=tuple(edits), source=base)

    def ours(self, recipes: Sequence[Recipe]) -> Tensor:
        """Final latents of the targets, drawn in one run."""
        return [event.latents for event in self.pipe.stream(recipes) if isinstance(event, StepEvent)][-1]

    def theirs(
        self, source: str, targets: Sequence[Target], size: tuple[int, int] | None = None, chunks: int = 1
    ) -> Tensor:
        drawn = self.reference.latents(
            source, targets, seed=5, steps=STEPS, guidance=self.scale, size=size or self.size, chunks=chunks
        )
        return drawn[1:]

    def agree(self, source: str, target: Target, edits: Sequence[Edit], size: tuple[int, int] | None = None) -> None:
        """One target: both draw the same, and clearly not what is drawn without the edits."""
        ours = self.ours([self.recipe(source, target.prompt, edits, size)])
        plain = self.ours([self.recipe(source, target.prompt, (), size)])
        error = (ours - self.theirs(source, [target], size)).abs().max()
        effect = (ours - plain).abs().max()
        assert error <= 1e-4
        assert error < effect / 20


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Both:
    return Both.of(write_model(tmp_path_factory.mktemp("models") / "tiny"), (8, 8))


@pytest.fixture(scope="module")
def emoji() -> Both:
    return Both.of(locate("emoji-128")[1], (16, 16))


def scale_of(both: Both, prompt: str, word: int, factor: float) -> Tensor:
    scale = torch.ones(77)
    scale[both.reference.words(prompt)[word]] = factor
    return scale


def test_replace(tiny: Both) -> None:
    mapper, alpha = tiny.reference.mapper(FOX, DOG, SAME)
    assert (alpha == 1).all()
    tiny.agree(FOX, Target(DOG, mapper, alpha, CROSS), [Replace()])


def test_replace_by_a_word_of_other_tokens_keeps_every_later_word_in_its_place(tiny: Both) -> None:
    source, target = "a fox on purple", "a vixen on purple"
    counts = [len(columns) for columns in tiny.reference.words(target)]
    assert counts[1] > 1, "this word must be cut into several tokens, or nothing is tested"
    mapper, alpha = tiny.reference.mapper(source, target, SAME)
    torch.testing.assert_close(mapper.sum(1), torch.ones(77))  # no mass is lost or doubled
    tiny.agree(source, Target(target, mapper, alpha, CROSS), [Replace()])
    mapper, alpha = tiny.reference.mapper(target, source, SAME)
    tiny.agree(target, Target(source, mapper, alpha, CROSS), [Replace()])


def test_replace_as_published_reads_wrong_columns_after_such_a_word(tiny: Both) -> None:
    mapper = torch.eye(77)
    mapper[2:5, 2:5] = 0
    mapper[2, 2:5] = 1 / 3
    target = Target("a vixen on purple", mapper, torch.ones(77), CROSS)
    tiny.agree(FOX, target, [Replace(published=True)])


def test_replace_by_pairs_and_with_words_of_its_own(tiny: Both) -> None:
    target = "a red cat and a dog"
    mapper, alpha = tiny.reference.mapper("a fox and a cat", target, {0: 0, 2: 4, 3: 2, 4: 3, 5: 1})
    edits = [Replace(pairs=(("cat", "cat"), ("fox", "dog")))]
    tiny.agree("a fox and a cat", Target(target, mapper, alpha, CROSS), edits)


@pytest.mark.parametrize("published", [False, True])
def test_replace_gives_words_steps_of_their_own(tiny: Both, published: bool) -> None:
    mapper, alpha = tiny.reference.mapper(FOX, DOG, SAME)
    table = alpha.repeat(STEPS, 1)
    table[8:] = 0
    table[:, 2], table[:, 4] = 0, 0
    table[: int(0.35 * (STEPS + 1)) if published else 4, 2] = 1
    table[5:, 4] = 1
    edit = Replace(published=published, word_steps=(("dog", (0.0, 0.35)), ("purple", (0.5, 1.0))))
    tiny.agree(FOX, Target(DOG, mapper, table, ALL), [edit])


def test_refine_gives_words_steps_of_their_own(tiny: Both) -> None:
    target = "a red fox on purple"
    mapper, alpha = tiny.reference.mapper(FOX, target, {0: 0, 2: 1, 3: 2, 4: 3}, end=False)
    table = alpha.repeat(STEPS, 1)
    table[8:] = 0
    table[:, 3] = 0
    table[1:3, 3] = 1
    tiny.agree(FOX, Target(target, mapper, table, ALL), [Refine(word_steps=(("fox", (2, 3)),))])


def test_replace_and_inject_in_some_heads_only(tiny: Both) -> None:
    mapper, alpha = tiny.reference.mapper(FOX, DOG, SAME)
    target = Target(DOG, mapper, alpha, CROSS, inject=SELF, heads=[1, 3])
    edits = [Replace(window=Window((0.0, 0.8), heads=(1, 3))), Inject(window=Window((0.0, 0.4), heads=(1, 3)))]
    tiny.agree(FOX, target, edits)


def test_refine(tiny: Both) -> None:
    target = "a red fox on purple"
    mapper, alpha = tiny.reference.mapper(FOX, target, {0: 0, 2: 1, 3: 2, 4: 3}, end=False)
    tiny.agree(FOX, Target(target, mapper, alpha, CROSS), [Refine()])


def test_refine_as_published_takes_end_and_padding_too(tiny: Both) -> None:
    target = "a red fox on purple"
    mapper, alpha = tiny.reference.mapper(FOX, target, {0: 0, 2: 1, 3: 2, 4: 3}, end=False)
    mapper[5, 6] = alpha[6] = 1  # end of text, one column later
    for column in range(7, 77):
        mapper[column, column] = alpha[column] = 1
    tiny.agree(FOX, Target(target, mapper, alpha, CROSS), [Refine(published=True)])


def test_reweight_of_a_replaced_map(tiny: Both) -> None:
    mapper, alpha = tiny.reference.mapper(FOX, DOG, SAME)
    scale = scale_of(tiny, DOG, 1, 3.0)
    target = Target(DOG, mapper, alpha, CROSS, scale, CROSS)
    tiny.agree(FOX, target, [Replace(), Reweight("dog", 3.0, window=Window(steps=(0.0, 0.8)))])


def test_reweight_of_its_own(tiny: Both) -> None:
    target = Target(FOX, scale=scale_of(tiny, FOX, 1, -2.0), scale_steps=ALL)
    tiny.agree(FOX, target, [Reweight("fox", -2.0)])


def test_reweight_of_the_source_takes_one_word_from_it(tiny: Both) -> None:
    target = "a fox on red"
    mapper, alpha = tiny.reference.mapper(FOX, target, {1: 1}, begin=False, end=False)
    edited = Target(target, mapper, alpha, ALL, scale_of(tiny, target, 1, 3.0), ALL)
    tiny.agree(FOX, edited, [Reweight("fox", 3.0, of="source")])


def test_reweight_as_published_takes_everything_from_the_source(tiny: Both) -> None:
    edited = Target(FOX, torch.eye(77), torch.ones(77), CROSS, scale_of(tiny, FOX, 3, 4.0), CROSS)
    edits = [Reweight("purple", 4.0, of="source", published=True, window=Window(steps=(0.0, 0.8)))]
    tiny.agree(FOX, edited, edits)


@pytest.mark.parametrize("last", [0.35, 0.7])
def test_published_windows_end_where_the_codes_table_does(tiny: Both, last: float) -> None:
    table, window = cross_table(0.0, last, STEPS), Window(steps=(0.0, last))
    assert len(table) == int(last * (STEPS + 1))
    target = Target(DOG, torch.eye(77), torch.ones(77), table)
    tiny.agree(FOX, target, [Replace(published=True, window=window)])
    scaled = Target(FOX, torch.eye(77), torch.ones(77), table, scale_of(tiny, FOX, 3, 4.0), table)
    tiny.agree(FOX, scaled, [Reweight("purple", 4.0, of="source", published=True, window=window)])


def test_inject(tiny: Both) -> None:
    tiny.agree(FOX, Target("a cat on red", inject=SELF), [Inject()])


@pytest.mark.slow
def test_inject_as_published_stays_at_a_quarter_of_the_latents_side(emoji: Both) -> None:
    emoji.agree(FOX, Target("a cat on red", inject=ALL, inject_at_most=16), [Inject(published=True, window=WHOLE)])
    early = Target("a cat on red", inject=range(int(0.85 * STEPS)), inject_at_most=16)
    emoji.agree(FOX, early, [Inject(published=True, window=Window(steps=(0.0, 0.85)))])


@pytest.mark.parametrize("size", [(8, 8), (8, 16), (12, 8)], ids=["square", "wide", "tall"])
def test_local_blend(tiny: Both, size: tuple[int, int]) -> None:
    blend = Blend(own=[[2]], source=[[2]], threshold=0.6, grid=size)
    edits = [LocalBlend(words=("dog",), source_words=("fox",), threshold=0.6)]
    tiny.agree(FOX, Target(DOG, blend=blend), edits, size)


def test_local_blend_by_several_words_and_a_painted_place(tiny: Both) -> None:
    painted = torch.zeros(8, 8)
    painted[:4, :2] = 1
    blend = Blend(own=[[2], [4]], source=[[2]], threshold=0.8, grid=(8, 8), painted=painted)
    edits = [LocalBlend(("dog", "purple"), ("fox",), 0.8, mask=Box(0.0, 0.0, 0.25, 0.5))]
    tiny.agree(FOX, Target(DOG, blend=blend), edits)


@pytest.mark.slow
def test_local_blend_as_published_reads_edited_maps_of_a_quarter(emoji: Both) -> None:
    mapper, alpha = emoji.reference.mapper(FOX, "a dog on red", SAME)
    blend = Blend(own=[[2, 4]], source=[[2]], threshold=0.7, edited=True, grid=(4, 4))
    edits = [Replace(), LocalBlend(("dog", "red"), ("fox",), 0.7, published=True)]
    emoji.agree(FOX, Target("a dog on red", mapper, alpha, CROSS, blend=blend), edits)


def test_everything_at_once_on_the_default_model(emoji: Both) -> None:
    mapper, alpha = emoji.reference.mapper(FOX, DOG, SAME)
    target = Target(DOG, mapper, alpha, CROSS, scale_of(emoji, DOG, 3, 2.0), ALL, SELF)
    target.blend = Blend(own=[[2]], source=[[2]], grid=(16, 16))
    edits = [Replace(), Reweight("purple", 2.0), Inject(), LocalBlend(("dog",), ("fox",))]
    emoji.agree(FOX, target, edits)


def test_everything_at_once_by_the_backend_that_materialises(tiny: Both) -> None:
    edits = [Replace(), Reweight("purple", 2.0), Inject(), LocalBlend(("dog",), ("fox",), 0.8)]
    recipe = tiny.recipe(FOX, DOG, edits)
    explicit = replace(tiny, pipe=Pipeline.from_pretrained(tiny.reference.folder, backend="explicit"))
    torch.testing.assert_close(explicit.ours([recipe]), tiny.ours([recipe]), rtol=0, atol=1e-4)


def test_two_targets_of_one_source_in_one_run(tiny: Both) -> None:
    red = "a fox on red"
    first = Target(DOG, *tiny.reference.mapper(FOX, DOG, SAME), CROSS, inject=SELF)
    second = Target(red, *tiny.reference.mapper(FOX, red, SAME), range(5), blend=Blend([[4]], [[4]], 0.8, grid=(8, 8)))
    recipes = [
        tiny.recipe(FOX, DOG, [Replace(), Inject()]),
        tiny.recipe(FOX, red, [Replace(window=Window(steps=(1, 5))), LocalBlend(("red",), ("purple",), 0.8)]),
    ]
    together = tiny.ours(recipes)
    torch.testing.assert_close(together, tiny.theirs(FOX, [first, second]), rtol=0, atol=1e-4)
    alone = torch.cat([tiny.ours([recipe]) for recipe in recipes])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)


def test_prompts_of_several_chunks_and_of_different_ones(tiny: Both) -> None:
    filler = " ".join(["and a dog"] * 26)  # 78 words of a token each
    for source, target, words in (
        (f"a fox {filler} on red", f"a cat {filler} on purple", {place: place for place in range(82)}),
        (f"a fox {filler}", "a fox and a dog", {0: 0, 1: 1, 2: 2, 3: 3, 4: 4}),
    ):
        mapper, alpha = tiny.reference.mapper(source, target, words, chunks=2)
        ours = tiny.ours([tiny.recipe(source, target, [Replace()])])
        theirs = tiny.theirs(source, [Target(target, mapper, alpha, CROSS)], chunks=2)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


def test_a_source_beside_a_longer_target_is_what_it_is_alone(tiny: Both) -> None:
    longer = "a fox and a dog " + " ".join(["and a dog"] * 26)
    nowhere = tiny.recipe("a fox on red", longer, [LocalBlend(("fox",), threshold=1.0)])
    assert nowhere.source is not None
    torch.testing.assert_close(tiny.ours([nowhere]), tiny.ours([nowhere.source]), rtol=0, atol=1e-4)


def test_a_source_of_fewer_chunks_shares_its_begin_and_padding_among_the_targets(tiny: Both) -> None:
    source, target = "a fox", "a fox and a dog " + " ".join(["and a dog"] * 26)
    words = tiny.reference.words(target)
    mapper, alpha = torch.zeros(154, 154), torch.zeros(154)
    for theirs, ours in ((1, words[0][0]), (2, words[1][0])):
        mapper[theirs, ours] = alpha[ours] = 1
    for begin in (0, 77):
        mapper[0, begin], alpha[begin] = 0.5, 1
    tails = [[76], list(range(77 + 1 + len(words) - 75, 154))]
    for tail in tails:  # of the source's tail, columns 3 to 76, in order; what is left over in the last
        alpha[tail] = 1
        for number, column in enumerate(range(3, 77)):
            mapper[column, tail[min(number, len(tail) - 1)]] = 0.5
    torch.testing.assert_close(mapper.sum(1)[:77], torch.ones(77))
    theirs = tiny.reference.latents(
        source,
        [Target(target, mapper, alpha, CROSS)],
        seed=5,
        steps=STEPS,
        guidance=tiny.scale,
        size=tiny.size,
        chunks=2,
        source_columns=77,
    )
    torch.testing.assert_close(tiny.ours([tiny.recipe(source, target, [Replace()])]), theirs[1:], rtol=0, atol=1e-4)


def test_the_source_is_the_picture_that_it_is_alone(tiny: Both) -> None:
    recipe = tiny.recipe(FOX, DOG, [Replace(), Inject(), LocalBlend(("dog",), ("fox",))])
    assert recipe.source is not None
    alone = tiny.ours([recipe.source])
    beside = tiny.ours([recipe, recipe.source])[1:]
    torch.testing.assert_close(beside, alone, rtol=0, atol=1e-5)
