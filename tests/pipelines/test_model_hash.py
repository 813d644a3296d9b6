import hashlib
import os
import shutil
import time

import pytest

from pipelines.model_hash import model_hash
from xattn.errors import BadModel

FILES = {"unet/a.safetensors": b"one", "vae/b.safetensors": b"two", "unet.safetensors": b"three"}


def sha(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XATTN_CACHE", str(tmp_path / "cache"))
    made = tmp_path / "model"
    for name, data in FILES.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_bytes(data)
        age(made / name)
    (made / "model_index.json").write_text("{}")
    return made


def age(path, seconds=100):
    """As a file looks that was written a while ago."""
    then = time.time_ns() - seconds * 10**9
    os.utime(path, ns=(then, then))


def notes(tmp_path):
    return sorted((tmp_path / "cache").rglob("*.json"))


def test_the_hash_is_over_sorted_paths_and_contents(folder):
    text = "".join(f"{name}, {sha(data)}\n" for name, data in sorted(FILES.items()))
    assert model_hash(folder) == sha(text.encode())
    assert model_hash(str(folder)) == sha(text.encode())


def test_only_the_weights_count_not_where_they_lie(folder, tmp_path):
    before = model_hash(folder)
    (folder / "README.md").write_text("hello")
    shutil.copytree(folder, tmp_path / "elsewhere")
    assert model_hash(folder) == model_hash(tmp_path / "elsewhere") == before


@pytest.mark.parametrize("change", ["content", "name", "more"])
def test_any_change_of_the_weights_counts(folder, change):
    before = model_hash(folder)
    weights = folder / "vae/b.safetensors"
    if change == "content":
        weights.write_bytes(b"tow")
    elif change == "name":
        weights.rename(folder / "vae/c.safetensors")
    else:
        (folder / "vae/c.safetensors").write_bytes(b"")
    assert model_hash(folder) != before


def test_a_second_look_reads_no_weights(folder, tmp_path):
    before = model_hash(folder)
    assert len(notes(tmp_path)) == 3
    weights = folder / "unet/a.safetensors"
    kept = weights.stat()
    weights.write_bytes(b"eno")  # same size, and put back to the same time: only a reader of the content could tell
    os.utime(weights, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    assert model_hash(folder) == before


def test_what_changed_just_now_is_not_kept(folder, tmp_path):
    (folder / "unet/a.safetensors").write_bytes(b"new")
    model_hash(folder)
    assert len(notes(tmp_path)) == 2


@pytest.mark.parametrize("torn", [b"", b"{", b"[]", b'{"size": 3}', b"\xff"])
def test_a_torn_cache_is_passed_over(folder, tmp_path, torn):
    before = model_hash(folder)
    for note in notes(tmp_path):
        note.write_bytes(torn)
    assert model_hash(folder) == before


@pytest.mark.parametrize("where", ["file", "none", "dangling"])
def test_a_cache_that_cannot_be_written_only_costs_time(folder, tmp_path, monkeypatch, where):
    before = model_hash(folder)
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to("/nowhere/at/all")
    if where == "none":
        monkeypatch.delenv("XATTN_CACHE")
        monkeypatch.setenv("HOME", str(tmp_path / "file"))
    else:
        monkeypatch.setenv("XATTN_CACHE", str(tmp_path / where))
    assert model_hash(folder) == before


def test_the_cache_holds_no_path(folder, tmp_path):
    model_hash(folder)
    for note in notes(tmp_path):
        assert "model" not in note.name
        assert b"/" not in note.read_bytes()


def test_a_folder_without_weights_is_no_model(tmp_path):
    (tmp_path / "weights.ckpt").write_bytes(b"pickle")
    with pytest.raises(BadModel, match=r"no \.safetensors"):
        model_hash(tmp_path)
    with pytest.raises(BadModel):
        model_hash(tmp_path / "missing")
