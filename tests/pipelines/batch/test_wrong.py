"""What goes wrong in a batch is told, costs only what it must, and leaves whole files."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pipelines import batch
from pipelines.batch import Failed, Made, Options
from pipelines.batch.manifest import REJECTED, read_manifest
from pipelines.pipeline import Pipeline
from tests.pipelines.batch.runs import ROWS, begins_with, drawn, ended, failing, notices, pictures
from xattn.errors import Cancelled, CannotWrite

BAD: list[object] = ["a fox", {"prompt": "a", "width": 31}, {"prompt": "a <lora:none:1>"}, 5]


def test_all_bad_rows_are_told_before_anything_is_made(pipe: Pipeline, tmp_path: Path) -> None:
    with pytest.raises(batch.BadRows) as caught:
        drawn(pipe, BAD, tmp_path / "out")
    assert [(one.row, one.line) for one in caught.value.rejected] == [(2, 2), (3, 3), (4, 4)]
    assert "memory:2: width is 31" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_bad_rows_can_be_skipped_and_are_on_record(pipe: Pipeline, tmp_path: Path) -> None:
    events = drawn(pipe, BAD, tmp_path, Options(on_error="skip"))
    assert (ended(events).made, ended(events).rejected, ended(events).complete) == (1, 3, False)
    records = [json.loads(line) for line in (tmp_path / REJECTED).read_text().splitlines()]
    assert [record["line"] for record in records] == [2, 3, 4]
    drawn(pipe, BAD[:1], tmp_path, Options(on_error="skip"))
    assert not (tmp_path / REJECTED).exists(), "mended"


def test_words_to_watch_that_a_prompt_lacks_make_its_row_bad(pipe: Pipeline, tmp_path: Path) -> None:
    with pytest.raises(batch.BadRows, match='no word "fox"'):
        drawn(pipe, ["a fox", "a cat"], tmp_path / "out", Options(words=("fox",)))


def test_a_row_whose_recipe_no_jpeg_can_hold_is_bad_before_anything_is_made(pipe: Pipeline, tmp_path: Path) -> None:
    rows = ["a fox", {"prompt": "a cat" + " " * 40_000, "negative_prompt": "a" + " " * 40_000}]
    with pytest.raises(batch.BadRows, match=r"memory:2: The recipe is too long for a \.jpg; save the batch as png"):
        drawn(pipe, rows, tmp_path / "out", Options(form="jpg"))
    assert not (tmp_path / "out").exists()
    assert batch.plan(rows, pipe=pipe, options=Options(form="webp")).pictures == 2


def test_a_run_that_fails_twice_costs_only_its_own_picture(pipe: Pipeline, tmp_path: Path) -> None:
    rows = [{"prompt": "a fox", "seed": "0-3"}]

    def broken(sample: torch.Tensor) -> RuntimeError | None:
        return RuntimeError("the device has lost its mind") if begins_with(sample, 1) else None

    with failing(pipe, broken):
        events = drawn(pipe, rows, tmp_path, Options(batch_size=4, on_error="skip"))
    assert (ended(events).made, ended(events).failed, ended(events).complete) == (3, 1, False)
    (record,) = [json.loads(line) for line in (tmp_path / REJECTED).read_text().splitlines()]
    assert (record["stage"], record["tries"], record["document"]["seed"]) == ("run", 2, 1)
    assert ended(drawn(pipe, rows, tmp_path, Options(batch_size=4))).made == 1, "the next run tries it again"
    assert not (tmp_path / REJECTED).exists()


def test_a_run_that_fails_once_is_tried_again(pipe: Pipeline, tmp_path: Path) -> None:
    once = iter([RuntimeError("a cosmic ray")])
    with failing(pipe, lambda _: next(once, None)):
        events = drawn(pipe, ROWS, tmp_path)
    assert ended(events).complete
    assert not [event for event in events if isinstance(event, Failed)]


def test_stop_ends_at_the_first_failure_and_keeps_what_was_drawn(pipe: Pipeline, tmp_path: Path) -> None:
    with (
        failing(pipe, lambda sample: RuntimeError("broken") if begins_with(sample, 9) else None),
        pytest.raises(batch.RunFailed, match="what was drawn before is kept"),
    ):
        drawn(pipe, [ROWS[0], {"prompt": "a dog", "seed": 9, "num_inference_steps": 3}], tmp_path)
    assert len(pictures(tmp_path)) == len(batch.entries(tmp_path)) == 3


def test_memory_that_runs_out_makes_batches_smaller_and_is_remembered(pipe: Pipeline, tmp_path: Path) -> None:
    rows = [{"prompt": "a fox", "seed": "0-7", "guidance_scale": 1}]

    def small(sample: torch.Tensor) -> torch.OutOfMemoryError | None:
        return torch.OutOfMemoryError("no room") if len(sample) > 2 else None

    with failing(pipe, small):
        events = drawn(pipe, rows, tmp_path, Options(batch_size=8))
    assert ended(events).complete
    assert "it is 2 at once" in notices(events)
    assert json.loads((tmp_path / "batch.json").read_text())["limits"] == [[0, 2], [0, 4]]
    assert {entry.provenance["batch"] for entry in batch.entries(tmp_path)} == {2}
    whole = pictures(tmp_path)
    for name in sorted(whole)[::3]:
        (tmp_path / name).unlink()
    drawn(pipe, rows, tmp_path, Options(batch_size=8))
    assert pictures(tmp_path) == whole, "as small again, so that pictures are equal"


def test_cancel_ends_between_two_steps_with_all_that_was_drawn_on_the_disk(pipe: Pipeline, tmp_path: Path) -> None:
    cancel = threading.Event()
    events = batch.run(ROWS, out=tmp_path, options=Options(batch_size=1), pipe=pipe, cancel=cancel)
    while not isinstance(next(events), Made):
        pass
    cancel.set()
    with pytest.raises(Cancelled):
        list(events)
    entries = batch.entries(tmp_path)
    assert 1 <= len(entries) < 5
    assert {entry.file for entry in entries} == set(pictures(tmp_path))
    drawn(pipe, ROWS, tmp_path)


def test_closing_the_generator_writes_what_was_drawn_and_frees_the_folder(pipe: Pipeline, tmp_path: Path) -> None:
    events = batch.run(ROWS, out=tmp_path, options=Options(batch_size=1), pipe=pipe)
    for event in events:
        if isinstance(event, Made):
            break
    events.close()  # type: ignore[attr-defined]
    assert {entry.file for entry in batch.entries(tmp_path)} == set(pictures(tmp_path))
    assert ended(drawn(pipe, ROWS, tmp_path)).complete


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB, mounted for real."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_ends_the_run_and_with_room_it_goes_on(pipe: Pipeline, tmp_path: Path, small_disk: Path) -> None:
    rows = [{"prompt": "a fox", "seed": "0-9"}]
    drawn(pipe, rows, tmp_path / "whole")
    out = small_disk / "out"
    with pytest.raises(CannotWrite, match="no space left on device"):
        drawn(pipe, rows, out)
    entries = batch.entries(out)
    assert 1 <= len(entries) < 10
    read = read_manifest(out)
    assert (read.broken, read.torn) == (0, False)
    whole = pictures(tmp_path / "whole")
    assert all((out / entry.file).read_bytes() == whole[entry.file] for entry in entries)
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    assert ended(drawn(pipe, rows, out)).made == 10 - len(entries)
    assert pictures(out) == whole
    assert not list(out.glob(".xattn-*"))


def test_a_read_only_folder_is_told_when_run_is_called(pipe: Pipeline, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(CannotWrite, match="read-only file system"):
        batch.run(ROWS, out=small_disk / "out", pipe=pipe)


def test_a_file_is_no_folder(pipe: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(CannotWrite, match="it is a file"):
        batch.run(ROWS, out=tmp_path / "out", pipe=pipe)
