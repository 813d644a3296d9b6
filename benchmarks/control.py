"""What maps and edits do on the default model, judged: python -m benchmarks.control --help

Every section draws --prompts pictures a way, or a share of so many, and prints its figures as soon as they are there;
at the end a line of JSON. With --write the tables of docs/ are made anew from it, and say which weights they are of.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks import color_sections, control_pages, map_sections, sections
from benchmarks.judged import Bench, Record

Figures = dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class Section:
    """measure: one record a prompt; share: of --prompts; figures: of all records"""

    measure: Callable[[Bench, Sequence[int]], list[Record]]
    figures: Callable[[Sequence[Record]], Figures]
    share: float = 1.0


def means(records: Sequence[Record]) -> Figures:
    """The mean of every figure, the median where its name says so."""
    return {
        way: {
            name: float((np.median if name.startswith("median") else np.mean)([one[way][name] for one in records]))
            for name in figures
        }
        for way, figures in records[0].items()
    }


SECTIONS = {
    "maps": Section(map_sections.maps, map_sections.scored),
    "replace": Section(sections.replaced, means),
    "recolour": Section(sections.recoloured, means, 0.5),
    "reweight": Section(sections.reweighted, means),
    "taken": Section(sections.taken, means, 0.5),
    "paint": Section(sections.painted, means),
    "painting": Section(sections.compared, means, 0.33),
    "regions": Section(sections.regions, means),
    "borders": Section(sections.bordered, means, 0.25),
    "colours": Section(color_sections.colours, means, 0.5),
    "exact": Section(map_sections.exact, means, 0.01),
}

_BENCH: list[Bench] = []
"""A worker process's own, made once."""


def _start(model: str, dtype: str) -> None:
    import torch

    from weights.train.judge import load
    from xattn import Pipeline

    torch.set_num_threads(1)  # a process a core: two threads on one small picture mostly wait for each other
    _BENCH.append(Bench(Pipeline.from_pretrained(model, dtype=dtype), load()))


def _measure(name: str, places: Sequence[int]) -> list[Record]:
    return SECTIONS[name].measure(_BENCH[0], places) if places else []


def _model(model: str) -> dict[str, str | None]:
    from xattn import Pipeline

    ref = Pipeline.from_pretrained(model).resolve("a fox").model
    assert ref is not None, "a resolved recipe has a model"
    return {"name": ref.portable().name, "sha256": ref.sha256}


def measured(names: Sequence[str], prompts: int, model: str, dtype: str, processes: int) -> dict[str, object]:
    """All figures, and what they were measured with."""
    made: dict[str, Figures] = {}
    seconds: dict[str, float] = {}
    counts: dict[str, int] = {}
    # one executor a worker, so that a prompt is always drawn by the same one, which has its pictures already
    workers = [
        ProcessPoolExecutor(1, get_context("spawn"), initializer=_start, initargs=(model, dtype))
        for _ in range(processes)
    ]
    try:
        for name in names:
            section, begun = SECTIONS[name], time.perf_counter()
            counts[name] = max(1, round(section.share * prompts))
            shards = [range(first, counts[name], processes) for first in range(processes)]
            waiting = [worker.submit(_measure, name, shard) for worker, shard in zip(workers, shards, strict=True)]
            records = [record for one in waiting for record in one.result()]
            made[name] = section.figures(records)
            seconds[name] = round(time.perf_counter() - begun, 1)
            print(f"\n{name}: {counts[name]} prompts, {seconds[name]:.0f} s")
            for way, figures in made[name].items():
                shown = "   ".join(f"{figure} {value:.3g}" for figure, value in figures.items())
                print(f"  {way:52}{shown}", flush=True)
    finally:
        for worker in workers:
            worker.shutdown(cancel_futures=True)
    about = {"model": _model(model), "dtype": dtype, "prompts": prompts, "processes": processes}
    return {**about, "counts": counts, "seconds": seconds, "sections": made}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.control", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; default: all")
    parser.add_argument("--prompts", type=int, default=100)
    parser.add_argument("--model", default="emoji-128")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--processes", type=int, default=2, help="each with one thread")
    parser.add_argument("--figures", type=Path, help="the JSON of an earlier run, instead of measuring")
    parser.add_argument("--write", action="store_true", help="make the tables of docs/ anew")
    asked = parser.parse_args(arguments)
    names = asked.sections or list(SECTIONS)
    if unknown := [name for name in names if name not in SECTIONS]:
        parser.error(f"There is no section {unknown[0]!r}. There are: {', '.join(SECTIONS)}.")
    if asked.prompts < 2 or asked.processes < 1:
        parser.error("--prompts is at least 2 and --processes at least 1.")
    if asked.figures is None:
        made = measured(names, asked.prompts, asked.model, asked.dtype, asked.processes)
    else:
        made = json.loads(asked.figures.read_text())
        made["sections"] = {name: made["sections"][name] for name in names if name in made["sections"]}
    print(json.dumps(made))
    if asked.write:
        for page in control_pages.write(made):
            print(f"Wrote {page}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
