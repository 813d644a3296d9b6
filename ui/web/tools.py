"""The endpoints as tools of language models: what Gradio's MCP server needs to hand their pictures on."""

from __future__ import annotations

from typing import Any

import gradio as gr


def unfold_answers(blocks: gr.Blocks) -> None:
    """Let each part of a tool's answer be told by itself, so that its file becomes a picture; to be called once served.

    Gradio 6 wraps what a queued tool answers into a list of one, and of a tuple in there it makes text, files and all.
    """
    server: Any = blocks.mcp_server_obj
    told = server.postprocess_output_data

    def unfolded(data: Any, root_url: str) -> Any:
        whole = data[0] if len(data) == 1 and isinstance(data[0], list | tuple) else data
        return told(list(whole), root_url)

    server.postprocess_output_data = unfolded
