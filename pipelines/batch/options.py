"""How a batch is drawn: what holds for all of its rows and is no part of any recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from pipelines import checks
from pipelines.batch.rows import Settings
from pipelines.batch.templates import Templates, Variants
from pipelines.metadata import FORMATS
from xattn.errors import BadValue, UnknownName

if TYPE_CHECKING:
    from pipelines.ledger import Phrase
    from xattn.maps import Axis

OnError = Literal["stop", "skip"]
Engine = Literal["local", "ray"]
MAX_BATCH = 256
_SUFFIXES = tuple(suffix.removeprefix(".") for suffix in FORMATS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What holds for a whole batch.

    model, dtype, device, backend: as Pipeline.from_pretrained has them; a row may name another model
    defaults: recipe fields that a row may set otherwise
    sweep: values by a field's path, such as {"edits.0.scale": [0.5, 1, 2]}; every combination is drawn of every row
    count: seeds a row, where it says nothing of it
    templates, wildcards: "all" or "random" reads prompts as templates (templates.py)
    form: what pictures are saved as: "png", "jpg" or "webp"
    batch_size: pictures at once; "auto" finds what fits and keeps to it in this folder
    on_error: "stop" draws nothing while a row is bad, and ends at the first run that fails twice; "skip" goes on
    words: whose attention maps are kept with each picture, "*" for all of its prompt; keep: the axes that stay apart
    engine: "local" draws in this process, or in those that `accelerate launch` started; "ray" where Ray has room
    workers, ray_address: of Ray: how many draw, and a cluster's address; None starts Ray on this machine
    verify: whether pictures of earlier runs are read and compared with the manifest, and not only looked for

    Raises BadValue, UnknownName where it is made.
    """

    model: str | Path = "emoji-128"
    dtype: str = "float32"
    device: str = "cpu"
    backend: str = "auto"
    defaults: Mapping[str, object] = field(default_factory=dict, hash=False)
    sweep: Mapping[str, Sequence[object]] = field(default_factory=dict, hash=False)
    count: int = 1
    templates: Variants | None = None
    wildcards: str | Path | None = None
    form: str = "png"
    batch_size: int | Literal["auto"] = "auto"
    on_error: OnError = "stop"
    words: tuple[Phrase, ...] | Literal["*"] = ()
    keep: tuple[Axis, ...] = ()
    engine: Engine = "local"
    workers: int | None = None
    ray_address: str | None = None
    verify: bool = False

    def __post_init__(self) -> None:
        if self.batch_size != "auto":
            checks.whole("batch_size", self.batch_size, 1, MAX_BATCH, 'Or "auto"')
        if self.on_error not in ("stop", "skip"):
            raise UnknownName("on_error", self.on_error, ("stop", "skip"))
        if self.engine not in get_args(Engine):
            raise UnknownName("engine", self.engine, get_args(Engine))
        if self.engine == "local" and (self.workers is not None or self.ray_address is not None):
            raise BadValue("engine", "local", '"ray" where workers or ray_address are given')
        if self.workers is not None:
            checks.whole("workers", self.workers, 1, 10_000)
        if self.form not in _SUFFIXES:
            raise UnknownName("form", self.form, _SUFFIXES)
        if self.keep and not self.words:
            raise BadValue("keep", self.keep, "left out where no words are watched", 'Give words too, or "*"')
        if self.wildcards is not None and self.templates is None:
            raise BadValue("templates", None, "given where there are wildcards", 'Give "all" or "random"')
        _ = self.settings  # what is wrong with sweep, count and templates is told now

    @property
    def settings(self) -> Settings:
        """What the rows need of this."""
        folder = None if self.wildcards is None else Path(self.wildcards)
        templates = None if self.templates is None else Templates(self.templates, folder)
        return Settings(self.defaults, self.sweep, self.count, templates)
