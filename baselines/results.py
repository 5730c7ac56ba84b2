"""``python -m baselines.results RUN... --out DIR``: a page that sets runs beside each other.

Runs that are not scored yet are scored first. Given the folder of a campaign (`tools.campaign`), the page
is the one of docs/results.md. Writes results.json (every number of the page), results.md (rendered from
results.json alone) and figures. ``--check`` says whether DIR/results.md is what DIR/results.json gives, and
``--render`` makes it so.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from baselines.command import run_command
from baselines.settings import Parser
from three_hundred_maps.errors import InputError
from three_hundred_maps.io import write_bytes, write_json
from tools import runs_page
from tools.campaign import MARK
from tools.campaign_summary import collect, kept_scores, store_of
from tools.results_page import render

SUMMARY, PAGE = "results.json", "results.md"


def main(args: Sequence[str] | None = None) -> None:
    """The command line."""
    run_command(_command, args)


def _command(args: list[str]) -> None:
    parser = Parser(prog="python -m baselines.results", description=__doc__)
    parser.add_argument(
        "runs", type=Path, nargs="*", metavar="RUN", help="runs, or the folder of one campaign"
    )
    parser.add_argument(
        "--out", type=Path, default=None, help="folder of the page (default for a campaign: its page/)"
    )
    parser.add_argument("--data", default=None, help="runs: what they predict (default: what they say)")
    parser.add_argument("--title", default=runs_page.TITLE, help="runs: of the page")
    parser.add_argument("--label", default=None, help="campaign: what was trained, as '8 channels, CPU'")
    parser.add_argument("--check", action="store_true", help="only say whether OUT/results.md is current")
    parser.add_argument("--render", action="store_true", help="only make OUT/results.md anew")
    options = parser.parse_args(args)
    campaign = bool(options.runs) and (options.runs[0] / MARK).is_file()
    if campaign and len(options.runs) > 1:
        raise InputError(f"{options.runs[0]} is a campaign: it makes a page of its own")
    if options.out is None and not campaign:
        raise InputError("--out is needed: the folder of the page")
    out = options.out or options.runs[0] / "page"
    if options.check:
        check(out)
    elif options.render:
        render_again(out)
    elif campaign:
        print(write_page(options.runs[0], out, label=options.label))
    elif options.runs:
        print(write_runs_page(options.runs, out, data=options.data, title=options.title))
    else:
        raise InputError("name the runs of the page, or a campaign; --check and --render need --out alone")


def check(folder: Path) -> None:
    """InputError where results.md is not what results.json gives."""
    expected = _render(folder)
    page = folder / PAGE
    if not page.is_file() or page.read_text(encoding="utf-8") != expected:
        raise InputError(f"{page} is stale: python -m baselines.results --render --out {folder}")


def render_again(folder: Path) -> None:
    """Write results.md from results.json."""
    write_bytes(folder / PAGE, _render(folder).encode())


def _render(folder: Path) -> str:
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"{folder} has no results page: {error}") from None
    if "runs" in summary:
        return runs_page.render(summary["runs"], summary.get("title", runs_page.TITLE))
    return render(summary)


def write_page(campaign: Path, out: Path, *, label: str | None = None) -> Path:
    """Write results.json, results.md and the figures of a finished campaign into ``out``.

    Parameters
    ----------
    campaign
        Where `tools.campaign` left its runs, each with its result.
    label
        What was trained; by default what the campaign's plan says.
    """
    from tools.results_figures import draw_figures

    summary = collect(campaign, label)
    figures = out / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    draw_figures(campaign, store_of(campaign), summary, figures)
    write_json(out / SUMMARY, summary)
    render_again(out)
    return out / PAGE


def write_runs_page(
    runs: Sequence[Path], out: Path, *, data: str | None = None, title: str = runs_page.TITLE
) -> Path:
    """Write results.json, results.md and figures about some runs into ``out``; see `runs_page.score_runs`."""
    from tools.results_figures import draw_statistics

    results = runs_page.score_runs(runs, data)
    rows = [
        {
            name: result.get(name)
            for name in ("name", "track", "parameters", "dataset", "references", "noise_floor")
        }
        | {"scores": kept_scores(result["scores"])}
        for result in results
    ]
    figures = out / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    draw_statistics(dict(zip(runs_page.labels(results), results, strict=True)), figures)
    write_json(out / SUMMARY, {"title": title, "runs": rows})
    render_again(out)
    return out / PAGE


if __name__ == "__main__":
    main(sys.argv[1:])
