"""Drawing as the page sees it: stopped within a step, closed without a trace, one after the other."""

from __future__ import annotations

import gc
import threading
import time
from pathlib import Path

import pytest

from pipelines.recipe import Recipe
from ui.web.limits import Limits
from ui.web.models import Models
from ui.web.runs import Run, Runs
from ui.web.stored_maps import StoredMaps
from ui.web.studio import Drawing, Drawn, Studio, Waiting, _Worker, sentence
from xattn.errors import BadValue, Cancelled

LONG = Recipe("a fox", seed=1, num_inference_steps=400)


@pytest.fixture(scope="module")
def studio(model: Path) -> Studio:
    """A studio with the tiny model."""
    studio = Studio(Models.in_folder(model.parent), Limits())
    studio.models.get("tiny")
    return studio


def test_stop_ends_a_run_within_a_step(studio: Studio) -> None:
    steps: list[int] = []

    def watch() -> None:
        for event in studio.draw("ann", LONG, model="tiny"):
            if isinstance(event, Drawing):
                steps.append(event.step)
                if len(steps) == 3:
                    assert studio.line.stop("ann") == 1

    with pytest.raises(Cancelled):
        watch()
    assert steps[-1] < 100, "it was told at its third event, and there are 400 steps"
    assert studio.runs.of("ann") == ()


def test_a_generator_that_is_closed_ends_its_run_and_leaves_the_line(studio: Studio) -> None:
    events = studio.draw("ann", LONG, model="tiny")
    while not isinstance(next(events), Drawing):
        pass
    began = time.monotonic()
    events.close()  # type: ignore[attr-defined]
    assert time.monotonic() - began < 30
    *_, last = studio.draw("bob", Recipe("a cat", num_inference_steps=2), model="tiny")
    assert isinstance(last, Drawn)


def kept() -> int:
    """How many pictures and maps are in memory."""
    gc.collect()
    return sum(type(one) in (Run, StoredMaps) for one in gc.get_objects())


@pytest.mark.parametrize("done", [False, True], ids=["while it is drawn", "when it is done, and nobody was told yet"])
def test_of_a_run_whose_tab_was_closed_nothing_is_kept(studio: Studio, done: bool) -> None:
    before = kept()
    events = studio.draw("gone", Recipe("a fox", seed=1, num_inference_steps=4 if done else 400), model="tiny")
    while not isinstance(next(events), Drawing):
        pass
    if done:
        for thread in threading.enumerate():
            if thread.name == "xattn-draw":
                thread.join()
    studio.leave("gone")
    with pytest.raises(Cancelled):
        list(events)
    del events
    assert studio.runs.of("gone") == ()
    assert (studio.runs.nbytes("gone"), studio.files.nbytes("gone"), studio.line.draws("gone")) == (0, 0, False)
    assert kept() == before


def test_a_tab_that_is_closed_while_its_maps_are_put_away_keeps_nothing(studio: Studio) -> None:
    class Late(Runs):
        """The tab is closed between the last look at the button and the picture's being kept."""

        def add(self, session: str, run: Run) -> None:
            late.leave(session)
            super().add(session, run)

    late = Studio(studio.models, Limits())
    late.runs = Late(late.limits)
    with pytest.raises(Cancelled):
        list(late.draw("gone", Recipe("a fox", seed=1), model="tiny"))
    assert late.runs.of("gone") == ()


def test_the_second_waits_for_the_first_and_is_told_so(studio: Studio) -> None:
    first = studio.draw("ann", LONG, model="tiny")
    while not isinstance(next(first), Drawing):
        pass
    second = studio.draw("bob", Recipe("a cat", num_inference_steps=2), model="tiny")
    told = next(second)
    assert isinstance(told, Waiting)
    assert told.ahead == 1
    first.close()  # type: ignore[attr-defined]
    *_, last = second
    assert isinstance(last, Drawn)
    assert last.run.recipe.prompt == "a cat"


def test_several_pictures_have_seeds_in_a_row(studio: Studio) -> None:
    events = list(studio.draw("cleo", Recipe("a cat", seed=5, num_inference_steps=2), count=3, model="tiny"))
    drawn = [event for event in events if isinstance(event, Drawn)]
    assert [one.run.recipe.seed for one in drawn] == [5, 6, 7]
    assert [(one.picture, one.pictures) for one in drawn] == [(1, 3), (2, 3), (3, 3)]
    assert len(studio.runs.of("cleo")) == 3


def test_the_time_that_is_left_counts_the_pictures_to_come(studio: Studio) -> None:
    asked = Recipe("a cat", seed=5, num_inference_steps=40)
    events = list(studio.draw("cleo", asked, count=3, model="tiny"))
    left = [one.left for one in events if isinstance(one, Drawing) and one.picture == 1 and one.step >= 10]
    assert left
    assert min(left) > max(left) / 4, "two more as long as it are to come"
    assert all(one.left == 0 for one in events if isinstance(one, Drawing) and (one.step, one.picture) == (40, 3))


def test_a_slow_first_step_does_not_count_for_the_time_that_is_left(studio: Studio) -> None:
    worker = _Worker(studio.models.get("tiny"), LONG, threading.Event())
    worker.steps = 10
    worker._began -= 100.0  # the text was read, and the first step took long
    worker._first = time.monotonic() - 4.0
    assert worker.left(5) == pytest.approx(5.0, abs=0.5)
    assert worker.left(5, more=1) == pytest.approx(15.0, abs=0.5)


def test_what_is_nobodys_mistake_has_an_id_and_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    said = sentence(RuntimeError("/secret/path"))
    assert "secret" not in said
    assert "error " in said
    assert "/secret/path" in caplog.text, "the log has it"
    assert sentence(BadValue("x", 1, "two")) == "x is 1, but it must be two."


def test_a_sentence_about_something_very_long_keeps_its_remedy() -> None:
    said = sentence(BadValue("regions", "x" * 10**6, "a list of regions", "Leave some out"))
    assert len(said) < 2000
    assert said.startswith("regions is 'xxx")
    assert said.endswith("it must be a list of regions. Leave some out.")
