"""What a run cost: seconds, steps, kernels, memory. Logged by the recipe's hash, never with its prompt."""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

LOGGER = logging.getLogger("xattn.run")
Phase = Literal["encode", "denoise", "decode"]


@dataclass(frozen=True, slots=True)
class RunStats:
    """What one run cost; the pictures of a batch share theirs.

    encode_seconds, denoise_seconds, decode_seconds: wall time, without the time that a consumer of a stream took
    kernels: the sites' own calls of `attend`, by the backend that runs them, such as {"sdpa": 640}; what is watched or
        edited adds products of its own, which are not among them
    peak_bytes: the most memory held: on CUDA by torch on that device since the run began; on a CPU the process's own
        peak since it started, for no system tells it by run; None where the system does not tell
    """

    encode_seconds: float
    denoise_seconds: float
    decode_seconds: float
    steps: int
    kernels: Mapping[str, int] = field(default_factory=dict, hash=False)
    peak_bytes: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "kernels", dict(self.kernels))

    @property
    def seconds(self) -> float:
        """All three phases."""
        return self.encode_seconds + self.denoise_seconds + self.decode_seconds

    def document(self) -> dict[str, object]:
        """The same as JSON's types."""
        return {
            "encode_seconds": self.encode_seconds,
            "denoise_seconds": self.denoise_seconds,
            "decode_seconds": self.decode_seconds,
            "steps": self.steps,
            "kernels": dict(sorted(self.kernels.items())),
            "peak_bytes": self.peak_bytes,
        }

    def log(self, recipe_hash: str) -> None:
        """One record at INFO from the logger `xattn.run`: `record.recipe` is the hash, `record.stats` the document."""
        LOGGER.info(
            "run %s: %d steps, encode %.3f s, denoise %.3f s, decode %.3f s, kernels %s, peak %s bytes",
            recipe_hash,
            self.steps,
            self.encode_seconds,
            self.denoise_seconds,
            self.decode_seconds,
            dict(sorted(self.kernels.items())),
            self.peak_bytes,
            extra={"recipe": recipe_hash, "stats": self.document()},
        )


class StatsClock:
    """Measures one run. Belongs to that run alone, so runs in other threads never meet in it."""

    def __init__(self, device: torch.device | None = None) -> None:
        self._device = device
        self._seconds: dict[Phase, float] = {"encode": 0.0, "denoise": 0.0, "decode": 0.0}
        self._kernels: Counter[str] = Counter()
        if device is not None and device.type == "cuda":
            import torch

            torch.cuda.reset_peak_memory_stats(device)

    @contextmanager
    def measure(self, phase: Phase) -> Iterator[None]:
        """Add the time inside the block to a phase; on CUDA, until the device has done its work."""
        self._synchronise()
        start = time.perf_counter()
        try:
            yield
        finally:
            self._synchronise()
            self._seconds[phase] += time.perf_counter() - start

    @contextmanager
    def paused(self, phase: Phase) -> Iterator[None]:
        """Leave the time inside the block out of the phase that is being measured round it."""
        self._synchronise()
        start = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[phase] -= time.perf_counter() - start

    def count(self, backend: str, calls: int = 1) -> None:
        """Note that a backend ran `calls` calls of `attend`."""
        self._kernels[backend] += calls

    def stats(self, steps: int) -> RunStats:
        """What has been measured so far."""
        return RunStats(
            encode_seconds=self._seconds["encode"],
            denoise_seconds=self._seconds["denoise"],
            decode_seconds=self._seconds["decode"],
            steps=steps,
            kernels=self._kernels,
            peak_bytes=peak_bytes(self._device),
        )

    def _synchronise(self) -> None:
        if self._device is not None and self._device.type == "cuda":
            import torch

            torch.cuda.synchronize(self._device)


def peak_bytes(device: torch.device | None = None) -> int | None:
    """See RunStats.peak_bytes."""
    if device is not None and device.type == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux kibibytes
