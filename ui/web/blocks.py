"""Gradio's app with one way of failing: what goes wrong in an event is a sentence, or an id under which the log has it.

Gradio's own answer to what no handler expected is an error without a word.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from ui.web.studio import sentence


class Blocks(gr.Blocks):
    """As Gradio's."""

    async def process_api(self, block_fn: Any, inputs: list[Any], *arguments: Any, **keywords: Any) -> dict[str, Any]:
        """One event, from what a browser or a program sent to what it is told."""
        takes = len((self.fns[block_fn] if isinstance(block_fn, int) else block_fn).inputs)
        if len(inputs) < takes:
            raise gr.Error(f"{len(inputs)} values were sent, but this takes {takes}.", print_exception=False)
        try:
            answered: dict[str, Any] = await super().process_api(block_fn, inputs, *arguments, **keywords)
            return answered
        except gr.Error:
            raise
        except Exception as error:
            raise gr.Error(sentence(error), print_exception=False) from error
