"""The four functions that programs call, by gradio_client or curl (docs/ui.md); as tools they are in tools.py.

Their docstrings are what callers read: they are served with the API and as the tools' descriptions.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

import gradio as gr
from gradio.data_classes import FileData
from gradio.events import api

from pipelines.metadata import file_bytes
from ui.outputs import slug
from ui.web.calls import Calls, Json
from ui.web.files import Files
from ui.web.runs import Run
from ui.web.studio import Drawing, Drawn, Happening, Studio, sentence
from ui.web.telling import session_of
from xattn.errors import Cancelled

if TYPE_CHECKING:
    from PIL.Image import Image

Answer = tuple[Json | None, str, str]
"""A file as Gradio hands it on, which gradio_client saves; a recipe; a run's id."""


def add_endpoints(studio: Studio) -> None:
    """Serve them; to be called inside the gr.Blocks."""
    for function, answer in endpoints(studio):
        # gradio reads the annotations as they stand, and here they are text
        function.__annotations__ = {**get_type_hints(function), "return": answer}
        api(function, api_name=function.__name__, concurrency_limit=None)


def endpoints(studio: Studio) -> list[tuple[Callable[..., Any], Any]]:
    """Each function, and the type of what it answers in the end."""
    calls, files = Calls(studio), studio.files

    def generate(recipe_json: str, request: gr.Request) -> Iterator[Answer]:
        """Draw one picture from a recipe.

        Previews come first, with an empty recipe and id, and no file where there is none yet; the last answer has
        all three. Closing the connection or cancelling the job ends the run within a step.

        Args:
            recipe_json: A recipe as JSON, such as {"prompt": "a fox on purple", "seed": 10}.

        Returns:
            The picture's file with its recipe inside, its whole recipe as JSON, and an id for maps and where.
        """
        yield from _drawn(files, caller(request), lambda session: calls.generate(session, recipe_json))

    def edit(recipe_json: str, edits_json: str, request: gr.Request) -> Iterator[Answer]:
        """Draw a picture again with edits of its attention; seed and all else stay.

        Args:
            recipe_json: The recipe of the picture to start from, as generate answers it.
            edits_json: A list of edits as JSON, such as [{"kind": "reweight", "word": "fox", "scale": 2.0}]. To change
                the prompt as well, an object {"prompt": "a panda on purple", "edits": [{"kind": "replace"}]}.

        Returns:
            The picture's file with its recipe inside, its whole recipe as JSON, and an id for maps and where.
        """
        yield from _drawn(files, caller(request), lambda session: calls.edit(session, recipe_json, edits_json))

    def maps(run_id: str, words: list[str], axis: Literal["none", "step", "layer", "head"]) -> dict[str, Any]:
        """Where words looked while a picture was drawn.

        Args:
            run_id: The id that generate or edit answered.
            words: Words of the prompt, "cat (2)" for the second cat; an empty list is all of them.
            axis: "none" for each word's mean map, or "step", "layer" or "head" for a map for each of these.

        Returns:
            words, labels along the axis, shape [words, axis, height, width], and values as nested lists.
        """
        return told(lambda: calls.maps(run_id, words, axis))

    def where(run_id: str, x: float, y: float) -> dict[str, Any]:
        """What a place of a picture asked of the words: each one's share of its attention.

        Args:
            run_id: The id that generate or edit answered.
            x: From the left, a fraction of the width.
            y: From the top, a fraction of the height.

        Returns:
            x, y, and tokens: each word's share of 1, and what is left for the begin of the text.
        """
        return told(lambda: calls.where(run_id, x, y))

    three = tuple[FileData, str, str]
    return [(generate, three), (maps, dict[str, Any]), (edit, three), (where, dict[str, Any])]


def told(asked: Callable[[], Json]) -> Json:
    """The answer, or what a person should read in its place."""
    try:
        return asked()
    except Exception as error:
        raise gr.Error(sentence(error), print_exception=False) from error


def caller(request: gr.Request) -> str:
    """Whose call it is: the session's, as gradio_client has one; without one all calls of a machine belong together.

    Each of these would else be a session of its own: take places in line as if alone, and push out what tabs keep.
    """
    if request.session_hash and "/call/" not in str(request.url.path):
        return session_of(request)
    client = request.client
    return f"calls from {client.host if client is not None else 'nowhere'}"


def _drawn(files: Files, session: str, begin: Callable[[str], Iterator[Happening]]) -> Iterator[Answer]:
    try:
        for event in begin(session):
            if isinstance(event, Drawing):
                yield None if event.preview is None else _preview(files, session, event.preview), "", ""
            elif isinstance(event, Drawn):
                yield picture(files, session, event.run), event.run.recipe.portable().to_json(), event.run.id
            else:
                yield None, "", ""
    except Cancelled as error:
        raise gr.Error("Stopped.", print_exception=False) from error
    except Exception as error:
        raise gr.Error(sentence(error), print_exception=False) from error


def picture(files: Files, session: str, run: Run) -> Json:
    """The picture's PNG with its recipe inside, as a file that Gradio serves under a name nobody can guess."""
    return _file(files, session, f"{slug(run.recipe.prompt)}-{run.recipe.seed}.png", "image/png", file_bytes(run))


def _preview(files: Files, session: str, image: Image) -> Json:
    """What is seen of a picture that is not done."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=85)
    return _file(files, session, "preview.jpg", "image/jpeg", buffer.getvalue())


def _file(files: Files, session: str, name: str, media: str, data: bytes) -> Json:
    path = files.put(session, name, data)
    made: Json = FileData(path=str(path), orig_name=name, mime_type=media, size=len(data)).model_dump()
    return made
