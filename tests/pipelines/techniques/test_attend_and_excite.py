"""Attend-and-Excite: the paper's latents, image by image, composing or refusing, and unseen where it is not asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import ceil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from PIL import Image
from torch import Tensor

from pipelines.assets import Asset
from pipelines.batches import batches
from pipelines.canvas import make_canvas
from pipelines.denoise import _seen
from pipelines.load import locate
from pipelines.pipeline import Pipeline, StepEvent
from pipelines.plan import make_plan
from pipelines.recipe import Recipe
from pipelines.run import prepare, scheduler_of
from pipelines.techniques import TECHNIQUES, AttendAndExcite, Edit, Inject, LocalBlend, PaintMap, Replace, Reweight
from pipelines.techniques.codec import edit_document, read_edits
from pipelines.techniques.values import Box
from pipelines.techniques.window import Window
from tests.models import spread, write_model
from tests.pipelines.techniques.attend_and_excite import Paper, Reference
from xattn.errors import BadValue, Conflict, UnknownWord, Unsupported

FOX = Recipe("a fox and a cat on red", seed=3, num_inference_steps=6, guidance_scale=2.0, width=64, height=96)
WORDS = [[1], [2], [3], [4], [5], [6], [7]]
"""Columns of "a fox and a cat on red"."""
BOTH = AttendAndExcite(("fox", "cat"), 3.0, 100.0, refine=((0.0, 0.9), (0.2, 0.9)), iterations=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that attends at 1, 1/2 and 1/4 of the latent's side."""
    made = write_model(tmp_path_factory.mktemp("models") / "tiny")
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(32, 32, 64),
        down_block_types=("CrossAttnDownBlock2D",) * 3,
        up_block_types=("CrossAttnUpBlock2D",) * 3,
        layers_per_block=1,
        attention_head_dim=4,
        cross_attention_dim=32,
        norm_num_groups=8,
    )
    spread(unet, 5)
    unet.save_pretrained(made / "unet")
    return made


@pytest.fixture(scope="module")
def pipe(folder: Path) -> Pipeline:
    return Pipeline.from_pretrained(folder)


def latents(pipe: Pipeline, recipe: Recipe) -> list[Tensor]:
    """After each step."""
    return [event.latents for event in pipe.stream(recipe) if isinstance(event, StepEvent)]


def pixels(pipe: Pipeline, recipe: Recipe) -> np.ndarray:
    return np.asarray(pipe(recipe).image).astype(int)


