"""Files that endpoints answered: a folder of the page's own, bounds for a session and for all, and an end."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ui.web.files import GRADIO, Files, own_folder
from ui.web.limits import Limits
from xattn.errors import CannotWrite


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(GRADIO, str(tmp_path))
    return tmp_path


def sizes(folder: Path) -> list[int]:
    return sorted(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_thirty_pictures_take_no_more_room_than_a_session_has(folder: Path) -> None:
    files = Files(Limits(session_file_bytes=1000))
    paths = [files.put("ann", "fox.png", bytes(300)) for _ in range(30)]
    assert [path.exists() for path in paths] == [False] * 27 + [True] * 3
    assert sizes(folder) == [300, 300, 300]
    assert len(list(folder.iterdir())) == 3, "empty folders neither"


def test_all_sessions_together_have_a_bound_and_the_oldest_file_goes(folder: Path) -> None:
    files = Files(Limits(session_file_bytes=1000, file_bytes=1500))
    first, *_ = [files.put(name, "fox.png", bytes(400)) for name in ("ann", "bob", "cleo")]
    assert first.exists()
    files.put("dan", "fox.png", bytes(400))
    assert not first.exists()
    assert files.nbytes() == 1200


def test_a_file_goes_with_its_session_and_after_its_time(folder: Path) -> None:
    files = Files(Limits(file_seconds=0.0))
    old = files.put("ann", "fox.png", bytes(3))
    new = files.put("bob", "fox.png", bytes(3))
    assert (old.exists(), new.exists()) == (False, True)
    files.forget("bob")
    assert sizes(folder) == []


def test_a_file_larger_than_any_budget_is_there_to_be_fetched(folder: Path) -> None:
    assert Files(Limits(session_file_bytes=1, file_bytes=1)).put("ann", "fox.png", bytes(9)).exists()


def test_names_cannot_be_guessed_from_what_is_inside(folder: Path) -> None:
    files = Files(Limits())
    assert len({files.put("ann", "fox.png", b"same").parent for _ in range(9)}) == 9


def test_each_page_has_a_folder_of_its_own_and_leaves_nothing(folder: Path) -> None:
    with own_folder() as own:
        assert own.parent == folder
        assert own.stat().st_mode & 0o077 == 0, "nobody else on the machine reads it"
        assert os.environ[GRADIO] == str(own)
        path = Files(Limits()).put("ann", "fox.png", b"x")
        assert own in path.parents
    assert os.environ[GRADIO] == str(folder)
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_a_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "file").write_text("")
    monkeypatch.setenv(GRADIO, str(folder / "file" / "inside"))
    with pytest.raises(CannotWrite, match="set GRADIO_TEMP_DIR to a folder"), own_folder():
        pass


def test_what_a_killed_page_left_goes_at_the_next_start_and_a_living_ones_stays(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with own_folder() as living:
        monkeypatch.setenv(GRADIO, str(folder))
        killed, new = folder / "xattn-ui-left", folder / "xattn-ui-new"
        for one in (killed, new):
            one.mkdir()
        (killed / "fox.png").write_bytes(b"x")
        for one in (killed, living):
            (one / ".lock").touch()
            os.utime(one / ".lock", (time.time() - 5, time.time() - 5))
        with own_folder():
            assert living.exists()
            assert not killed.exists(), "though something was written into it just now"
            assert new.exists(), "its page has no lock yet"
        os.utime(new, (0, 0))
        with own_folder():
            assert not new.exists()
