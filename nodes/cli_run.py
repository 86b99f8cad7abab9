"""`seci-node run`: the agent."""

from typing import Annotated

import typer

from crypto.journal import configure_logging
from nodes.metrics import count_event
from nodes.serving import serve
from nodes.settings import Settings
from nodes.shell import AsJson, Home, answer


def run(
    home: Home,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the API, on loopback; 0 takes a free one.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Run the agent until it is told to stop: SIGTERM or Ctrl-C. Logs are JSON lines on stderr."""
    configure_logging(count_event)
    settings = Settings.load(home)
    node = settings.node
    serve(settings, port, lambda url: answer({"node": node, "url": url}, as_json, f"node {node}: API on {url}"))
