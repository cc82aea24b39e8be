"""``minicore play``: open the playground in the browser."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from minicore.cli.model import one_or_several
from minicore.cli.options import BackbonesOption
from minicore.runtime import distribution


def play(
    model: Annotated[
        Path | None,
        typer.Argument(
            help="A model that `minicore fit` wrote.", show_default="the five drawn parts"
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(help="Port of 127.0.0.1; 0 means any free port.", min=0, max=65535)
    ] = 0,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only print the address.")
    ] = False,
    backbone: BackbonesOption = None,
) -> None:
    """Open a page in the browser: paint a defect and watch every equation compute. Ctrl-C ends."""
    distribution.require("play", "play", "starlette", "uvicorn")
    from minicore.play.examples import Parts
    from minicore.play.server import Server

    server = Server(Parts(model, one_or_several(backbone)), port)

    def show() -> None:
        print(f"{server.address}\nCtrl-C ends the playground", flush=True)
        if not no_browser:
            webbrowser.open(server.address)

    server.run(show)
