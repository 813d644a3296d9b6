"""PaintMap against its formulas on explicit probabilities, lane by lane, place by place."""

from __future__ import annotations

import itertools
from math import ceil, floor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from pipelines.assets import Asset
from pipelines.techniques import PaintMap, Reweight
from pipelines.techniques.paint_map import AMOUNTS
from pipelines.techniques.values import Box, Reach, Shape
from pipelines.techniques.window import Window
from tests.pipelines.techniques.one_call import FOX, ICE_CREAM, Call
from xattn.errors import BadValue, Conflict, UnknownName, UnknownWord

GRIDS = [(5, 7), (4, 4), (1, 6), (3, 1)]
WORDS = {"fox": FOX, "ice cream": ICE_CREAM}
BACKENDS = ["auto", "tiled", "explicit"]
MOVING: dict[str, dict[str, object]] = {"gain": {}, "set": {}, "add": {}, "move": {"shift": (0.2, -0.1), "scale": 0.7}}
ROUNDING = {torch.float32: 2e-6, torch.bfloat16: 3e-2, torch.float16: 4e-3}


def painted(grid: tuple[int, int]) -> tuple[Shape, Tensor]:
    """A field with every grey, one value a place, and the same as numbers; fields are float32 in every run."""
    values = (torch.arange(grid[0] * grid[1]) * 97 % 256).to(torch.uint8).view(grid)
    return Asset.from_image(Image.fromarray(values.numpy())), (values.float() / 255).double().flatten()


def expected(call: Call, edit: PaintMap, columns: list[int], field: Tensor, amount: float) -> Tensor:
    """P′ of every head, written out as PaintMap's docstring says."""
    probs = call.probs()
    for lane in probs:
        before = lane.clone()
        own = before[:, columns]
        new = new_columns(edit, own, field, amount, call.grid)
        mass, after = own.sum(dim=1), new.sum(dim=1)
        if edit.renormalise == "others":
            new = new / after.clamp(min=1.0)[:, None]
            lane *= ((1 - new.sum(dim=1)) / (1 - mass))[:, None]
        lane[:, columns] = new
        if edit.renormalise == "softmax":
            lane /= lane.sum(dim=1, keepdim=True)
    return probs


def new_columns(edit: PaintMap, own: Tensor, field: Tensor, amount: float, grid: tuple[int, int]) -> Tensor:
    f = field[:, None]
    mean = own.sum(dim=1).mean() if edit.relative else torch.tensor(1.0).double()
    if edit.op == "gain":
        return own * (amount * f + edit.outside * (1 - f))
    if edit.op == "set":
        return amount * f * mean * own / own.sum(dim=1, keepdim=True)
    if edit.op == "add":
        return own + amount * f * mean * own.mean(dim=0) / own.mean(dim=0).sum()
    moved = [resampled((f[:, 0] * column).view(grid), edit, field.view(grid)).flatten() for column in own.T]
    return (1 - f) * own + amount * torch.stack(moved, dim=1)


def resampled(image: Tensor, edit: PaintMap, field: Tensor) -> Tensor:
    """A moved map, place by place: linear interpolation, or the triangle's mean where it shrinks, and 0 outside."""
    height, width = image.shape
    down = sum(float(field[y].sum()) * (y + 0.5) / height for y in range(height)) / float(field.sum())
    right = sum(float(field[:, x].sum()) * (x + 0.5) / width for x in range(width)) / float(field.sum())
    reach = max(1.0, 1 / edit.scale)
    made = torch.zeros_like(image)
    for y, x in itertools.product(range(height), range(width)):
        from_y = (((y + 0.5) / height - down - edit.shift[1]) / edit.scale + down) * height - 0.5
        from_x = (((x + 0.5) / width - right - edit.shift[0]) / edit.scale + right) * width - 0.5
        total = 0.0
        for i in range(floor(from_y - reach), ceil(from_y + reach) + 1):
            for j in range(floor(from_x - reach), ceil(from_x + reach) + 1):
                weight = max(0.0, 1 - abs(i - from_y) / reach) * max(0.0, 1 - abs(j - from_x) / reach)
                total += weight
                if 0 <= i < height and 0 <= j < width:
                    made[y, x] += weight * image[i, j]
        made[y, x] /= total
    return made


