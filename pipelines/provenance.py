"""On what a picture was made. A Recipe and a Provenance together promise the same picture bit for bit."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING

from pipelines import checks
from xattn import __version__
from xattn.errors import BadValue

if TYPE_CHECKING:
    import torch

_PACKAGES = ("diffusers", "transformers", "open_clip_torch", "xformers", "numpy")


@dataclass(frozen=True, slots=True)
class Provenance:
    """What can change a picture's bits without changing its recipe.

    dtype: of the weights and of the denoising, such as "float32"
    backend: what was asked for, such as "auto" or "sdpa"
    device: torch's name and what the arithmetic runs on: "cpu AVX512", "cuda NVIDIA H100"
    threads: torch's threads, for sums are split by them
    batch: images in the batch
    versions: (package, version) pairs, sorted, Python's own among them
    """

    dtype: str
    backend: str
    device: str
    threads: int
    batch: int
    versions: tuple[tuple[str, str], ...]

    @classmethod
    def here(cls, *, dtype: str, backend: str, device: torch.device | str, batch: int) -> Provenance:
        """What a run in this process, now, is made on."""
        import torch

        return cls(
            dtype=dtype,
            backend=backend,
            device=_describe(torch.device(device)),
            threads=torch.get_num_threads(),
            batch=batch,
            versions=_versions(),
        )

    def differences(self, other: Provenance) -> tuple[str, ...]:
        """One line for each thing in which `other` differs, such as "torch: 2.10.0, here 2.14.1"."""
        mine, theirs = self._flat(), other._flat()
        return tuple(
            f"{name}: {theirs.get(name, 'absent')}, here {mine.get(name, 'absent')}"
            for name in dict.fromkeys((*mine, *theirs))
            if mine.get(name) != theirs.get(name)
        )

    def document(self) -> dict[str, object]:
        """The same as JSON's types."""
        made: dict[str, object] = {field.name: getattr(self, field.name) for field in fields(self)}
        return made | {"versions": dict(self.versions)}

    @classmethod
    def from_document(cls, document: Mapping[str, object]) -> Provenance:
        """Back from `document`. Raises BadValue; what a newer version noted besides is passed over."""
        versions = document.get("versions")
        if not isinstance(versions, Mapping):
            raise BadValue("provenance.versions", versions, "an object of package names and versions")
        return cls(
            dtype=checks.text("provenance.dtype", document.get("dtype")),
            backend=checks.text("provenance.backend", document.get("backend")),
            device=checks.text("provenance.device", document.get("device")),
            threads=checks.whole("provenance.threads", document.get("threads"), 1, 2**31),
            batch=checks.whole("provenance.batch", document.get("batch"), 1, 2**31),
            versions=tuple(sorted((str(name), str(version)) for name, version in versions.items())),
        )

    def _flat(self) -> dict[str, str]:
        own = {field.name: str(getattr(self, field.name)) for field in fields(self) if field.name != "versions"}
        return own | dict(self.versions)


def package_version(name: str) -> str | None:
    """The version of an installed package, without importing it; None where it is not installed."""
    try:
        return installed_version(name)
    except PackageNotFoundError:
        return None


@cache  # what is imported stays what it is, and looking takes milliseconds a picture
def _versions() -> tuple[tuple[str, str], ...]:
    import torch

    found = {name: package_version(name) for name in _PACKAGES}
    # torch says which build it is (+cpu, +cu130), which its installed metadata may not
    found |= {"python": platform.python_version(), "xattn": __version__, "torch": str(torch.__version__)}
    return tuple(sorted((name, version) for name, version in found.items() if version is not None))


def _describe(device: torch.device) -> str:
    import torch

    if device.type == "cuda":
        return f"cuda {torch.cuda.get_device_name(device)}"
    if device.type == "cpu":
        return f"cpu {torch.backends.cpu.get_cpu_capability()}"  # kernels differ by instruction set
    return device.type
