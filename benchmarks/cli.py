"""The command ``python -m benchmarks`` (``thm-bench``): validate, score, fingerprint, leaderboard, ..."""

from __future__ import annotations

from typing import Any

from three_hundred_maps.cli.app import lazy_app, run_app

COMMANDS: dict[str, tuple[str, str]] = {
    "validate": ("benchmarks.commands:validate", "Tell all that is wrong with a submission."),
    "score": ("benchmarks.commands:score", "Score a submission against a store's test split."),
    "fingerprint": (
        "benchmarks.commands:fingerprint",
        "Keep what a data set is, for boards to hold against.",
    ),
    "leaderboard": ("benchmarks.commands:leaderboard", "Render the leaderboard's site from results."),
    "pack": ("benchmarks.commands:pack", "Check a submission and make one archive of it."),
    "seal": ("benchmarks.commands:seal", "Split a store into inputs to publish and truth to keep."),
    "bundle": ("benchmarks.commands:bundle", "Make a Codabench competition of a sealed store."),
    "demo": ("benchmarks.demo:demo", "Build a data set, train four U-Nets, score them, show a report."),
}
"""Command name -> (``module:function``, one-line help)."""


app = lazy_app(COMMANDS)


@app.callback()
def _root() -> None:
    """Score predictions of mass maps, and show what others reached."""


def main(args: list[str] | None = None) -> Any:
    """Run the command line; exits with 0, or 2 after one clear line for bad input."""
    run_app(app, args, program="python -m benchmarks")
