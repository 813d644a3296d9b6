"""A look at the UNet while it trains: share of single objects recognised, in the log and as a sheet of pictures."""

from __future__ import annotations

from pathlib import Path

from diffusers import AutoencoderKL
from PIL import Image
from transformers import CLIPTokenizer

from weights.train import evaluate, judge, unet
from weights.train.draw import Drawer, sheet
from weights.train.loop import Log, Run
from weights.train.stages import Watch


def watcher(folder: Path, vae: AutoencoderKL, tokenizer: CLIPTokenizer) -> Watch | None:
    """For `unet.train(watch=…)`; None, with a printed sentence, where no judge has been trained yet."""
    if not judge.WEIGHTS.exists():
        print("There is no judge yet (`python -m weights.train judge`), so only the loss is logged.", flush=True)
        return None
    referee = judge.load()
    singles, pairs = evaluate.singles_of(1)[::10], evaluate.pairs_of(12)
    captions = [scene.caption for scene in singles + pairs]

    def watch(pair: unet.Pair, run: Run, log: Log) -> None:
        parts = (pair.unet, pair.text, vae, tokenizer, unet.scheduler())
        log.note(run, **evaluate.singles(*parts, judge=referee))
        pictures = Drawer(*parts, fast=True)(captions, range(len(captions)))
        Image.fromarray(sheet(pictures)).save(folder / "look.png")

    return watch
