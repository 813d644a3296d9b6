"""What the speed benchmarks ask alike: a model, a dtype, rounds, steps, a size and threads."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

from benchmarks.sized import sd15_size
from pipelines.load import locate
from xattn import XattnError

SIZED = "sd15-size"
"""A model of Stable Diffusion 1.5's size with random weights, whose decoding is not timed."""
EMBEDDED = "emoji-128"


def parser(module: str, doc: str | None, steps: str) -> argparse.ArgumentParser:
    """With these options. doc: the module's own; steps: how many there are by default, in words."""
    made = argparse.ArgumentParser(prog=f"python -m {module}", description=(doc or "").split("\n")[0])
    made.add_argument("--model", default=EMBEDDED, help=f"{EMBEDDED}, {SIZED} (no decoding timed), or a folder")
    made.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    made.add_argument("--rounds", type=int, default=10)
    made.add_argument("--steps", type=int, help=f"default: {steps}")
    made.add_argument("--size", type=int, help="pixels of a side; default: the model's own")
    made.add_argument("--threads", type=int, default=torch.get_num_threads())
    return made


def begin(asked: argparse.Namespace) -> Path | None:
    """Set the threads and find the model's folder; None, with a sentence to stderr, where there is none."""
    torch.set_num_threads(asked.threads)
    try:
        return sd15_size() if asked.model == SIZED else locate(asked.model)[1]
    except XattnError as error:
        print(error, file=sys.stderr)
        return None


def side(folder: Path, asked: argparse.Namespace) -> int:
    """Pixels of a side: as asked, or the model's own."""
    unet = json.loads((folder / "unet" / "config.json").read_text())
    vae = json.loads((folder / "vae" / "config.json").read_text())
    return int(asked.size or unet["sample_size"] * 2 ** (len(vae["block_out_channels"]) - 1))


def shown(asked: argparse.Namespace) -> str:
    """The model's name in a report, which tells no path."""
    return str(asked.model) if asked.model in (EMBEDDED, SIZED) else "path"
