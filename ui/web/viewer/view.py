"""The whole of what is shown at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ui.web.viewer.data import MODES, Block, Json, Mode, Piece, PlaceAnswer, Region, Word
from xattn.errors import BadValue, UnknownName


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A picture and everything the viewer shows about it: README.md beside this file says what each field does.

    id: the run; the same id keeps what a person chose and painted
    picture, before: `data:` URL, or a URL of the host that serves the page
    width, height: of the picture, in pixels
    words: along the first axis of every block of `maps`
    fields: painted fields to begin with, grey PNG as base64, by word index
    modes: which are offered; None leaves out those that have no data
    mask: what is painted is where a picture may change, not a word: the event is `mask`, and the mode before comes back
    main: the word that is shown before one is chosen, by its place; the longest unless given
    plain: whether none is shown before one is chosen
    raised: whether an edit may have raised shares over 1; elsewhere that is the overshoot of enlarging, told as 1
    blend: where local blending let the picture differ from `before`: a grey PNG, base64, a pixel a cell of the latents
    Raises BadValue, UnknownName.
    """

    id: str
    picture: str | None
    width: int
    height: int
    words: tuple[Word, ...] = ()
    prompt: tuple[Piece, ...] = ()
    maps: tuple[Block, ...] = ()
    before: str | None = None
    before_label: str = "before"
    after_label: str = "after"
    modes: tuple[Mode, ...] | None = None
    mode: Mode | None = None
    fields: Mapping[int, str] = field(default_factory=dict)
    regions: tuple[Region, ...] = ()
    place: PlaceAnswer | None = None
    note: str = ""
    mask: bool = False
    blend: str | None = None
    raised: bool = False
    main: int | None = None
    plain: bool = False

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise BadValue("size", (self.width, self.height), "one pixel or more each way")
        for block in self.maps:
            if block.bytes.shape[0] != len(self.words):
                got = f"{block.bytes.shape[0]} words in a block of maps"
                raise BadValue("maps", got, f"as many as `words`, which are {len(self.words)}")
        for piece in self.prompt:
            if piece.word is not None and not 0 <= piece.word < len(self.words):
                raise BadValue("prompt", piece, f"pieces whose word is None or 0 … {len(self.words) - 1}")
        for mode in (*(self.modes or ()), *((self.mode,) if self.mode else ())):
            if mode not in MODES:
                raise UnknownName("mode", mode, MODES)

    def to_json(self, *, compress: bool = False) -> Json:
        """As the browser reads it; `compress` gzips the maps."""
        told: Json = {
            "version": 1,
            "id": self.id,
            "picture": self.picture,
            "width": self.width,
            "height": self.height,
            "words": [word.to_json() for word in self.words],
            "prompt": [piece.to_json() for piece in self.prompt],
            "maps": [block.to_json(compress=compress) for block in self.maps],
            "before": self.before,
            "before_label": self.before_label,
            "after_label": self.after_label,
            "fields": {str(word): png for word, png in self.fields.items()},
            "regions": [region.to_json() for region in self.regions],
            "place": None if self.place is None else self.place.to_json(),
            "note": self.note,
        }
        if self.modes is not None:
            told["modes"] = list(self.modes)
        if self.mode is not None:
            told["mode"] = self.mode
        if self.mask:
            told["mask"] = True
        if self.raised:
            told["raised"] = True
        if self.main is not None:
            told["main"] = self.main
        if self.plain:
            told["plain"] = True
        if self.blend is not None:
            told["blend"] = self.blend
        return told
