"""What watching costs over words and sizes: percent of the same round, of pictures that it left alone, on a chart."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.chart import COLORS, INK, SIZE, TOP, Chart, beside
from benchmarks.growth import _added, main
from benchmarks.overhead import Peer, rounds_in_step, same_bits
from tests.models import write_model

COUNTS = {"xattn": 2, "materialised": 2}


def test_percent_is_of_the_plain_picture_of_the_same_round() -> None:
    added = _added({"plain": [1.0, 2.0], "one": [1.5, 2.0], "two": [2.0, 1.0]}, "plain")
    assert added == {"one": [50.0, 0.0], "two": [100.0, -50.0]}


def test_a_picture_that_watching_changes_is_not_measured() -> None:
    plain, other = np.zeros((2, 2, 3), np.uint8), np.ones((2, 2, 3), np.uint8)
    same_bits([Peer("plain", lambda _: plain), Peer("maps", lambda _: plain.copy())])
    with pytest.raises(AssertionError, match="maps changed the picture"):
        same_bits([Peer("plain", lambda _: plain), Peer("maps", lambda _: other)])


def test_peers_in_step_take_turns_and_each_pays_for_its_own_steps() -> None:
    order: list[str] = []

    def drawing(name: str, steps: int, seconds: float) -> Peer:
        def begin(whole: bool) -> Iterator[object]:
            assert whole
            for step in range(steps):
                time.sleep(seconds)
                order.append(f"{name}{step}")
                yield step

        return Peer(name, lambda _: None, begin)

    taken = rounds_in_step([drawing("a", 3, 0.01), drawing("b", 3, 0.0), drawing("c", 1, 0.0)], 2, whole=True)
    assert [sorted(order[start : start + 3]) for start in (0, 7)] == [["a0", "b0", "c0"]] * 2
    assert [sorted(order[start : start + 2]) for start in (3, 5)] == [["a1", "b1"], ["a2", "b2"]]
    assert order[:3] != order[7:10], "who is first moves on"
    assert {name: len(each) for name, each in taken.items()} == {"a": 2, "b": 2, "c": 2}
    assert min(taken["a"]) >= 0.03


def test_the_command_measures_words_and_sizes_and_draws_both(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = write_model(tmp_path / "tiny"), tmp_path / "charts" / "out.png"
    few = ["--rounds", "2", "--steps", "8", "--threads", "1"]
    assert main(["--model", str(folder), *few, "--sizes", "32", "64", "--out", str(out)]) == 0
    *lines, named, report = capsys.readouterr().out.splitlines()
    made = json.loads(report)
    assert {name: len(taken) for name, taken in made["words"].items()} == dict.fromkeys(("1", "2", "4", "8", "all"), 2)
    assert list(made["sizes"]) == ["32", "64"]
    assert all({name: len(taken) for name, taken in both.items()} == COUNTS for both in made["sizes"].values())
    assert [line.split(":")[0] for line in lines[:2]] == ["maps of 1 word", "maps of 2 words"]
    assert lines[-1].startswith("two words at 64, materialised: ")
    assert named == str(out)
    with Image.open(out) as picture:
        assert picture.size == (2 * SIZE[0], SIZE[1])


def test_a_model_that_is_none_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--model", "emoji-129", "--out", str(tmp_path / "out.png")]) == 2
    assert 'There is no model "emoji-129".' in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def reach(image: Image.Image, x: int) -> tuple[int, int]:
    """The first and the last row, below the legend, in which a column has the first line's colour."""
    rows = np.flatnonzero((np.asarray(image)[TOP - 4 :, x] == COLORS[0]).all(axis=1)) + TOP - 4
    return int(rows[0]), int(rows[-1])


def test_a_dot_stands_at_its_median_and_a_stroke_over_its_quartiles() -> None:
    lines = {"xattn": [[1.0] * 4, [2.0, 2.0, 2.0, 3.0, 3.0, 0.0, 3.0, 2.0, 1.0]]}
    image = Chart("t", "u", ("1", "2"), lines).drawn()
    low, high = image.height - 60, TOP  # 0 and 3 percent, which the axis ends at
    at = {percent: high + (low - high) * (3 - percent) / 3 for percent in (1, 2, 3)}
    dot, stroke = reach(image, 183), reach(image, 421)  # a quarter and three quarters along
    assert dot == pytest.approx((at[1] - 4, at[1] + 4), abs=1)
    assert stroke == pytest.approx((at[3], at[2] + 4), abs=1)


@pytest.mark.parametrize("most", [0.1, 7.0, 90.0, 2_000.0, 5e6])
@pytest.mark.parametrize("least", [0.0, -40.0])
def test_whatever_was_measured_fits_between_the_ends(least: float, most: float) -> None:
    image = Chart("t", "u", ("1", "2"), {"xattn": [[least] * 3, [most] * 3]}, (3.0, "the bar")).drawn()
    first, second = reach(image, 183), reach(image, 421)
    assert TOP - 5 <= second[0] <= second[1] < first[1] <= image.height - 60 + 5


def test_the_bar_is_dashed_across_at_its_height() -> None:
    chart = Chart("t", "u", ("1",), {"xattn": [[1.0] * 3]}, (3.0, ""))
    row = (np.asarray(chart.drawn())[TOP] == INK).all(axis=1)
    assert 0.4 < row[64:540].mean() < 0.7, "3 percent is the upper end"
    assert not (np.asarray(Chart("t", "u", ("1",), chart.lines).drawn())[TOP] == INK).all(axis=1).any()


def test_charts_stand_beside_each_other() -> None:
    one, other = (Chart(name, "u", ("1",), {"xattn": [[value]]}) for name, value in (("a", 1.0), ("b", 2.0)))
    whole = beside((one, other))
    assert whole.crop((0, 0, *SIZE)).tobytes() == one.drawn().tobytes()
    assert whole.crop((SIZE[0], 0, 2 * SIZE[0], SIZE[1])).tobytes() == other.drawn().tobytes()
