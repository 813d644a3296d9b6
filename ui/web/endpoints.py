"""The four functions that programs call, by gradio_client, curl or as tools of a language model (docs/ui.md).

Their docstrings are what callers read: they are served with the API and as the tools' descriptions.
"""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, get_type_hints

import gradio as gr
from gradio.data_classes import FileData
from gradio.events import api
from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder

from pipelines.attention_maps import AttentionMaps
from pipelines.ledger import phrase_parts, word_key
from pipelines.metadata import file_bytes
from pipelines.recipe import Recipe
from ui.outputs import slug
from ui.web.edits import edited_recipe, read_list
from ui.web.runs import Run
from ui.web.studio import Drawing, Drawn, Happening, Studio, sentence
from ui.web.where import where as where_of
from xattn.errors import BadValue, Cancelled, UnknownName, UnknownWord

if TYPE_CHECKING:
    from PIL.Image import Image

Json = dict[str, Any]
Answer = tuple[Json | None, str, str]
"""A file as Gradio hands it on: gradio_client saves it, and tools of a language model become a picture to look at."""
_AXES = ("none", "step", "layer", "head")


def add_endpoints(studio: Studio) -> None:
    """Serve them; to be called inside the gr.Blocks."""
    for function, answer in endpoints(studio):
        # gradio reads the annotations as they stand, and here they are text
        function.__annotations__ = {**get_type_hints(function), "return": answer}
        api(function, api_name=function.__name__, concurrency_limit=None)


def endpoints(studio: Studio) -> list[tuple[Callable[..., Any], Any]]:
    """Each function, and the type of what it answers in the end."""

    def generate(recipe_json: str, request: gr.Request) -> Iterator[Answer]:
        """Draw one picture from a recipe.

        Previews come first, with an empty recipe and id, and no file where there is none yet; the last answer has
        all three. Closing the connection or cancelling the job ends the run within a step.

        Args:
            recipe_json: A recipe as JSON, such as {"prompt": "a fox on purple", "seed": 10}.

        Returns:
            The picture's file with its recipe inside, its whole recipe as JSON, and an id for maps and where.
        """
        yield from _drawn(request, lambda session: studio.draw(session, _recipe(studio, recipe_json)))

    def edit(recipe_json: str, edits_json: str, request: gr.Request) -> Iterator[Answer]:
        """Draw a picture again with edits of its attention; seed and all else stay.

        Args:
            recipe_json: The recipe of the picture to start from, as generate answers it.
            edits_json: A list of edits as JSON, such as [{"kind": "reweight", "word": "fox", "scale": 2.0}]. To change
                the prompt as well, an object {"prompt": "a panda on purple", "edits": [{"kind": "replace"}]}.

        Returns:
            The picture's file with its recipe inside, its whole recipe as JSON, and an id for maps and where.
        """

        def begin(session: str) -> Iterator[Happening]:
            base = _recipe(studio, recipe_json)
            given = _edits(studio.limits.check_json("edits_json", edits_json))
            prompt, listed = (
                (given.get("prompt", ""), given.get("edits", [])) if isinstance(given, dict) else ("", given)
            )
            held = studio.models.get()
            resolved = held.resolve(base) if base.seed is None else base
            recipe = edited_recipe(
                resolved, studio.limits.check_text("prompt", prompt), read_list(listed, studio.limits)
            )
            return studio.draw(session, recipe)

        yield from _drawn(request, begin)

    def maps(run_id: str, words: list[str], axis: str) -> dict[str, Any]:
        """Where words looked while a picture was drawn.

        Args:
            run_id: The id that generate or edit answered.
            words: Words of the prompt, "cat (2)" for the second cat; an empty list is all of them.
            axis: "none" for each word's mean map, or "step", "layer" or "head" for a map for each of these.

        Returns:
            words, labels along the axis, shape [words, axis, height, width], and values as nested lists.
        """
        try:
            run = studio.runs.get(run_id)
            if axis not in _AXES:
                raise UnknownName("axis", axis, _AXES)
            return _maps(run, words, axis)
        except Exception as error:
            raise gr.Error(sentence(error), print_exception=False) from error

    def where(run_id: str, x: float, y: float) -> dict[str, Any]:
        """What a place of a picture asked of the words: each one's share of its attention.

        Args:
            run_id: The id that generate or edit answered.
            x: From the left, a fraction of the width.
            y: From the top, a fraction of the height.

        Returns:
            x, y, and tokens: each word's share of 1, and what is left for the begin of the text.
        """
        try:
            return where_of(studio.runs.get(run_id), x, y).to_json()
        except Exception as error:
            raise gr.Error(sentence(error), print_exception=False) from error

    three = tuple[FileData, str, str]
    return [(generate, three), (maps, dict[str, Any]), (edit, three), (where, dict[str, Any])]