def before_first(pipe: Pipeline, recipe: Recipe, free: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The noise of a recipe, and what it is moved to before the first step."""
    run = prepare(pipe.model, batches([pipe.resolve(recipe)], 1, pipe.model.text)[0], None)
    one = run.passes[0]
    scheduler = scheduler_of(one.stages[0], pipe.model)
    planned = [stage.planned for stage in one.stages]
    with torch.no_grad():
        plan = make_plan(planned, pipe.model.unet, pipe.model.text, programs=one.programs, steering=one.steering)
        canvas = make_canvas(one.stages, plan, pipe.model, scheduler, None)
        seen = partial(_seen, canvas, scheduler, scheduler.timesteps[0])
        moment = next(pipe.model.unet.moments(scheduler.timesteps))
        return canvas.latents, plan.before(0, canvas.latents, pipe.model.unet, moment, seen, free)


@pytest.mark.parametrize(
    "refine", [(), ((0.0, 0.9), (0.2, 0.9)), ((0.0, 0.95), (0.3, 0.1))], ids=["once", "all", "few"]
)
def test_it_is_the_papers_algorithm(pipe: Pipeline, folder: Path, refine: tuple[tuple[float, float], ...]) -> None:
    steps = {ceil(at * 6): share for at, share in refine}
    paper = Paper([[2], [5]], WORDS, (12, 8), 1.0, until=3, thresholds=steps, most=3)
    edit = replace(BOTH, step_size=1.0, refine=refine, window=Window(steps=(0.0, 0.5), sites=("1/1",)))
    recipe = replace(FOX, edits=(edit,))
    expected, counts = Reference(folder, FOX).run(paper)
    ours = latents(pipe, recipe)
    assert (max(counts) > 1) == bool(refine)
    for one, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4)
    assert (ours[-1] - latents(pipe, FOX)[-1]).abs().max() > 0.01


def test_as_published_it_is_the_papers_code(pipe: Pipeline, folder: Path) -> None:
    # one chunk's columns but its first and last; "fox" and "cat" of a phrase are words of their own
    paper = Paper(
        [[2], [5]], [[column] for column in range(1, 76)], (3, 2), 3.0, 3, {0: 0.9, 1: 0.5}, most=3, as_published=True
    )
    expected, counts = Reference(folder, FOX).run(paper)
    edit = replace(BOTH, sharpness=None, refine=((0.0, 0.9), (0.2, 0.5)), published=True)
    ours = latents(pipe, replace(FOX, edits=(edit,)))
    assert max(counts) > 1
    for one, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


def test_a_phrase_is_its_words_together(pipe: Pipeline, folder: Path) -> None:
    recipe = replace(FOX, prompt="a fox and ice cream on red")
    paper = Paper([[2], [4, 5]], [[1], [2], [3], [4, 5], [6], [7]], (12, 8), 30.0, 1, {})
    start, moved = before_first(pipe, replace(recipe, edits=(AttendAndExcite(("fox", "ice cream"), 30.0, 100.0, ()),)))
    expected, _ = Reference(folder, recipe).moved(paper, start, 0)
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-4)
    assert (moved - start).abs().max() > 0.01


def test_pictures_of_one_batch_are_moved_each_by_its_own_words(pipe: Pipeline) -> None:
    alone = [
        replace(FOX, edits=(replace(BOTH, step_size=1.0),)),
        replace(FOX, prompt="a dog on purple", seed=8),
        replace(
            FOX, prompt="ice cream and a dog", seed=9, edits=(AttendAndExcite(("ice cream", "dog"), 1.0, 100.0, ()),)
        ),
    ]
    together = [event.latents for event in pipe.stream(alone) if isinstance(event, StepEvent)]
    for place, recipe in enumerate(alone):
        for one, other in zip(latents(pipe, recipe), together, strict=True):
            torch.testing.assert_close(one[0], other[place], rtol=1e-4, atol=1e-4)
    plain = [replace(recipe, edits=()) for recipe in alone]
    unasked = [event.latents for event in pipe.stream(plain) if isinstance(event, StepEvent)]
    assert all(torch.equal(one[1], other[1]) for one, other in zip(unasked, together, strict=True))


def test_a_source_is_moved_by_its_own_words_alone(pipe: Pipeline) -> None:
    source = replace(FOX, prompt="a dog and a cat on red", edits=(AttendAndExcite(("dog", "cat"), 3.0, 100.0, ()),))
    target = replace(FOX, source=source, edits=(Inject(), BOTH))
    together = [event.latents for event in pipe.stream([source, target]) if isinstance(event, StepEvent)]
    for one, other in zip(latents(pipe, source), together, strict=True):
        torch.testing.assert_close(one[0], other[0], rtol=1e-4, atol=1e-4)


def test_what_other_edits_do_is_done_in_its_passes_too(pipe: Pipeline) -> None:
    louder, unheard = Reweight("red", 5.0), Reweight("purple", 5.0)
    once = replace(BOTH, refine=(), window=Window(steps=(0.0, 0.2)))
    moved = [
        before_first(pipe, replace(FOX, negative_prompt="purple", edits=edits))[1]
        for edits in ((once,), (louder, once), (replace(unheard, window=Window(rows=("uncond",))), once))
    ]
    assert not torch.equal(moved[0], moved[1])
    assert torch.equal(moved[0], moved[2])


@pytest.mark.parametrize(
    ("others", "says"),
    [
        ((Replace(),), r"attend and excite of .* and the replace cannot both hold.*give them other steps"),
        ((PaintMap("fox", "set", Box(0.0, 0.0, 0.5, 1.0)),), r"puts another in its place"),
        ((AttendAndExcite(("red",), 5.0),), r"both move the latents before step 1: give one edit the words of both"),
    ],
)
def test_what_cannot_hold_beside_it_is_told_before_the_first_step(
    pipe: Pipeline, others: tuple[Edit, ...], says: str
) -> None:
    source = Recipe("a dog and a cat on red")
    with pytest.raises(Conflict, match=says):
        pipe.stream(replace(FOX, source=source, edits=(*others, BOTH)))
    later = tuple(replace(one, window=Window(steps=(0.6, 1.0))) for one in others)
    pipe.stream(replace(FOX, source=source, edits=(*later, BOTH)))
    assert pipe.explain(replace(FOX, source=source, edits=(*others, BOTH))).conflicts


def test_it_composes_with_the_other_edits(pipe: Pipeline) -> None:
    source = Recipe("a dog and a cat on red")
    edits = (Inject(), Reweight("cat", 2.0), PaintMap("red", "gain", Box(0.0, 0.0, 0.5, 1.0)), LocalBlend(("fox",)))
    with_it, without = (pixels(pipe, replace(FOX, source=source, edits=some)) for some in ((*edits, BOTH), edits))
    assert (with_it != without).any()


def test_a_kept_picture_is_not_moved(pipe: Pipeline) -> None:
    free = torch.zeros(1, 1, 12, 8)
    free[..., :4] = 1
    start, moved = before_first(pipe, replace(FOX, edits=(BOTH,)), free)
    assert torch.equal(start[..., 4:], moved[..., 4:])
    assert not torch.equal(start[..., :4], moved[..., :4])
    grey = Asset.from_image(Image.new("RGB", (64, 96), "grey"))
    mask = np.zeros((96, 64), np.uint8)
    mask[:, :32] = 255
    recipe = replace(FOX, init=grey, mask=Asset.from_image(Image.fromarray(mask)), strength=0.7)
    assert (pixels(pipe, replace(recipe, edits=(BOTH,))) != pixels(pipe, recipe)).any()
    whole = replace(recipe, mask=None)
    assert (pixels(pipe, replace(whole, edits=(BOTH,))) != pixels(pipe, whole)).any()


@pytest.mark.parametrize("scheduler", ["euler", "dpmpp_2m"])
def test_other_samplers_are_moved_through_what_they_show_the_unet(pipe: Pipeline, scheduler: str) -> None:
    recipe = replace(FOX, scheduler=scheduler, guidance_scale=1.0)
    assert (latents(pipe, replace(recipe, edits=(BOTH,)))[-1] - latents(pipe, recipe)[-1]).abs().max() > 0.01


def test_a_word_that_is_said_later_waits_until_then(pipe: Pipeline) -> None:
    edit = AttendAndExcite(("cat",), 20.0, 100.0, (), window=Window())
    recipe = replace(FOX, prompt="a [fox:cat:0.5] on red")
    with_it, plain = latents(pipe, replace(recipe, edits=(edit,))), latents(pipe, recipe)
    equal = [torch.equal(one, other) for one, other in zip(with_it, plain, strict=True)]
    assert equal == [True] * 3 + [False] * 3


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_moves_alike(pipe: Pipeline, folder: Path, dtype: str) -> None:
    half = Pipeline.from_pretrained(folder, dtype=dtype)
    recipe = replace(FOX, edits=(replace(BOTH, refine=()),))
    (start, moved), (_, ours) = before_first(pipe, recipe), before_first(half, recipe)
    change, own = (moved - start).flatten(), (ours.float() - start).flatten()
    assert torch.cosine_similarity(change, own, dim=0) > 0.97


def test_moves_that_half_precision_would_round_away_add_up(pipe: Pipeline, folder: Path) -> None:
    half = Pipeline.from_pretrained(folder, dtype="bfloat16")
    recipe = replace(FOX, edits=(AttendAndExcite(("fox", "cat"), 0.05, 100.0, ((0.0, 1.0),), iterations=12),))
    (start, moved), (_, ours) = before_first(pipe, recipe), before_first(half, recipe)
    change, own = (moved - start).flatten(), (ours.float() - start.bfloat16().float()).flatten()
    assert torch.dot(own, change) / torch.dot(change, change) > 0.8


def test_what_has_no_gradient_is_not_asked_again(pipe: Pipeline) -> None:
    flat = AttendAndExcite(("fox",), 3.0, 0.0, ((0.0, 1.0),), window=Window(steps=(1, 1)))
    sites, plain = len(pipe.model.unet.sites), pipe(FOX).stats.kernels["sdpa"]
    assert pipe(replace(FOX, edits=(flat,))).stats.kernels["sdpa"] - plain <= sites


@pytest.mark.parametrize("words", [("fox", "pizza"), ("fox",)])
def test_on_the_default_model_the_loss_goes_down(words: tuple[str, ...]) -> None:
    pipe = Pipeline.from_pretrained()
    edit = AttendAndExcite(words)
    recipe = Recipe("a fox to the left of a pizza on purple", seed=200, num_inference_steps=20, edits=(edit,))
    start, moved = before_first(pipe, replace(recipe, edits=(replace(edit, refine=()),)))
    ledger = pipe.ledger(recipe.prompt)
    said = [list(word.tokens) for word in ledger.words]
    paper = Paper([list(ledger.columns(word)) for word in words], said, (16, 16), 1.0, 1, {}, sharp=5.0)
    reference = Reference(locate("emoji-128")[1], replace(recipe, edits=()))
    with torch.no_grad():
        before, after = (float(reference.loss(paper, some, 0)) for some in (start, moved))
    assert after < before


def test_explain_says_what_is_read_and_how_often(pipe: Pipeline) -> None:
    told = pipe.explain(replace(FOX, edits=(replace(BOTH, window=Window(steps=(0.0, 0.5), sites=("1/4",))),)))
    (sentence,) = told.moving
    last = "up_blocks.0.attentions.1.transformer_blocks.0.attn2"
    assert "before steps 1 to 3 one pass of the prompt's row" in sentence
    assert "up to 3 more before step 1, 3 more before step 3" in sentence
    assert f"ends after {last}" in sentence
    assert sentence in str(told)
    read = [one for one in told.sites if "7 explicit maps before the step" in one.program]
    assert {one.site.downsampling for one in read} == {4}
    assert all(one.site.cross for one in read)
    assert len(read) == 4
    assert not pipe.explain(FOX).moving


def test_the_passes_end_early_and_are_counted(pipe: Pipeline) -> None:
    plain = pipe(FOX).stats.kernels["sdpa"]
    once = replace(BOTH, refine=(), window=Window(steps=(1, 2), sites=("1/4",)))
    sites = pipe.model.unet.sites
    last = max(place for place, site in enumerate(sites) if site.cross and site.downsampling == 4)
    assert pipe(replace(FOX, edits=(once,))).stats.kernels["sdpa"] - plain == 2 * (last + 1) < 2 * len(sites)


def test_no_gradient_is_a_sentence(pipe: Pipeline) -> None:
    with torch.inference_mode(), pytest.raises(Unsupported, match=r"needs gradients.*torch\.no_grad\(\)"):
        pipe(replace(FOX, edits=(BOTH,)))


def test_it_comes_back_from_json_with_defaults_left_out() -> None:
    edit = AttendAndExcite(("fox", ("cat", 2)), refine=((0.0, 0.1),), window=Window(steps=(1, 4)))
    document = edit_document(edit)
    assert document == {
        "kind": "attend_and_excite",
        "words": ["fox", ["cat", 2]],
        "refine": [[0.0, 0.1]],
        "window": {"steps": [1, 4]},
    }
    assert read_edits([document], TECHNIQUES) == (edit,)


@pytest.mark.parametrize(
    ("edit", "error", "says"),
    [
        (AttendAndExcite(("fox", "foks")), UnknownWord, r'no word "foks".*Did you mean "fox"'),
        (AttendAndExcite(("a fox", "fox")), BadValue, r"share no token"),
        (AttendAndExcite(("fox",), window=Window(sites=("mid", "1/1"))), BadValue, r"of one grid"),
        (
            AttendAndExcite(("fox",), published=True, window=Window(sites=("1/1",))),
            BadValue,
            r"a quarter of the latent",
        ),
    ],
)
def test_what_does_not_suit_prompt_or_model_is_refused(
    pipe: Pipeline, edit: AttendAndExcite, error: type[BadValue], says: str
) -> None:
    with pytest.raises(error, match=says):
        pipe.stream(replace(FOX, edits=(edit,)))


def test_a_word_without_others_has_nothing_to_be_weighed_against(pipe: Pipeline) -> None:
    with pytest.raises(BadValue, match="of more words than one"):
        pipe.stream(replace(FOX, prompt="fox", edits=(AttendAndExcite(("fox",)),)))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: AttendAndExcite(()), r"a tuple of words"),
        (lambda: AttendAndExcite("fox"), r"a tuple of words"),  # type: ignore[arg-type]
        (lambda: AttendAndExcite(("fox",), -1.0), r"step_size.*0 moves nothing"),
        (lambda: AttendAndExcite(("fox",), refine=((0.5, 0.1), (0.2, 0.1))), r"fractions rise"),
        (lambda: AttendAndExcite(("fox",), iterations=-1), r"iterations"),
        (lambda: AttendAndExcite(("fox",), published=1), r"True or False"),  # type: ignore[arg-type]
        (lambda: AttendAndExcite(("fox",), window=Window(rows=("uncond",))), r"the prompt's own maps"),
    ],
)
def test_fields_are_checked(make: Callable[[], Edit], says: str) -> None:
    with pytest.raises(BadValue, match=says):
        make()
