"""``three-hundred-maps publish``."""

from __future__ import annotations

from pathlib import Path

import typer


def publish(
    folder: Path = typer.Argument(..., metavar="DIR", help="What export wrote."),
    repository: str = typer.Argument(..., metavar="ORG/NAME", help="A data set repository of the Hub."),
    go: bool = typer.Option(False, "--go", help="Do it; without this only the plan is shown."),
    public: bool = typer.Option(False, "--public", help="Make a new repository public (default: private)."),
    pull_request: bool = typer.Option(
        False, "--pull-request", help="Open a pull request, for a repository of someone else."
    ),
    tag: str | None = typer.Option(None, "--tag", help="Tag the commit as this version."),
    message: str | None = typer.Option(None, "--message", help="The commit's message."),
) -> None:
    """Send an export to the Hub: only what changed. Shows the plan first; --go carries it out."""
    from three_hundred_maps.hub import publish as run

    plan, address = run(
        folder,
        repository,
        go=go,
        public=public,
        pull_request=pull_request,
        tag=tag,
        message=message,
    )
    print(plan.describe())
    if not go:
        print("nothing was sent; add --go to do it")
    else:
        print(f"done: {address}" if address else "nothing had changed")
