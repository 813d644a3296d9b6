import errno
import os
import stat
from pathlib import Path

import pytest

from pipelines.files import cache_root, check_writable, write_new, write_whole
from xattn.errors import CannotWrite


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "a.bin"
    assert write_whole(path, b"one") == path
    write_whole(path, b"three")
    assert path.read_bytes() == b"three"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("call", ["replace", "fsync"])
@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, call, failure):
    path = tmp_path / "a.bin"
    write_whole(path, b"old")

    def fail(*_):
        raise failure

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(CannotWrite if isinstance(failure, OSError) else KeyboardInterrupt) as caught:
        write_whole(path, b"new")
    monkeypatch.undo()
    if isinstance(failure, OSError):
        assert "no space left" in str(caught.value)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_others_may_read_what_is_written_as_the_umask_allows(tmp_path):
    before = os.umask(0o022)
    try:
        write_whole(tmp_path / "a.bin", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.bin").stat().st_mode) == 0o644


def test_a_name_at_the_systems_limit_still_works(tmp_path):
    assert write_whole(tmp_path / ("n" * 255), b"").exists()


def test_a_folder_that_may_not_be_written_is_told_before_any_work(tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o555)
    if os.access(folder, os.W_OK):
        pytest.skip("root may write everywhere")
    with pytest.raises(CannotWrite, match="no permission"):
        check_writable(folder / "a.png")


def test_the_cache_root_is_where_the_user_says(monkeypatch, tmp_path):
    monkeypatch.setenv("XATTN_CACHE", str(tmp_path))
    assert cache_root() == tmp_path
    monkeypatch.setenv("XATTN_CACHE", "")
    monkeypatch.setenv("HOME", "/somewhere")
    assert cache_root() == Path("/somewhere/.cache/xattn")


def test_a_new_file_is_written_whole(tmp_path):
    assert write_new(tmp_path / "a.bin", b"one").read_bytes() == b"one"
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


@pytest.mark.parametrize("links", [True, False], ids=["with links", "without links"])
def test_a_new_file_never_replaces_one_that_is_there(tmp_path, monkeypatch, links):
    def no_links(*_):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    if not links:  # as on FAT
        monkeypatch.setattr(os, "link", no_links)
    path = write_new(tmp_path / "a.bin", b"one")
    with pytest.raises(FileExistsError):
        write_new(path, b"two")
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]
