"""`python -m weights.train`: the default model from nothing, or on from where it was stopped.

Stages: autoencoder → text tower → UNet with the tower. Every stage counts its own training minutes over all its
runs, so the same command with the same minutes only does what is left, and with more minutes trains on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer

from weights.train import stages, unet

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
    model = stages.autoencoder(folder, vae_minutes)
    print(f"Autoencoder ready: {folder / 'vae_final.pt'}", flush=True)
    scenes = stages.ring(folder, model, pairs=pairs, capacity=capacity, filled=filled)
    print(f"{scenes.filled} scenes encoded", flush=True)
    tower = stages.tower(folder, scenes, text_minutes)
    print(f"Text tower ready: {stages.minutes_spent(folder / 'text.pt'):.1f} minutes", flush=True)
    unet.train(folder, scenes, tower, unet_minutes, batch=batch, rate=rate, every=every)
    print(f"UNet ready: {stages.minutes_spent(folder / 'unet.pt'):.1f} minutes", flush=True)


if __name__ == "__main__":
    app()