@settings(max_examples=60, deadline=None)
@given(
    op=st.sampled_from(["gain", "set", "add", "move"]),
    renormalise=st.sampled_from(["none", "others", "softmax"]),
    word=st.sampled_from(sorted(WORDS)),
    grid=st.sampled_from(GRIDS),
    amount=st.sampled_from([0.0, 0.3, 1.0, 7.0]),
    relative=st.booleans(),
    shift=st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
    scale=st.floats(0.1, 10),
    outside=st.sampled_from([0.0, 0.5, 1.0]),
    reach=st.sampled_from(["word", "end", "after"]),
    backend=st.sampled_from(BACKENDS),
)
def test_it_is_its_formula_on_explicit_probabilities(
    op: str,
    renormalise: str,
    word: str,
    grid: tuple[int, int],
    amount: float,
    relative: bool,
    shift: tuple[float, float],
    scale: float,
    outside: float,
    reach: Reach,
    backend: str,
) -> None:
    shape, field = painted(grid)
    own = {"move": {"shift": shift, "scale": scale}, "gain": {"outside": outside}}.get(op, {})
    relative = relative or op in ("gain", "move")
    edit = PaintMap(word, op, shape, amount, renormalise=renormalise, relative=relative, reach=reach, **own)
    # a factor on another word stands by, so that there is a program also where painting is nothing
    call = Call([edit, Reweight("a", 2.0)], latent=grid)
    columns = {"word": WORDS[word], "end": [*WORDS[word], 6, 7], "after": list(range(WORDS[word][0], 8))}[reach]
    probs = expected(call, edit, columns, field, amount)
    probs[..., 1] *= 2
    torch.testing.assert_close(call.output(backend=backend), probs @ call.value(), rtol=0, atol=1e-10)


@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
@pytest.mark.parametrize("renormalise", ["none", "others", "softmax"])
@pytest.mark.parametrize("op", ["gain", "set", "add", "move"])
def test_it_is_right_to_the_dtypes_rounding(op: str, renormalise: str, dtype: torch.dtype) -> None:
    shape, field = painted((5, 7))
    edit = PaintMap("ice cream", op, shape, 3.0, renormalise=renormalise, **MOVING[op])
    call = Call([edit], dtype=dtype)
    probs = expected(call, edit, ICE_CREAM, field, 3.0)
    error = (call.output().double() - probs @ call.value()).abs().max()
    assert error < ROUNDING[dtype] * max(1.0, float(probs.sum(dim=-1).max()))


def test_a_word_that_has_all_of_a_place_or_none_stays_a_number_in_half_precision() -> None:
    for renormalise, op in itertools.product(["none", "others", "softmax"], ["gain", "set", "add", "move"]):
        edit = PaintMap("fox", op, Box(0, 0, 0.5, 1), renormalise=renormalise, **MOVING[op])
        for sign in (30.0, -30.0):
            call = Call([edit], dtype=torch.float16)
            key = call.sources["text"][0]
            key[0, :, FOX] = sign * call.query[0].mean(dim=1, keepdim=True)
            assert call.output().isfinite().all()


def test_a_box_covers_its_share_of_each_place_on_coarser_grids_of_odd_sides() -> None:
    edit = PaintMap("fox", "set", Box(0, 0, 0.5, 1), amount=2.0)
    call = Call([edit], latent=(5, 7), downsampling=2)  # grid (3, 4): the last column covers one place, not two
    # half of 7 places is 3.5: places 0 to 2 whole and half of place 3
    field = torch.tensor([1.0, (1 + 0.5) / 2, 0.0, 0.0]).double().repeat(3)
    probs = expected(call, edit, FOX, field, 2.0)
    torch.testing.assert_close(call.output(), probs @ call.value(), rtol=0, atol=1e-10)


def test_without_a_field_it_is_everywhere() -> None:
    edit = PaintMap("fox", "add", amount=1.5)
    call = Call([edit])
    probs = expected(call, edit, FOX, torch.ones(35).double(), 1.5)
    torch.testing.assert_close(call.output(), probs @ call.value(), rtol=0, atol=1e-10)


def test_an_amount_runs_over_the_steps() -> None:
    shape, field = painted((5, 7))
    edit = PaintMap("fox", "gain", shape, ((0.0, 4.0), (1.0, 1.0)), window=Window())
    for index, amount in enumerate((4.0, 3.0, 2.0)):
        call = Call([edit])
        probs = expected(call, edit, FOX, field, amount)
        torch.testing.assert_close(call.output(index), probs @ call.value(), rtol=0, atol=1e-10)
    assert Call([edit]).step(3) is None, "a gain of one is nothing"


