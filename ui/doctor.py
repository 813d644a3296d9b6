"""What works on this machine, and why the rest does not: each finding is a value, found by asking."""

from __future__ import annotations

import importlib
import os
import platform
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipelines.files import cache_root
from pipelines.provenance import package_version
from pipelines.recipe import EMBEDDED as DEFAULT_MODEL
from xattn import __version__
from xattn.errors import XattnError

State = Literal["yes", "no", "bad"]
MIB, GIB = 2**20, 2**30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing. "no" does without; "bad" must be mended before a picture can be drawn."""

    what: str
    state: State
    detail: str


def examine() -> Iterator[Finding]:
    """Every finding, in the order in which a reader needs them."""
    yield Finding("xattn", "yes", __version__)
    yield _python()
    yield _memory()
    torch_found = _imported("torch")
    yield torch_found
    if torch_found.state == "yes":
        yield _cuda()
        # before diffusers, which imports it too and would have the first word
        yield _xformers()
        for name in ("diffusers", "transformers", "open_clip"):
            yield _imported(name)
        yield from _backends()
        yield _layers()
        yield _denominators()
    yield _model() if torch_found.state == "yes" else Finding("model", "bad", "not looked at: torch comes first")
    yield _cache()


def _layers() -> Finding:
    """Whether the faster layers on a CPU run, which lean on operators that torch keeps for itself."""
    import torch

    from pipelines.operators import refusals

    why = refusals()
    for dtype, reason in why.items():
        if reason:
            return Finding("CPU layers", "no", f"torch's own run in {dtype}, more slowly, because {reason}")
    detail = f"weights laid out and layers fused by oneDNN, tried here with torch {torch.__version__}"
    return Finding("CPU layers", "yes", detail)


def _denominators() -> Finding:
    """Whether watching a word costs no softmax of its own, which leans on an operator that torch keeps for itself."""
    import torch

    from pipelines.operators import unknown_denominators

    for dtype, reason in unknown_denominators().items():
        if reason:
            return Finding("CPU maps", "no", f"a softmax of their own reads words in {dtype}, slower, because {reason}")
    detail = f"words are read with the plain call's own denominators, tried here with torch {torch.__version__}"
    return Finding("CPU maps", "yes", detail)


def _python() -> Finding:
    system = f"{platform.system()} {platform.machine()}"
    return Finding("python", "yes", f"{platform.python_version()} on {system}, {os.cpu_count()} processors")


def _memory() -> Finding:
    # not on Windows, and not every system knows both
    known = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" not in known:
        return Finding("memory", "yes", "this system does not tell")
    page = os.sysconf("SC_PAGE_SIZE")
    total = f"{os.sysconf('SC_PHYS_PAGES') * page / GIB:.1f} GiB"
    free = f", {os.sysconf('SC_AVPHYS_PAGES') * page / GIB:.1f} GiB unused" if "SC_AVPHYS_PAGES" in known else ""
    return Finding("memory", "yes", total + free)


def _imported(name: str) -> Finding:
    """Whether a package can be imported: installed and broken is a common state for torch and what builds on it."""
    package = "open_clip_torch" if name == "open_clip" else name
    version = package_version(package)
    if version is None:
        return Finding(name, "bad", f"not installed: pip install {package.replace('_', '-')}")
    try:
        importlib.import_module(name)
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        return Finding(name, "bad", f"{version}, but importing it fails: {_first_line(error)}")
    if name != "torch":
        return Finding(name, "yes", version)
    import torch

    capability, threads = torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()
    return Finding(name, "yes", f"{version}, {capability}, {threads} thread{'s' if threads > 1 else ''}")


def _cuda() -> Finding:
    import torch

    if torch.version.cuda is None:
        return Finding("CUDA", "no", "this torch is a build without CUDA; pictures are drawn on the CPU")
    if not torch.cuda.is_available():
        return Finding(
            "CUDA", "no", f"torch is built for CUDA {torch.version.cuda}, but finds no NVIDIA GPU or driver here"
        )
    cards = (torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count()))
    named = ", ".join(f"{card.name} ({card.total_memory / GIB:.0f} GiB)" for card in cards)
    return Finding("CUDA", "yes", f"{torch.version.cuda}: {named}; use --device cuda")


def _xformers() -> Finding:
    version = package_version("xformers")
    if version is None:
        return Finding("xformers", "no", "not installed; nothing needs it")
    try:
        module = importlib.import_module("xformers._cpp_lib")
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        return Finding("xformers", "no", f"{version}, but importing it fails: {_first_line(error)}")
    problem = getattr(module, "_cpp_library_load_exception", None)
    if problem is None:
        return Finding("xformers", "yes", version)
    built = " ".join(str(problem).split()).partition(" Please ")[0].rstrip(". ")
    return Finding(
        "xformers",
        "no",
        f"{version}: its own kernels do not load. It says: {built}. That is expected beside a newer torch: nothing is "
        "missing, for what it still has on a GPU comes through torch, as sdpa does. xattn's commands leave this "
        "notice out; in your own programs xformers and diffusers print it.",
    )


def _backends() -> Iterator[Finding]:
    """Each attention backend in auto's order, asked for self- and cross-attention in Stable Diffusion 1's shapes."""
    import torch

    from xattn.backends import BACKENDS, Request, choose

    devices = [("cpu", torch.float32)] + ([("cuda", torch.float16)] if torch.cuda.is_available() else [])
    for device, dtype in devices:
        requests = {
            name: Request(
                batch=2,
                heads=8,
                kv_heads=8,
                queries=4096,
                keys=keys,
                head_dim=40,
                value_dim=40,
                dtype=dtype,
                device=device,
            )
            for name, keys in (("self", 4096), ("cross", 77))
        }
        chosen = {name: choose(request).name for name, request in requests.items()}
        for backend in BACKENDS:
            reasons = {name: backend.supports(request).reason for name, request in requests.items()}
            refused = [f"{name}-attention: no, {reason}" for name, reason in reasons.items() if reason]
            taken = [name for name, best in chosen.items() if best == backend.name]
            auto = f"; auto takes it for {' and '.join(taken)}-attention" if taken else ""
            label = f"backend {backend.name}" if len(devices) == 1 else f"backend {backend.name} on {device}"
            detail = "; ".join([backend.note, *refused]) + auto
            yield Finding(label, "no" if len(refused) == len(requests) else "yes", detail)


def _model() -> Finding:
    try:
        from pipelines.load import locate
        from pipelines.vocabulary import Vocabulary

        _, folder = locate(DEFAULT_MODEL)
        vocabulary = Vocabulary.from_folder(folder)
    except XattnError as error:
        return Finding("model", "bad", str(error))
    except (ImportError, OSError, RuntimeError) as error:
        return Finding("model", "bad", f"what loads it cannot be imported: {_first_line(error)}")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    known = f", {len(vocabulary.names)} words and phrases" if vocabulary is not None else ""
    return Finding("model", "yes", f"{DEFAULT_MODEL}, {size / MIB:.0f} MiB{known}")


def _cache() -> Finding:
    root = cache_root()
    if root is None:
        return Finding("cache", "no", "there is no home folder; set XATTN_CACHE. Nothing is kept between runs")
    there = next(place for place in (root, *root.absolute().parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
        return Finding("cache", "no", f"{_short(root)} cannot be written ({why}). Nothing is kept between runs")
    return Finding("cache", "yes", f"{_short(root)}{'' if root.exists() else ', made when needed'}")


def _short(path: Path) -> str:
    """With ~ for the home folder: doctor's lines are pasted into reports."""
    try:
        return f"~/{path.relative_to(Path.home()).as_posix()}"
    except (ValueError, RuntimeError):
        return str(path)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
