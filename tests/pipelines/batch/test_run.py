"""A run draws what is missing, tells what it does, and leaves whole files whatever goes wrong."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageChops

from pipelines import batch
from pipelines.batch import Ended, Failed, Made, Noticed, Options, Planned
from pipelines.batch.manifest import MANIFEST, REJECTED, read_manifest
from pipelines.metadata import read_recipe
from pipelines.pipeline import Pipeline
from pipelines.text import AnyTower
from xattn.errors import Cancelled, CannotWrite

ROOT = Path(__file__).parents[3]
ROWS: list[Mapping[str, object]] = [
    {"prompt": "a fox", "seed": "0-2"},
    {"prompt": "a cat on red", "seed": 4, "width": 32},
    {"prompt": "a dog", "seed": 9},
]
TWO = Options(batch_size=2)


def drawn(pipe: Pipeline, rows: object, out: Path, options: Options = TWO) -> list[batch.Event]:
    return list(batch.run(rows, out=out, options=options, pipe=pipe))  # type: ignore[arg-type]


def ended(events: list[batch.Event]) -> Ended:
    assert isinstance(events[-1], Ended)
    return events[-1]


def notices(events: list[batch.Event]) -> str:
    return "\n".join(event.text for event in events if isinstance(event, Noticed))


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


@contextmanager
def failing(pipe: Pipeline, fails: Any) -> Iterator[None]:
    """A UNet that raises what `fails` says of its sample, as a device does that has no memory or is broken."""

    def look(_: torch.nn.Module, arguments: tuple[Any, ...]) -> None:
        if (error := fails(arguments[0])) is not None:
            raise error

    handle = pipe.model.unet.register_forward_pre_hook(look)
    try:
        yield
    finally:
        handle.remove()


def begins_with(sample: torch.Tensor, seed: int) -> bool:
    noise = torch.randn((1, *sample.shape[1:]), generator=torch.Generator().manual_seed(seed))
    return any(torch.allclose(one, noise[0], atol=1e-5) for one in sample)


def test_every_picture_has_a_name_a_line_and_its_recipe(pipe: Pipeline, tmp_path: Path) -> None:
    events = drawn(pipe, ROWS, tmp_path)
    assert isinstance(events[0], Planned)
    assert (ended(events).made, ended(events).total, ended(events).complete) == (5, 5, True)
    entries = batch.entries(tmp_path)
    assert {entry.file for entry in entries} == set(pictures(tmp_path))
    assert [event.done for event in events if isinstance(event, Made)] == [1, 2, 3, 4, 5]
    for entry in entries:
        path = tmp_path / entry.file
        recipe = read_recipe(path)
        assert recipe.hash == entry.hash == entry.to_recipe().hash
        assert path.name == f"{entry.row:05d}-{recipe.seed}-{entry.hash[:8]}.png"
        assert hashlib.sha256(path.read_bytes()).hexdigest() == entry.sha256
        assert entry.provenance["batch"] in (1, 2)
    assert not (tmp_path / REJECTED).exists()


def test_a_batchs_picture_is_the_calls_picture(pipe: Pipeline, tmp_path: Path) -> None:
    drawn(pipe, [{"prompt": "a fox on red", "seed": 3}], tmp_path)
    alone = pipe("a fox on red", seed=3)
    alone.save(tmp_path / "alone.txt.png")
    (name,) = {path.name for path in tmp_path.glob("0*.png")}
    assert (tmp_path / name).read_bytes() == (tmp_path / "alone.txt.png").read_bytes()


def test_a_second_run_draws_nothing(pipe: Pipeline, tmp_path: Path) -> None:
    drawn(pipe, ROWS, tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir() if path.suffix in (".png", ".jsonl")}
    again = ended(drawn(pipe, ROWS, tmp_path))
    assert (again.made, again.kept) == (0, 5)
    after = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir() if path.suffix in (".png", ".jsonl")}
    assert before == after


def test_what_is_missing_is_drawn_with_its_old_neighbours_and_comes_out_equal(pipe: Pipeline, tmp_path: Path) -> None:
    drawn(pipe, ROWS, tmp_path)
    whole = pictures(tmp_path)
    lost = sorted(whole)[1::2]
    for name in lost:
        (tmp_path / name).unlink()
    events = drawn(pipe, ROWS, tmp_path)
    assert ended(events).made == len(lost)
    assert f"not in the folder as it was: {len(lost)} pictures" in notices(events)
    assert pictures(tmp_path) == whole


def test_a_picture_without_its_line_is_drawn_anew_in_its_place(pipe: Pipeline, tmp_path: Path) -> None:
    drawn(pipe, ROWS, tmp_path)
    whole = pictures(tmp_path)
    lines = (tmp_path / MANIFEST).read_bytes().splitlines(keepends=True)
    (tmp_path / MANIFEST).write_bytes(b"".join(lines[:3]) + lines[3][:40])
    events = drawn(pipe, ROWS, tmp_path)
    assert "torn by a kill" in notices(events)
    assert ended(events).made == 2
    assert pictures(tmp_path) == whole
    assert not read_manifest(tmp_path).torn


def test_verify_finds_a_changed_byte(pipe: Pipeline, tmp_path: Path) -> None:
    drawn(pipe, ROWS[2:], tmp_path)
    (name,) = pictures(tmp_path)
    good = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(good[:-20] + bytes([good[-20] ^ 1]) + good[-19:])
    assert ended(drawn(pipe, ROWS[2:], tmp_path)).made == 0, "only its size is looked at"
    assert ended(drawn(pipe, ROWS[2:], tmp_path, Options(verify=True))).made == 1


def test_another_files_name_is_never_taken(pipe: Pipeline, tmp_path: Path) -> None:
    drawn(pipe, ROWS[2:], tmp_path / "first")
    (name,) = pictures(tmp_path / "first")
    (tmp_path / "second").mkdir()
    (tmp_path / "second" / name).write_bytes(b"somebody's")
    drawn(pipe, ROWS[2:], tmp_path / "second")
    assert (tmp_path / "second" / name).read_bytes() == b"somebody's"
    (entry,) = batch.entries(tmp_path / "second")
    assert entry.file == f"{name.removesuffix('.png')}{entry.hash[8:16]}.png"


def test_a_changed_row_is_made_anew_and_said_and_changed_back_it_is_there(pipe: Pipeline, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"

    def written(*rows: Mapping[str, object]) -> Path:
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return file

    out = tmp_path / "out"
    drawn(pipe, written(*ROWS), out)
    events = drawn(pipe, written(ROWS[0], ROWS[1], {"prompt": "a dog on red", "seed": 9}), out)
    assert "Changed since the run before, and made anew: 1 row, 3." in notices(events)
    assert (ended(events).made, ended(events).kept) == (1, 4)
    assert len(pictures(out)) == 6, "the old one stays"
    assert {entry.to_recipe().prompt for entry in batch.entries(out)} == {"a fox", "a cat on red", "a dog on red"}
    assert len(batch.entries(out, superseded=True)) == 6
    assert ended(drawn(pipe, written(*ROWS), out)).made == 0
    assert "a dog" in {entry.to_recipe().prompt for entry in batch.entries(out)}


def test_a_row_put_before_others_changes_none_of_them(pipe: Pipeline, tmp_path: Path) -> None:
    drawn(pipe, ["a fox", "a cat"], tmp_path)
    events = drawn(pipe, ["a dog", "a fox", "a cat"], tmp_path)
    assert (ended(events).made, ended(events).kept) == (1, 2)


def test_equal_rows_are_drawn_once_and_said(pipe: Pipeline, tmp_path: Path) -> None:
    events = drawn(pipe, [ROWS[2], ROWS[2]], tmp_path)
    assert ended(events).total == 1
    assert "drawn once: 1 picture." in notices(events)


# -- what goes wrong -------------------------------------------------------------------------------------------------

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
    rows = [{"prompt": "a fox", "seed": "0-7"}]

    def small(sample: torch.Tensor) -> torch.OutOfMemoryError | None:
        return torch.OutOfMemoryError("no room") if len(sample) > 2 * 2 else None  # rows with and without the prompt

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


# -- groups ----------------------------------------------------------------------------------------------------------


def test_rows_that_go_together_are_grouped_and_others_are_not(pipe: Pipeline) -> None:
    rows = [{"prompt": "a fox", "width": width} for width in (32, 64, 32, 64, 32)]
    made = batch.plan(rows, options=Options(batch_size=2), pipe=pipe)
    assert [[item.row for item in group.items] for group in made.groups] == [[1, 3], [2, 4], [5]]


def test_another_row_that_is_drawn_along_does_not_change_a_picture_beyond_rounding(
    pipe: Pipeline, tmp_path: Path
) -> None:
    for size in (1, 4):
        drawn(pipe, ROWS, tmp_path / str(size), Options(batch_size=size))
    for name in pictures(tmp_path / "1"):
        with Image.open(tmp_path / "1" / name) as one, Image.open(tmp_path / "4" / name) as four:
            assert max(high for _, high in ImageChops.difference(one, four).getextrema()) <= 2


def test_equal_prompts_are_encoded_once(pipe: Pipeline, tmp_path: Path) -> None:
    tower = Counting(pipe.model.text.towers[0])
    counted = Pipeline(replace(pipe.model, text=replace(pipe.model.text, towers=(tower,))))
    drawn(counted, [{"prompt": "a fox on red", "seed": "0-5"}], tmp_path)
    assert tower.calls == 1


class Counting:
    """A tower and how often it was called."""

    def __init__(self, tower: AnyTower) -> None:
        self.tower, self.device, self.calls = tower, tower.device, 0

    def __call__(
        self, ids: torch.Tensor, *, skip: int = 0, normed: bool = True
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        self.calls += 1
        return self.tower(ids, skip=skip, normed=normed)


# -- edits -----------------------------------------------------------------------------------------------------------


def test_edits_and_sources_go_through_rows_and_sweeps(pipe: Pipeline, tmp_path: Path) -> None:
    rows = [
        {"prompt": "a fox on red", "seed": 3, "edits": [{"kind": "reweight", "word": "fox", "scale": 1.0}]},
        {
            "prompt": "a cat on red",
            "source": {"prompt": "a fox on red", "seed": 3},
            "edits": [{"kind": "reweight", "word": "cat", "scale": 1.0}, {"kind": "replace"}],
        },
    ]
    drawn(pipe, rows, tmp_path, Options(batch_size=4, sweep={"edits.0.scale": [0.5, 2.0]}))
    table = batch.table(tmp_path)
    assert sorted(table["edits.0.scale"]) == [0.5, 0.5, 2.0, 2.0]
    assert set(table["seed"]) == {3}
    for entry in batch.entries(tmp_path):
        with Image.open(tmp_path / entry.file) as image:
            alone = pipe(entry.to_recipe()).image
            assert max(high for _, high in ImageChops.difference(image, alone).getextrema()) <= 2
    assert len({entry.sha256 for entry in batch.entries(tmp_path)}) == 4


def test_pictures_of_one_source_are_drawn_with_it_once(pipe: Pipeline) -> None:
    rows = [
        {"prompt": f"a {word}", "source": {"prompt": "a fox", "seed": 3}, "edits": [{"kind": "replace"}]}
        for word in ("cat", "dog", "fox")
    ]
    made = batch.plan(rows, options=Options(batch_size=4), pipe=pipe)
    assert [len(group.items) for group in made.groups] == [3]


def test_the_names_of_a_batch_need_no_torch() -> None:
    code = "import sys, pipelines.batch; print([n for n in ('torch', 'numpy', 'PIL', 'pyarrow') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
