"""The attention layers of one step alone, with the edits of benchmarks.overhead, ours and materialised."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.materialised import MaterialisedEdit
from benchmarks.peers import Task
from pipelines.batches import batches
from pipelines.run import prepare
from unet import TextContext
from unet.transformer import TransformerBlock
from xattn import LocalBlend, Pipeline, Recipe, Replace, Reweight


def attention_alone(pipe: Pipeline, diffusers: Any, task: Task, rounds: int) -> dict[str, list[float]]:
    """Seconds of every attention layer of the UNet once, projections included, on one input each, a round each.

    "projections" are the picture's alone, which all have. Two pictures, guided: four rows. The program is that of the
    first step.
    """
    from benchmarks.overhead import FACTOR, SOURCE, TARGET

    plain = Recipe(TARGET, seed=1, num_inference_steps=5, width=task.width, height=task.height)
    source = Recipe(SOURCE, seed=1)
    edits = (Replace(), Reweight("purple", FACTOR), LocalBlend(words=("fox",), source_words=("dog",)))
    model = pipe.model
    runs = {}
    for name, own in (("plain", ()), ("edits", edits)):
        recipe = pipe.resolve(plain, source=source, edits=own)
        runs[name] = prepare(model, batches([recipe], 8, model.text)[0], None).passes[0].programs.at(0)
    ledger = pipe.ledger(TARGET)
    generator = torch.Generator().manual_seed(0)
    width = model.unet.config.cross_attention_dim
    text = torch.randn((4, len(ledger.tokens), width), generator=generator).to(model.dtype)
    context = model.unet.text_context({"text": text})
    blocks = {block.self_site.name: block for block in model.unet.modules() if isinstance(block, TransformerBlock)}
    inputs = _inputs(blocks, (task.height // model.vae.factor, task.width // model.vae.factor), generator, model.dtype)
    fox, purple = ledger.columns("fox")[0], ledger.columns("purple")[0]

    def ours(program: Any) -> None:
        for name, block in blocks.items():
            grid, hidden = inputs[name]
            _ours(block, program, context, grid, hidden)

    def theirs(everywhere: bool) -> None:
        edit = MaterialisedEdit(diffusers, SOURCE, purple, FACTOR, fox, everywhere=everywhere, steps=5)
        for name in blocks:
            edit.sums = None
            _theirs(diffusers.unet.get_submodule(name.removesuffix(".attn1")), edit, inputs[name][1], text)

    return _timed(
        {
            "projections": lambda: _project(blocks, inputs),
            "plain": lambda: ours(runs["plain"]),
            "edits": lambda: ours(runs["edits"]),
            "edits, materialised": lambda: theirs(True),
            "edits, cross materialised": lambda: theirs(False),
        },
        rounds,
    )


def _timed(peers: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in peers}
    with torch.no_grad():
        for turn in range(rounds + 1):
            for name, run in peers.items():
                begun = time.perf_counter()
                run()
                if turn:  # the first warms up
                    seconds[name].append(time.perf_counter() - begun)
    return seconds


def _inputs(
    blocks: dict[str, TransformerBlock], latent: tuple[int, int], generator: torch.Generator, dtype: torch.dtype
) -> dict[str, tuple[tuple[int, int], Tensor]]:
    """Of each block its grid (height, width), and hidden states [4, height · width, channels]."""
    inputs = {}
    for name, block in blocks.items():
        height, width = (-(-side // block.self_site.downsampling) for side in latent)
        channels = block.attn1.to_q.weight.shape[1]
        inputs[name] = (height, width), torch.randn((4, height * width, channels), generator=generator).to(dtype)
    return inputs


def _project(blocks: dict[str, TransformerBlock], inputs: dict[str, tuple[tuple[int, int], Tensor]]) -> None:
    for name, block in blocks.items():
        hidden = inputs[name][1]
        for layer in (block.attn1.to_q, block.attn1.to_k, block.attn1.to_v, block.attn2.to_q):
            projected: Tensor = layer(hidden)
        for layer in (block.attn1.to_out[0], block.attn2.to_out[0]):
            layer(projected)


def _ours(block: TransformerBlock, program: Any, context: TextContext, grid: tuple[int, int], hidden: Tensor) -> None:
    for site, layer in ((block.self_site, block.attn1), (block.cross_site, block.attn2)):
        sources = context.at(site) if site.cross else None
        own = None if program is None else program.at(site.name)
        record = None if program is None else program.record
        layer(hidden, sources, own, site=site, grid=grid, record=record)


def _theirs(block: Any, edit: MaterialisedEdit, hidden: Tensor, text: Tensor) -> None:
    if edit.everywhere:
        edit(block.attn1, hidden)
    else:
        block.attn1(hidden)
    edit(block.attn2, hidden, text)
