"""`python -m weights.train`: the default model from nothing, or on from where it was stopped.

Stages: autoencoder → text tower → UNet with the tower. Every stage counts its own training minutes over all its
runs, so the same command with the same minutes only does what is left, and with more minutes trains on.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import torch
import typer

from weights.train import stages, unet, workers

app = typer.Typer(add_completion=False, no_args_is_help=False, help=__doc__)

Folder = Annotated[Path, typer.Option("--folder", help="Where the run keeps its states and logs.")]


@app.callback(invoke_without_command=True)
def everything(
    context: typer.Context,
    folder: Folder = Path("runs/default"),
    vae_minutes: Annotated[float, typer.Option("--vae", help="Minutes of the autoencoder.")] = 15.0,
    text_minutes: Annotated[float, typer.Option("--text", help="Minutes of the text tower.")] = 5.0,
    unet_minutes: Annotated[float, typer.Option("--unet", help="Minutes of the UNet.")] = 240.0,
    pairs: Annotated[float, typer.Option(help="Share of scenes with two objects.")] = 0.4,
    capacity: Annotated[int, typer.Option(help="Encoded scenes kept in memory.")] = 40_000,
    filled: Annotated[int, typer.Option(help="Scenes encoded before the first step.")] = 8_000,
    batch: Annotated[int, typer.Option(help="Scenes a step of the UNet.")] = 32,
    rate: Annotated[float, typer.Option(help="The UNet's learning rate.")] = 1.2e-3,
    every: Annotated[int, typer.Option(help="Steps of the UNet between two looks and states.")] = 1000,
    threads: Annotated[int, typer.Option(help="Threads of torch; 0 leaves its own choice.")] = 0,
) -> None:
    """Train all stages."""
    if context.invoked_subcommand is not None:
        return
    if threads:
        torch.set_num_threads(threads)
    workers.join()
    model = stages.autoencoder(folder, vae_minutes)
    print(f"Autoencoder ready: {folder / 'vae_final.pt'}", flush=True)
    scenes = stages.ring(folder, model, pairs=pairs, capacity=capacity, filled=filled)
    print(f"{scenes.filled} scenes encoded", flush=True)
    tower = stages.tower(folder, scenes, text_minutes)
    print(f"Text tower ready: {stages.minutes_spent(folder / 'text.pt'):.1f} minutes", flush=True)
    from weights.train.watch import watcher  # late: the judge may be in training until now

    watch = watcher(folder, model, scenes.tokenizer)
    unet.train(folder, scenes, tower, unet_minutes, batch=batch, rate=rate, every=every, watch=watch)
    print(f"UNet ready: {stages.minutes_spent(folder / 'unet.pt'):.1f} minutes", flush=True)


@app.command("judge")
def train_judge(
    folder: Folder = Path("runs/default"),
    minutes: Annotated[float, typer.Option(help="Minutes over all runs.")] = 7.0,
    threads: Annotated[int, typer.Option(help="Threads of torch; 0 leaves its own choice.")] = 0,
) -> None:
    """Train the judge, save it to weights/judge/ and print its accuracy on held-out scenes."""
    from weights.train import judge

    if threads:
        torch.set_num_threads(threads)
    workers.join()
    trained = judge.train(folder, minutes)
    judge.save(trained)
    print(json.dumps(judge.accuracy(judge.load(), 1000, seed=20_000)))


if __name__ == "__main__":
    app()