def _drawn(request: gr.Request, begin: Callable[[str], Iterator[Happening]]) -> Iterator[Answer]:
    # tools of a language model come without a session; each call then has its own
    session = str(request.session_hash or f"call-{secrets.token_urlsafe(12)}")
    try:
        for event in begin(session):
            if isinstance(event, Drawing):
                yield None if event.preview is None else _preview(event.preview), "", ""
            elif isinstance(event, Drawn):
                yield _picture(event.run), event.run.recipe.portable().to_json(), event.run.id
            else:
                yield None, "", ""
    except Cancelled as error:
        raise gr.Error("Stopped.", print_exception=False) from error
    except Exception as error:
        raise gr.Error(sentence(error), print_exception=False) from error


def _picture(run: Run) -> Json:
    """The picture's PNG with its recipe inside, as a file that Gradio serves under a name nobody can guess."""
    return _file(f"{slug(run.recipe.prompt)}-{run.recipe.seed}.png", "image/png", file_bytes(run))


def _preview(image: Image) -> Json:
    """What is seen of a picture that is not done."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=85)
    return _file("preview.jpg", "image/jpeg", buffer.getvalue())


def _file(name: str, media: str, data: bytes) -> Json:
    """In the page's temporary folder, which Gradio empties of what is an hour old."""
    path = save_bytes_to_cache(data, name, get_upload_folder())
    made: Json = FileData(path=path, orig_name=name, mime_type=media, size=len(data)).model_dump()
    return made


def _edits(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadValue("edits_json", text[:60], "a list of edits as JSON", str(error)) from error


def _recipe(studio: Studio, text: str) -> Recipe:
    return Recipe.from_json(studio.limits.check_json("recipe_json", text))


def _maps(run: Run, words: object, axis: str) -> dict[str, Any]:
    kept = run.maps
    if kept is None:
        raise BadValue("run", "without maps", "a picture whose maps were kept", "A smaller picture keeps them")
    if not isinstance(words, list) or len(words) > len(kept.words):
        raise BadValue("words", words if isinstance(words, str) else "a list too long", "a list of words of the prompt")
    chosen = [_place(run, word) for word in words] or list(range(len(kept.words)))
    labels = {
        "none": [],
        "step": list(kept.steps),
        "layer": [layer.name for layer in kept.layers],
        "head": list(range(kept.values.shape[3])),
    }[axis]
    if axis != "none" and not labels:
        raise BadValue("axis", axis, "left out: these maps were not kept by it", "A smaller picture keeps all axes")
    values = kept.mean(words=chosen, keep=() if axis == "none" else (axis,))
    shaped = values.reshape(len(chosen), -1, *values.shape[4:])
    return {
        "words": [AttentionMaps.label(kept.words[place]) for place in chosen],
        "axis": axis,
        "labels": labels,
        "shape": list(shaped.shape),
        "values": [[[[round(float(v), 6) for v in row] for row in one] for one in word] for word in shaped],
    }


def _place(run: Run, word: object) -> int:
    assert run.maps is not None
    labels = [AttentionMaps.label(known) for known in run.maps.words]
    wanted = word_key(str(word)) if isinstance(word, str) else ""
    for place, (label, known) in enumerate(zip(labels, run.maps.words, strict=True)):
        if wanted == word_key(label) or (phrase_parts(known)[1] == 1 and wanted == word_key(phrase_parts(known)[0])):
            return place
    raise UnknownWord(str(word)[:60], labels)