@pytest.mark.parametrize(
    "edit",
    [
        PaintMap("fox", "gain", amount=1.0),
        PaintMap("fox", "gain", amount=1.0, renormalise="others"),
        PaintMap("fox", "gain", amount=1.0, renormalise="softmax"),
        PaintMap("fox", "add", amount=0.0),
        PaintMap("fox", "add", Box(0, 0, 1, 0.5), 0.0, renormalise="others"),
        PaintMap("fox", "move"),
        PaintMap("fox", "move", Box(0, 0, 0.5, 1), renormalise="softmax"),
        PaintMap("fox", "set", window=Window(steps=(2, 3))),
        PaintMap("fox", "set", window=Window(sites=("1/1",), heads=(1,)), enabled=False),
    ],
    ids=repr,
)
def test_identity_parameters_and_closed_windows_leave_no_program(edit: PaintMap) -> None:
    assert Call([edit]).step(0) is None


def test_a_window_of_one_head_leaves_the_others() -> None:
    shape, field = painted((5, 7))
    edit = PaintMap("fox", "set", shape, 3.0, window=Window(heads=(1,)))
    call = Call([edit])
    probs = call.probs()
    probs[1] = expected(call, edit, FOX, field, 3.0)[1]
    torch.testing.assert_close(call.output(), probs @ call.value(), rtol=0, atol=1e-10)


def test_painting_the_same_word_twice_is_a_conflict_and_two_words_are_none() -> None:
    left, right = Box(0, 0, 0.5, 1), Box(0.5, 0, 1, 1)
    first = PaintMap("ice cream", "set", left, id="sweet")
    with pytest.raises(
        Conflict, match=r'paint map "sweet" and the paint map of "cream" cannot both hold: .* or use a gain'
    ):
        Call([first, PaintMap("cream", "set", right)])
    shape, field = painted((5, 7))
    one, two = PaintMap("fox", "set", shape, 2.0), PaintMap("ice cream", "set", shape, 3.0)
    call = Call([one, two])
    probs = expected(call, one, FOX, field, 2.0)
    probs[..., ICE_CREAM] = expected(call, two, ICE_CREAM, field, 3.0)[..., ICE_CREAM]
    torch.testing.assert_close(call.output(), probs @ call.value(), rtol=0, atol=1e-10)


def test_what_cannot_be_is_told_in_a_sentence() -> None:
    with pytest.raises(UnknownWord, match=r'no word "wolf"\. Its words are: a, fox, and, ice, cream'):
        Call([PaintMap("wolf")])
    with pytest.raises(UnknownName, match="op of paint_map"):
        PaintMap("fox", "paint")  # type: ignore[arg-type]
    with pytest.raises(BadValue, match=r"paint_map.op is 'set'.* \"move\" where shift or scale is given"):
        PaintMap("fox", "set", shift=(0.1, 0.0))
    with pytest.raises(BadValue, match=r"paint_map.op is 'add'.* \"gain\" where outside is given"):
        PaintMap("fox", "add", outside=0.5)
    with pytest.raises(UnknownName, match="reach of paint_map"):
        PaintMap("fox", reach="before")  # type: ignore[arg-type]
    with pytest.raises(BadValue, match=r"paint_map.relative is False.* left out for \"gain\""):
        PaintMap("fox", relative=False)
    with pytest.raises(BadValue, match=r"paint_map.amount is -1.* a number from 0 to 100"):
        PaintMap("fox", amount=-1)
    with pytest.raises(BadValue, match=r"paint_map.shift is 0.5.* a pair such as \(0.25, 0.0\)"):
        PaintMap("fox", "move", shift=0.5)  # type: ignore[arg-type]


def test_an_amount_that_is_left_out_is_written_into_the_recipe() -> None:
    from pipelines.techniques.codec import edit_document, read_edits

    edit = PaintMap("fox", "set", Box(0, 0, 0.5, 1))
    assert edit.amount == AMOUNTS["set"]
    assert edit_document(edit)["amount"] == AMOUNTS["set"]
    assert read_edits([edit_document(edit)], (PaintMap,)) == (edit,)
