"""The line before the device, and what sessions keep."""

from __future__ import annotations

import threading

import pytest
from PIL import Image

from pipelines.ledger import Ledger
from pipelines.provenance import Provenance
from pipelines.recipe import Recipe
from ui.web.limits import Limits
from ui.web.line import Line, LineFull
from ui.web.runs import NotKept, Run, Runs


def run(side: int = 8) -> Run:
    """A picture of one colour."""
    here = Provenance.here(dtype="float32", backend="auto", device="cpu", batch=1)
    return Run(Image.new("RGB", (side, side)), Recipe("a fox"), here, Ledger("a fox", (), ()), 1.0)


def test_who_comes_first_draws_first() -> None:
    line = Line(Limits())
    ann, bob = line.enter("ann", 4.0), line.enter("bob", 2.0)
    assert ann.wait(0)
    assert not bob.wait(0)
    ahead, seconds = line.before(bob)
    assert ahead == 1
    assert 3.5 < seconds <= 4.0
    line.leave(ann)
    assert bob.wait(0)
    assert line.before(bob) == (0, 0.0)


def test_who_leaves_the_middle_of_the_line_lets_nobody_draw_early() -> None:
    line = Line(Limits())
    first, middle, last = (line.enter(name, 1.0) for name in "abc")
    line.leave(middle)
    line.leave(middle)
    assert not last.wait(0)
    line.leave(first)
    assert last.wait(0)


def test_stop_ends_what_draws_and_leaves_what_waits() -> None:
    line = Line(Limits())
    draws, waits, other = line.enter("ann", 1.0), line.enter("ann", 1.0), line.enter("bob", 1.0)
    assert line.stop("ann") == 1
    assert (draws.cancel.is_set(), waits.cancel.is_set(), other.cancel.is_set()) == (True, False, False)
    line.leave(draws)
    line.leave(waits)
    again = line.enter("ann", 1.0)
    assert line.stop("ann") == 1, "nothing of hers draws, so what waits is taken out"
    assert again.cancel.is_set()
    assert not other.cancel.is_set()


def test_a_closed_tab_ends_all_of_its_runs() -> None:
    line = Line(Limits())
    tickets = [line.enter("ann", 1.0) for _ in range(3)]
    assert line.stop("ann", everything=True) == 3
    assert all(ticket.cancel.is_set() for ticket in tickets)


def test_a_full_line_says_so() -> None:
    line = Line(Limits(waiting=2, own_waiting=9))
    for name in "abc":
        line.enter(name, 1.0)
    with pytest.raises(LineFull, match="2 requests wait already"):
        line.enter("d", 1.0)


def test_nobody_takes_the_whole_line() -> None:
    line = Line(Limits(own_waiting=1))
    line.enter("ann", 1.0)
    line.enter("ann", 1.0)
    with pytest.raises(LineFull, match="1 of your own"):
        line.enter("ann", 1.0)
    line.enter("bob", 1.0)


def test_the_oldest_pictures_of_a_session_go_first_within_its_bytes() -> None:
    runs = Runs(Limits(session_bytes=3 * 8 * 8 * 2))
    first, second, third = run(), run(), run()
    runs.add("ann", first)
    runs.add("ann", second)
    runs.get(first.id)  # used again, so the second is now the oldest
    runs.add("ann", third)
    assert runs.of("ann") == (first, third)
    assert runs.nbytes("ann") <= 3 * 8 * 8 * 2
    with pytest.raises(NotKept, match="draw it again"):
        runs.get(second.id)


def test_a_picture_larger_than_the_budget_is_kept_alone() -> None:
    runs = Runs(Limits(session_bytes=10))
    runs.add("ann", run())
    large = run(64)
    runs.add("ann", large)
    assert runs.of("ann") == (large,)


def test_sessions_see_their_own_and_a_closed_one_leaves_nothing() -> None:
    runs = Runs(Limits(sessions=2))
    hers, his = run(), run()
    runs.add("ann", hers)
    runs.add("bob", his)
    assert runs.of("ann") == (hers,)
    assert runs.of("bob") == (his,)
    runs.forget("ann")
    assert runs.of("ann") == ()
    with pytest.raises(NotKept):
        runs.get(hers.id)
    runs.add("cleo", run())
    runs.add("dan", run())
    assert runs.of("bob") == (), "of more sessions than are kept the one that is longest unused goes"


@pytest.mark.parametrize("strange", [None, "", "../x", 7, ["a"], {"id": 1}])
def test_an_id_that_was_never_given_is_no_error_of_ours(strange: object) -> None:
    with pytest.raises(NotKept):
        Runs(Limits()).get(strange)


def test_what_all_sessions_keep_together_has_a_bound() -> None:
    runs = Runs(Limits(all_bytes=3 * 8 * 8 * 3))
    first, second, third, last = (run() for _ in range(4))
    for session, one in (("ann", first), ("ann", second), ("bob", third), ("cleo", last)):
        runs.add(session, one)
    assert runs.of("ann") == (second,), "the oldest of who is longest away"
    assert (runs.of("bob"), runs.of("cleo")) == ((third,), (last,))
    runs.add("cleo", run(16))
    assert (runs.of("ann"), runs.of("bob")) == ((), ())
    with pytest.raises(NotKept):
        runs.get(third.id)


def test_when_the_page_is_stopped_everything_ends() -> None:
    line = Line(Limits())
    own = threading.Event()
    tickets = [line.enter("ann", 1.0, own), line.enter("bob", 1.0)]
    line.close()
    assert own.is_set()
    assert all(ticket.cancel.is_set() for ticket in tickets)
