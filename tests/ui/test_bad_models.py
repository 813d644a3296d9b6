"""Folders and files that are no usable model: one sentence, exit code 2, nothing written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.ui.conftest import Xattn

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


def truncate(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) // 2])

    return change


def replace_by_foreign(folder: Path) -> None:
    save_file({"some.weight": torch.zeros(2)}, folder / WEIGHTS)


def replace_by_pickle(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "unet/diffusion_pytorch_model.bin")


def edit(name: str, **fields: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(config | fields))

    return change


def remove(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "no index": (remove("model_index.json"), "model_index.json"),
    "no VAE": (remove("vae"), "vae"),
    "no tokenizer files": (remove("tokenizer/vocab.json"), "tokenizer"),
    "no config": (remove("unet/config.json"), "config.json"),
    "truncated UNet": (truncate(WEIGHTS), "safetensors"),
    "truncated VAE": (truncate("vae/diffusion_pytorch_model.safetensors"), "vae"),
    "truncated text tower": (truncate("text_encoder/model.safetensors"), "safetensors"),
    "foreign weights": (replace_by_foreign, "safetensors"),
    "pickled weights": (replace_by_pickle, "safetensors"),
    "wider than its weights": (edit("unet/config.json", block_out_channels=[64, 64]), "config.json"),
    "deeper than its weights": (edit("unet/config.json", layers_per_block=2), "config.json"),
    "no scheduler's config": (remove("scheduler/scheduler_config.json"), "scheduler_config.json"),
    "defaults of another kind": (edit("defaults.json", stepz=2), "stepz"),
}


@pytest.mark.parametrize(("change", "word"), BROKEN.values(), ids=BROKEN)
def test_a_broken_model_is_one_sentence(
    xattn: Xattn, model: Path, tmp_path: Path, here: Path, change: Callable[[Path], None], word: str
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(model, broken)
    change(broken)
    done = xattn("generate", "a fox", "--model", broken)
    assert (done.code, done.out) == (2, ""), done
    assert len(done.err.splitlines()) == 1, done.err
    assert word in done.err, done.err
    assert list(here.iterdir()) == []


def test_a_single_file_is_told_how_to_become_a_folder(xattn: Xattn, here: Path) -> None:
    (here / "sd15.ckpt").write_bytes(b"PK\x03\x04")
    done = xattn("generate", "a fox", "--model", "sd15.ckpt")
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert "save_pretrained" in done.err
