"""What a place asked: every share accounted for, where it looks, scores of one lane."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from pipelines.pipeline import Pipeline
from pipelines.recipe import Recipe
from pipelines.techniques.reweight import Reweight
from ui.web.insight import insight
from ui.web.limits import Limits
from ui.web.models import Models
from ui.web.runs import Run
from ui.web.server import ledger_function, server_functions
from ui.web.sharing import share_page
from ui.web.studio import Drawn, Studio, capture
from ui.web.views import view_of
from ui.web.where import where
from xattn.errors import BadValue, UnknownName


@pytest.fixture(scope="module")
def studio(model: Path) -> Studio:
    """A studio with the tiny model, and one picture of a session."""
    studio = Studio(Models.in_folder(model.parent), Limits())
    studio.models.get("tiny")
    return studio


@pytest.fixture(scope="module")
def run(studio: Studio) -> Run:
    """One picture of it."""
    *_, last = studio.draw("ann", Recipe("a fox, on red", seed=1, num_inference_steps=3), model="tiny")
    assert isinstance(last, Drawn)
    return last.run


def test_the_shares_at_a_place_sum_to_one(run: Run) -> None:
    answer = where(run, 0.3, 0.6)
    assert [token.text for token in answer.tokens if token.role == "word"] == ["a", "fox", "on", "red"]
    assert sum(token.share for token in answer.tokens) == pytest.approx(1.0, abs=0.03)
    assert [token.role for token in answer.tokens if token.role != "word"][:1] == ["start"]
    assert all(token.score is None for token in answer.tokens)


def test_what_a_word_adds_is_its_share_times_its_length(run: Run) -> None:
    assert run.maps is not None
    assert run.maps.lengths is not None
    layer = run.maps.layers[1].name
    answer = where(run, 0.3, 0.6, {"step": 2, "layers": [layer], "head": 0})
    words = [token for token in answer.tokens if token.role == "word"]
    for place, token in enumerate(words):
        assert token.output == pytest.approx(token.share * run.maps.lengths[place, 1, 0], rel=1e-4)
    assert all(token.output is not None and token.output > 0 for token in answer.tokens)


def test_where_a_place_looks_is_a_distribution(run: Run) -> None:
    looks = where(run, 0.1, 0.9).looks
    assert looks is not None
    assert float(looks.sum()) == pytest.approx(1.0, abs=0.02)


def test_scores_of_one_lane_are_the_logarithms_of_its_shares(run: Run) -> None:
    assert run.maps is not None
    layer = run.maps.layers[0].name
    answer = where(run, 0.5, 0.5, {"step": 2, "layers": [layer], "head": 1})
    start, *words = answer.tokens
    assert start.score == pytest.approx(0.0)
    for token in words:
        assert token.score == pytest.approx(math.log(max(token.share, 1e-6) / start.share))


def test_the_shares_are_those_of_the_pipelines_own_maps(studio: Studio, run: Run) -> None:
    pipe = studio.models.get("tiny")
    recipe = run.recipe
    maps = Pipeline(pipe.model)(recipe, maps=capture(pipe, recipe)).maps
    assert maps is not None
    theirs = maps.where(0.3, 0.6)
    ours = {token.text: token.share for token in where(run, 0.3, 0.6).tokens}
    for word, share in theirs.words:
        assert ours[str(word)] == pytest.approx(share, abs=0.01)
    assert ours["begin of text"] == pytest.approx(theirs.begin, abs=0.01)


@pytest.mark.parametrize(
    ("x", "y", "selection", "said"),
    [
        (1.2, 0.5, None, "x is 1.2"),
        (0.5, "a", None, "y is 'a'"),
        (0.5, 0.5, {"step": 9}, "step is 9"),
        (0.5, 0.5, {"head": "x"}, "head is 'x'"),
        (0.5, 0.5, {"layers": {"a": 1}}, "layers is"),
    ],
)
def test_a_place_that_cannot_be_is_told(run: Run, x: object, y: object, selection: object, said: str) -> None:
    with pytest.raises((BadValue, UnknownName), match=said):
        where(run, x, y, selection)  # type: ignore[arg-type]


def test_server_functions_answer_whatever_comes(studio: Studio, run: Run) -> None:
    where_of, maps_of = server_functions(studio)
    assert where_of([run.id, 0.5, 0.5, None])["tokens"]
    (block,) = maps_of([run.id, {"step": 1, "layers": None, "head": None}])
    assert block["shape"][:4] == [4, 1, 1, 1]
    for strange in (None, [], "x", [run.id], ["nobody", 0, 0, {}], [run.id, 0.5, 0.5, {"layers": ["x"] * 99}]):
        assert where_of(strange)["tokens"] == []
        assert "note" in where_of(strange)
    assert maps_of(["nobody", {}]) == maps_of({"a": 1}) == []
    ledger = ledger_function(studio)
    assert "at most 4000" in ledger("a" * 5000)["error"]
    assert ledger(None)["words"] == []


def test_the_table_of_words_names_where_each_is_greatest(run: Run) -> None:
    told = insight(run)
    assert told is not None
    assert [row["text"] for row in told["words"]] == ["a", "fox", "on", "red"]
    assert all(0 < row["share"] < 1 for row in told["words"])


def test_a_shared_page_fits_and_asks_nobody(run: Run) -> None:
    text = share_page(run)
    assert len(text.encode()) < 3_000_000
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert np.char.count(text, "a fox, on red") > 0


def test_a_model_that_is_not_on_the_shelf_is_never_opened(studio: Studio) -> None:
    with pytest.raises(UnknownName, match="There is no model"):
        list(studio.draw("ann", Recipe("a fox"), model="../secret"))
    with pytest.raises(UnknownName, match="There is no model"):
        studio.models.usual("/etc")
    assert studio.models.usual("tiny")[:2] == (64, 64)


def test_a_share_that_an_edit_raised_is_told_as_it_is(studio: Studio) -> None:
    recipe = Recipe("a fox, on red", seed=1, num_inference_steps=2, edits=(Reweight("fox", 10.0),))
    *_, last = studio.draw("ann", recipe, model="tiny")
    assert isinstance(last, Drawn)
    maps = last.run.maps
    assert maps is not None
    step, layer, head = map(int, np.unravel_index(maps.scales[1].argmax(), maps.scales[1].shape))
    height, width = maps.values.shape[4:]
    row, column = map(int, np.unravel_index(maps.values[1, step, layer, head].argmax(), (height, width)))
    lane = {"step": maps.steps[step], "layers": [maps.layers[layer].name], "head": head}
    answer = where(last.run, (column + 0.5) / width, (row + 0.5) / height, lane)
    (fox,) = (token.share for token in answer.tokens if token.text == "fox")
    assert fox == pytest.approx(float(maps.scales[1].max()))
    assert fox > 1
    assert view_of(last.run).raised
