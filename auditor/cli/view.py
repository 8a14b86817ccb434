"""`pcr-audit view`: a run in the browser, until Ctrl-C."""

from pathlib import Path
from typing import Annotated

import typer


def view(
    run: Annotated[
        Path | None, typer.Argument(help="Run folder, finished or going on. Default: the latest run.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on this machine; 0 takes any free one.")] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
) -> None:
    """Show a run in the browser: its report, its items, and live progress while it goes; on this machine alone."""
    import webbrowser

    from auditor.viewing.serving import open_viewer

    with open_viewer(run, port) as viewer:
        typer.echo(f"{viewer.address} shows {viewer.run}; Ctrl-C ends it")
        if browser:
            webbrowser.open(viewer.address)
        try:
            viewer.serve_forever()
        except KeyboardInterrupt:
            typer.echo("ended", err=True)
