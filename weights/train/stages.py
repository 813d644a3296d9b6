"""The stages of a training in order, each picking up where it was stopped.

`runs/<name>/` holds everything: `vae.pt`, `text.pt`, `unet.pt`, `decoder.pt` (whole states of the optimizers),
`vae_final.pt` (the autoencoder that the latents come from, closed once the text has been trained on them),
`tokenizer/` and logs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from transformers import CLIPTokenizer

from weights.train import data, decoder, text, tokenizer, unet, vae, workers
from weights.train.loop import Log, Run
from weights.train.world import world

FILLERS = ("a", "an", "and", "image", "picture", "of", "on", "to", "the", "background")
"""Words of the captions that name neither an object, nor a colour, nor a relation."""
RING_SEED = 1_000_000
"""Far from the seeds of the evaluation, however often a run is resumed."""

Watch = Callable[[unet.Pair, Run, Log], None]


def words() -> list[str]:
    """Everything that a caption of the world can say."""
    known = world()
    return [*known.objects, *known.colors, *known.relations, *FILLERS]


def steps_done(path: Path) -> int:
    """Steps in a checkpoint, 0 where there is none; the tensors are mapped, not read."""
    if not path.exists():
        return 0
    steps: int = torch.load(path, map_location="cpu", weights_only=True, mmap=True)["step"]
    return steps


def minutes_spent(path: Path) -> float:
    """Training minutes in a checkpoint, 0 where there is none."""
    if not path.exists():
        return 0.0
    seconds: float = torch.load(path, map_location="cpu", weights_only=True, mmap=True)["seconds"]
    return seconds / 60


def load_tokenizer(folder: Path) -> CLIPTokenizer:
    """The tokenizer of this run, built on first use."""
    if workers.rank() == 0 and not (folder / "tokenizer" / "vocab.json").exists():
        tokenizer.build(folder / "tokenizer", words())
    workers.wait()
    return data.load_tokenizer(folder / "tokenizer")


def autoencoder(folder: Path, minutes: float) -> AutoencoderKL:
    """Stage 1. The averaged autoencoder with standard latents, saved once as `vae_final.pt` and read ever after.

    Training it on would change the latents under the later stages: delete `vae_final.pt` to do that on purpose.
    """
    if not (folder / "vae_final.pt").exists():
        model = vae.train(folder, minutes)
        vae.even_out(model)
        if workers.rank() == 0:
            temporary = folder / "vae_final.tmp"
            torch.save(model.state_dict(), temporary)
            temporary.replace(folder / "vae_final.pt")
        workers.wait()
    return load_autoencoder(folder)


def load_autoencoder(folder: Path) -> AutoencoderKL:
    """The finished autoencoder of `vae_final.pt`, with the decoder of `decoder.pt` where that was trained on."""
    model = vae.build()
    model.load_state_dict(torch.load(folder / "vae_final.pt", map_location="cpu", weights_only=True))
    decoder.load_into(folder, model)
    return model.eval().requires_grad_(False)


def ring(
    folder: Path, model: AutoencoderKL, *, pairs: float, coarse: bool, colored: float, capacity: int, filled: int
) -> data.Ring:
    """Encoded scenes to learn from, other ones after each resumption."""
    seed = RING_SEED + 500_000 * workers.rank() + steps_done(folder / "text.pt") + steps_done(folder / "unet.pt")
    scenes = data.Ring(model, load_tokenizer(folder), capacity, seed)
    scenes.pairs, scenes.coarse, scenes.colored = pairs, coarse, colored
    scenes.fill(filled)
    return scenes


def new_pair(vocabulary: int) -> unet.Pair:
    """UNet and text tower as they are before training."""
    return unet.Pair(unet.build(), text.build(vocabulary))


def first_pair(folder: Path, scenes: data.Ring, minutes: float) -> unet.Pair:
    """Stage 2, and what the UNet's training begins with.

    Where `unet.pt` exists it holds the tower as trained since, and where `start.pt` exists (unpacked from a model
    folder) it holds both: then no tower is trained.
    """
    pair = new_pair(len(scenes.tokenizer))
    if (folder / "start.pt").exists():
        pair.load_state_dict(torch.load(folder / "start.pt", map_location="cpu", weights_only=True))
    elif not (folder / "unet.pt").exists():
        pair.text = text.train(folder, scenes, minutes)
    return pair


def load_pair(folder: Path, vocabulary: int) -> unet.Pair:
    """The averaged UNet and text tower of `unet.pt`, or of `start.pt` where nothing has been trained since."""
    pair = new_pair(vocabulary)
    trained = folder / "unet.pt"
    state = torch.load(trained if trained.exists() else folder / "start.pt", map_location="cpu", weights_only=True)
    pair.load_state_dict(state["ema"]["model"] if trained.exists() else state)
    return pair.eval().requires_grad_(False)
