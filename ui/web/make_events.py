"""What happens in the area Make, and what the whole page shares: drawing, stopping, the strip, the model."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import gradio as gr

from pipelines.recipe import Recipe
from ui.web.begin import fitted, mask_for
from ui.web.forms import Form
from ui.web.ledger_view import vocabulary_view
from ui.web.page import Page
from ui.web.studio import Happening, Studio
from ui.web.telling import QUIET, TOLD, Teller, Told, session_of


class MakeEvents:
    """Handlers; each takes what its components hold."""

    def __init__(self, page: Page, studio: Studio, teller: Teller) -> None:
        self._page, self._studio, self._teller = page, studio, teller

    def wire(self, blocks: gr.Blocks) -> gr.events.Dependency:
        """Connect them; to be called inside the gr.Blocks. Answers when a picture of the strip is shown."""
        page, teller = self._page, self._teller
        inputs = [
            *page.settings.all,
            page.count,
            page.model,
            page.base,
            page.edit.picture,
            page.edit.masked,
            page.edit.mask,
        ]
        page.draw.click(
            self.draw, inputs, teller.outputs, js=TOLD, trigger_mode="multiple", concurrency_limit=None, **QUIET
        )
        page.stop.click(self.stop, None, None, queue=False, **QUIET)
        page.dice.click(self.dice, None, [page.settings.seed, page.lock], queue=False, **QUIET)
        # typing is met in the browser (js/chips.js); this is for prompts that come from elsewhere
        page.settings.prompt.change(None, [page.settings.prompt], None, js="(text) => window.xattnLedger?.(text)")
        # what is not queued tells no state's change: who follows the shown picture listens to this as well
        picked = page.strip.pick(self.pick, None, teller.outputs, queue=False, trigger_mode="always_last", **QUIET)
        seed = page.settings.seed
        page.lock.input(self.keep_seed, [page.lock, seed, page.run], [seed], queue=False, **QUIET)
        # who types a seed means it
        seed.input(None, [seed], [page.lock], js="(seed) => seed !== ''")
        page.reset.click(self.drop_carried, None, [page.base, page.carried, page.reset], queue=False, **QUIET)
        timer = gr.Timer(0.5)
        timer.tick(self.ready, None, [page.notice, page.words, page.chips, timer], queue=False, **QUIET)
        usual = [page.settings.width, page.settings.height, page.settings.steps, page.settings.guidance]
        page.model.input(self.choose_model, [page.model], [page.notice, page.words, *usual], queue=False, **QUIET)
        blocks.unload(self.leave)
        return picked  # type: ignore[no-any-return]

    def draw(self, request: gr.Request, *values: Any) -> Iterator[Told]:
        """From the form to a picture, telling what happens meanwhile."""
        *form_values, count, model, base, picture, masked, painted = values

        def begin(session: str) -> Iterator[Happening]:
            form = Form(*form_values)
            carried = None if base is None else Recipe.from_json(base)
            recipe = form.recipe(carried)
            if picture is not None:
                usual = self._studio.models.usual(model)
                init = fitted(picture, recipe.width or usual[0], recipe.height or usual[1])
                recipe = form.recipe(carried, init=init, mask=mask_for(init, painted) if masked else None)
            return self._studio.draw(session, recipe, count=int(count), model=model)

        yield from self._teller.tell(request, begin)

    def stop(self, request: gr.Request) -> None:
        """Stop what this tab draws."""
        self._studio.line.stop(session_of(request))

    def leave(self, request: gr.Request) -> None:
        """The tab is closed."""
        self._studio.leave(session_of(request))

    def dice(self) -> tuple[str, bool]:
        """Another seed, which the next picture has."""
        return str(secrets.randbelow(2**32)), True

    def pick(self, request: gr.Request, event: gr.EventData) -> Told:
        """A picture of the strip."""
        return self._teller.show(request, event._data.get("id"))

    def drop_carried(self) -> tuple[Any, ...]:
        """Forget what a dropped picture brought that the form has no place for."""
        return None, {"fields": []}, gr.Button(visible=False)

    def ready(self) -> tuple[Any, ...]:
        """Whether the model is there; until then this is asked again."""
        self._studio.models.page_is_there()
        pipe = self._studio.models.loaded
        if pipe is None:
            models = self._studio.models
            return {"text": models.notice, "failed": models.failed}, gr.skip(), gr.skip(), gr.skip()
        words = vocabulary_view(pipe.model.vocabulary)
        return {"text": ""}, words, {"ready": pipe.model.ref.name}, gr.Timer(active=False)

    def keep_seed(self, lock: bool, seed: str, shown: str | None) -> Any:
        """The shown picture's seed stays, unless another one was typed; or none does."""
        if not lock:
            return ""  # what stands there is drawn with
        if seed:
            return gr.skip()
        try:
            return str(self._studio.runs.get(shown).recipe.seed)
        except ValueError:
            return self.dice()[0]

    def choose_model(self, name: str) -> tuple[Any, ...]:
        """Another model is chosen: it is loaded when it is drawn with; its words and usual settings show."""
        held = self._studio.models.loaded
        same = held is not None and held.model.ref.name == name
        usual = self._studio.models.usual(name)
        told = {"text": "" if same else f"{name} is loaded when you draw."}
        return told, vocabulary_view(self._studio.models.vocabulary(name)), *usual
