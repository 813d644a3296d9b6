"""What was drawn, as sessions keep it: each its own, the oldest forgotten first, within a budget of bytes.

A run's id is a random token that nobody can guess: it is what lets a page ask for a map without a session (Gradio's
server functions get none), so it is told to its own session and to nobody else.
"""

from __future__ import annotations

import io
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.ledger import Ledger
from pipelines.provenance import Provenance
from pipelines.recipe import Recipe
from ui.web.limits import Limits
from ui.web.stored_maps import StoredMaps
from xattn.errors import XattnError


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One picture: `image`, how it was made, how its prompt is read, and its maps where they were kept.

    before, origin: the picture that an edited one started from, and its id
    blends: where each local blending of its edits let it differ from that one (Result.blends)
    made: when, by time.monotonic
    """

    image: Image.Image
    recipe: Recipe
    provenance: Provenance
    ledger: Ledger
    seconds: float
    maps: StoredMaps | None = None
    before: Image.Image | None = None
    origin: str | None = None
    blends: Mapping[int, NDArray[np.float32]] = field(default_factory=dict)
    made: float = field(default_factory=time.monotonic)
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))

    @property
    def edited(self) -> bool:
        """Whether it was made from another picture by edits."""
        return bool(self.recipe.edits) or self.recipe.source is not None

    @property
    def raised(self) -> bool:
        """Whether an edit may have raised a word's share over 1: its maps are those that the picture was made with."""
        return any(edit.enabled for edit in self.recipe.edits)

    @property
    def nbytes(self) -> int:
        """Memory that it takes, its pictures as pixels."""
        pictures = [self.image] if self.before is None else [self.image, self.before]
        return sum(one.width * one.height * 3 for one in pictures) + (0 if self.maps is None else self.maps.nbytes)


class NotKept(XattnError):
    """A run that is not, or no longer, kept."""


class Runs:
    """Every session's runs. Any thread may ask."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._sessions: OrderedDict[str, OrderedDict[str, Run]] = OrderedDict()
        self._owner: dict[str, str] = {}

    def add(self, session: str, run: Run) -> None:
        """Keep a run; older ones of the session go, and then older sessions, until all fit."""
        with self._lock:
            own = self._sessions.setdefault(session, OrderedDict())
            self._sessions.move_to_end(session)
            own[run.id] = run
            self._owner[run.id] = session
            while len(own) > 1 and sum(one.nbytes for one in own.values()) > self._limits.session_bytes:
                self._owner.pop(own.popitem(last=False)[0], None)
            while len(self._sessions) > self._limits.sessions:
                self._forget(next(iter(self._sessions)))
            while len(self._owner) > 1 and self._nbytes() > self._limits.all_bytes:
                self._drop_oldest()

    def get(self, run_id: object) -> Run:
        """The run of this id, whoever asks. Raises NotKept with a sentence."""
        with self._lock:
            session = self._owner.get(run_id) if isinstance(run_id, str) else None
            if session is None:
                raise NotKept(
                    "This picture is not kept any more (the newest are, up to "
                    f"{self._limits.session_bytes // 2**20} MB a tab); draw it again."
                )
            own = self._sessions[session]
            own.move_to_end(str(run_id))
            return own[str(run_id)]

    def drop(self, run: Run) -> None:
        """Keep it no more; where it is not kept, nothing."""
        with self._lock:
            session = self._owner.pop(run.id, None)
            if session is not None:
                self._sessions[session].pop(run.id)
                if not self._sessions[session]:
                    del self._sessions[session]

    def of(self, session: str) -> tuple[Run, ...]:
        """The session's runs, in the order in which they were last used."""
        with self._lock:
            return tuple(self._sessions.get(session, {}).values())

    def nbytes(self, session: str) -> int:
        """What the session keeps."""
        return sum(run.nbytes for run in self.of(session))

    def forget(self, session: str) -> None:
        """The tab is closed: nothing of it stays."""
        with self._lock:
            self._forget(session)

    def _nbytes(self) -> int:
        return sum(run.nbytes for own in self._sessions.values() for run in own.values())

    def _drop_oldest(self) -> None:
        """Of the session that is longest unused, whose last picture takes the session along."""
        session, own = next(iter(self._sessions.items()))
        self._owner.pop(own.popitem(last=False)[0], None)
        if not own:
            del self._sessions[session]

    def _forget(self, session: str) -> None:
        for run_id in self._sessions.pop(session, {}):
            self._owner.pop(run_id, None)


def png(image: Image.Image) -> bytes:
    """The picture's pixels as a PNG, nothing else inside."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
