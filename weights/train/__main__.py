"""`python -m weights.train`: the default model from nothing, or on from where it was stopped.

Stages: autoencoder → text tower → UNet with the tower → decoder → pack → evaluate what was packed. Every stage counts
its own training minutes over all its runs: the same command does what is left, and with more minutes it trains on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
import typer

from weights.train import stages, unet, workers

app = typer.Typer(add_completion=False, no_args_is_help=False, help=__doc__)

Folder = Annotated[Path, typer.Option("--folder", help="Where the run keeps its states and logs.")]
Model = Annotated[Path, typer.Option("--model", help="The model's folder, in Stable Diffusion's layout.")]
Threads = Annotated[int, typer.Option(help="Threads of torch; 0 leaves its own choice.")]
RUN, MODEL = Path("runs/default"), Path("weights/emoji-128")


@app.callback(invoke_without_command=True)
def everything(
    context: typer.Context,
    folder: Folder = RUN,
    model: Model = MODEL,
    start_from: Annotated[Path | None, typer.Option(help="A packed model to train on from, in a new folder.")] = None,
    vae_minutes: Annotated[float, typer.Option("--vae", help="Minutes of the autoencoder.")] = 15.0,
    text_minutes: Annotated[float, typer.Option("--text", help="Minutes of the text tower.")] = 5.0,
    unet_minutes: Annotated[float, typer.Option("--unet", help="Minutes of the UNet.")] = 240.0,
    decoder_minutes: Annotated[float, typer.Option("--decoder", help="Minutes of the decoder alone.")] = 20.0,
    pairs: Annotated[float, typer.Option(help="Share of scenes with two objects.")] = 0.4,
    coarse: Annotated[
        bool, typer.Option(help="Three sizes of single objects and one of pairs, to begin with.")
    ] = False,
    colored: Annotated[float, typer.Option(help="Share of scenes whose captions name colours of objects.")] = 0.0,
    capacity: Annotated[int, typer.Option(help="Encoded scenes kept in memory.")] = 40_000,
    filled: Annotated[int, typer.Option(help="Scenes encoded before the first step.")] = 8_000,
    batch: Annotated[int, typer.Option(help="Scenes a step of the UNet.")] = 32,
    rate: Annotated[float, typer.Option(help="The UNet's learning rate.")] = 1.2e-3,
    bound: Annotated[float, typer.Option(help="Weight of the loss that binds words to their objects.")] = 0.02,
    told: Annotated[float, typer.Option(help="Weight of the loss that has the text tower say relations.")] = 0.02,
    floor: Annotated[float, typer.Option(help="Weight of pure noise in the UNet's loss; 1 teaches layout more.")] = 0.3,
    average: Annotated[float, typer.Option(help="Decay of the average of the weights, a step.")] = 0.997,
    tail: Annotated[float, typer.Option(help="Share of the UNet's minutes over which its rate falls to zero.")] = 0.35,
    every: Annotated[int, typer.Option(help="Steps of the UNet between two looks and states.")] = 1000,
    threads: Threads = 0,
) -> None:
    """Train all stages."""
    if context.invoked_subcommand is not None:
        return
    _threads(threads)
    workers.join()
    if start_from is not None:
        _start(start_from, folder)
    vae = stages.autoencoder(folder, vae_minutes)
    _say(f"Autoencoder ready: {folder / 'vae_final.pt'}")
    scenes = stages.ring(folder, vae, pairs=pairs, coarse=coarse, colored=colored, capacity=capacity, filled=filled)
    _say(f"{scenes.filled} scenes encoded")
    pair = stages.first_pair(folder, scenes, text_minutes)
    _say(f"Text tower ready: {stages.minutes_spent(folder / 'text.pt'):.1f} minutes")
    from weights.train.watch import watcher  # late: the judge may be in training until now

    watch = watcher(folder, vae, scenes.tokenizer)
    unet.train(
        folder,
        scenes,
        pair.text,
        unet_minutes,
        unet=pair.unet,
        batch=batch,
        rate=rate,
        every=every,
        bound=bound,
        told=told,
        floor=floor,
        average=average,
        tail=tail,
        watch=watch,
    )
    _say(f"UNet ready: {stages.minutes_spent(folder / 'unet.pt'):.1f} minutes")
    train_decoder(folder, decoder_minutes, threads)
    _say(f"Decoder ready: {stages.minutes_spent(folder / 'decoder.pt'):.1f} minutes")
    if workers.rank() == 0:
        pack_model(folder, model)
        evaluate_model(model, keep=True)


@app.command("decoder")
def train_decoder(
    folder: Folder = RUN,
    minutes: Annotated[float, typer.Option(help="Minutes over all runs.")] = 20.0,
    threads: Threads = 0,
) -> None:
    """Train the decoder on, for latents as they are: beside the UNet or after it."""
    from weights.train import decoder

    _threads(threads)
    workers.join()
    decoder.train(folder, stages.load_autoencoder(folder), minutes)


@app.command("judge")
def train_judge(
    folder: Folder = RUN,
    minutes: Annotated[float, typer.Option(help="Minutes over all runs.")] = 8.0,
    threads: Threads = 1,
) -> None:
    """Train the judge, save it to weights/judge/ and print its accuracy on held-out scenes."""
    from weights.train import judge

    _threads(threads)
    judge.save(judge.train(folder, minutes))
    _say(json.dumps(judge.accuracy(judge.load(), 1000, seed=20_000)))


@app.command("evaluate")
def evaluate_model(
    model: Model = MODEL,
    seeds: Annotated[int, typer.Option(help="Pictures of each object.")] = 3,
    pairs: Annotated[int, typer.Option(help="Pictures of two objects.")] = 240,
    maps: Annotated[int, typer.Option(help="Scenes of one object, and of two, whose word maps are measured.")] = 60,
    edits: Annotated[int, typer.Option(help="Objects that are replaced by others.")] = 57,
    colors: Annotated[int, typer.Option(help="Pairs of coloured objects; 0 draws no coloured ones.")] = 96,
    steps: Annotated[int | None, typer.Option(help="Denoising steps; the model's own if not given.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale; the model's own if not given.")] = None,
    fast: Annotated[bool, typer.Option(help="Draw in bfloat16.")] = False,
    keep: Annotated[bool, typer.Option(help="Keep the figures in the model's folder and on its card.")] = False,
    output: Annotated[Path | None, typer.Option(help="Also write the figures to this file, as JSON.")] = None,
    sheet: Annotated[Path | None, typer.Option(help="Also write the first 144 pictures to this file, as PNG.")] = None,
    threads: Threads = 0,
) -> None:
    """Measure a packed model: a table beside its bars, then JSON."""
    from PIL import Image

    from pipelines.pipeline import Pipeline
    from weights.train import card, colored, draw, replacements, word_maps
    from weights.train.evaluate import evaluate
    from weights.train.figures import table

    _threads(threads)
    own = json.loads((model / "defaults.json").read_text())
    steps = own["num_inference_steps"] if steps is None else steps
    guidance = own["guidance_scale"] if guidance is None else guidance
    drawer = draw.from_folder(model, steps=steps, guidance=guidance, fast=fast)
    pictures: list[draw.Image] = []

    def draw_and_keep(prompts: Sequence[str], seeds: Sequence[int]) -> list[draw.Image]:
        drawn = drawer(prompts, seeds)
        pictures.extend(drawn)
        return drawn

    how = f"{steps} DDIM steps, guidance {guidance:g}, {'bfloat16' if fast else 'float32'}"
    figures = evaluate(draw_and_keep, how, seeds=seeds, pairs=pairs, vae=drawer.vae)
    pipe = Pipeline.from_pretrained(model)
    if maps:
        figures["maps"] = word_maps.measure(pipe, maps)
    if edits:
        figures["edits"] = replacements.measure(pipe, edits)
    if colors:
        figures["colors"] = colored.measure(pipe, colors)
    text = json.dumps(figures, indent=2) + "\n"
    print(table(figures), text, sep="\n\n", flush=True)
    if keep:
        (model / "figures.json").write_text(text)
        card.write(model)
    if output is not None:
        output.write_text(text)
    if sheet is not None:
        Image.fromarray(draw.sheet(pictures[:144])).save(sheet)


@app.command("pack")
def pack_model(folder: Folder = RUN, model: Model = MODEL) -> None:
    """Write the run's averaged weights as a model folder with its card."""
    from weights.train.pack import pack

    print(f"Packed {model}: {pack(folder, model):,} bytes", flush=True)


@app.command("card")
def write_card(model: Model = MODEL) -> None:
    """Write the model's card anew from the JSON files beside it."""
    from weights.train import card

    card.write(model)


def _say(sentence: str) -> None:
    if workers.rank() == 0:
        print(sentence, flush=True)


def _threads(threads: int) -> None:
    if threads:
        torch.set_num_threads(threads)


def _start(model: Path, folder: Path) -> None:
    """Unpack a model into a new run; a run that began with it just goes on."""
    from weights.train.pack import unpack

    if workers.rank() == 0 and not (folder / "start.pt").exists():
        unpack(model, folder)
    workers.wait()


if __name__ == "__main__":
    app()
