"""``python -m tools.posterior --out DIR``: every model of posterior samples trained and scored, and a page.

For each track: a flow, a random field round the same networks' mean, a deep ensemble, noise on single pixels
round the same ensemble's mean, and a plain U-Net of the same size. Each samples the test split of the data
set it was trained on, that of a twin of another simulation code, and all halos of a real simulation (is it
still right about its errors there?). Writes posterior.json (every number of the page), posterior.md (rendered
from it) and figures into ``--page``; ``--render`` makes the page again from its numbers. ``--small`` writes
posterior-small.json instead, the page's section on a small training set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

from baselines.command import command_line
from baselines.posterior_model import METHODS as SAMPLED
from baselines.settings import Parser
from three_hundred_maps.errors import InputError
from tools.plan import TRACKS
from tools.posterior_page import PAGE, render_again, write_page
from tools.steps import Step, Work, add_running, add_training, as_typed, find_twins, rendered, run_or_list

PLAIN = "unet"
METHODS = (PLAIN, *SAMPLED)
MEMBERS = {"field": "flow", "white": "deep"}
"""Methods whose networks are those of another."""
SIZE = ("--channels", "16", "--poolings", "3", "--shuffle", "2")
"""Of every network."""
PLANS: Mapping[str, Sequence[str]] = {
    "cpu": (),
    "gpu": (
        *("--batch", "128", "--lr", "0.004", "--ema", "0.995", "--no-compile"),
        *("--validate-every", "200", "--validation-lines", "8"),
    ),
}
"""Further options of every network, by device: the preset's where it is a processor."""
MARK = "posterior-runs.json"


@command_line
def main(args: list[str]) -> None:
    """The command line."""
    parser = Parser(prog="python -m tools.posterior", description=__doc__)
    parser.add_argument("--data", default="mini", help="a store, or a recipe to build into OUT")
    parser.add_argument("--twin", default="mini-gizmo", help="that of another code; none: left out")
    parser.add_argument("--real", default="none", help="a store of a real simulation [none: left out]")
    parser.add_argument("--tracks", default="sz,all", help=f"some of {', '.join(TRACKS)}")
    parser.add_argument("--methods", default=",".join(METHODS), help="some of them [all]")
    parser.add_argument("--samples", type=int, default=20, help="of each map (coverage needs 20)")
    parser.add_argument("--flow-steps", type=int, default=1000, help="steps of a flow")
    parser.add_argument("--small", action="store_true", help="for the section on a small training set")
    parser.add_argument("--plan", choices=tuple(PLANS), default="cpu", help="options of the networks [cpu]")
    add_training(parser)
    add_running(parser, render=PAGE)
    options = parser.parse_args(args)
    if rendered(options, render_again):
        return
    out, tracks = options.out, [track.strip() for track in options.tracks.split(",")]
    unknown = [track for track in tracks if track not in TRACKS]
    if unknown:
        raise InputError(f"--tracks {unknown[0]}: there are {', '.join(TRACKS)}")
    methods = [method.strip() for method in options.methods.split(",")]
    for method in methods:
        if method not in METHODS:
            raise InputError(f"--methods {method}: there are {', '.join(METHODS)}")
        if method in MEMBERS and MEMBERS[method] not in methods:
            raise InputError(
                f"--methods {method}: its networks are those of {MEMBERS[method]}, which is left out"
            )
    sources = [data for data in (options.data, options.twin, options.real) if data != "none"]
    found = find_twins(sources, out)
    stages = make_stages(
        {name: store for name, (store, _) in found.items()},
        tracks,
        Work.of(options),
        methods=methods,
        samples=options.samples,
        flow_steps=options.flow_steps,
        settings=PLANS[options.plan],
        real=options.real != "none",
    )
    content = {"data": options.data, "samples": options.samples}
    if not run_or_list(options, stages, found.values(), MARK, content):
        return
    results = [step.done for step in stages[-1]]
    page = options.page or out / "page"
    always = ("data", "twin", "real", "tracks", "samples", "flow_steps")
    command = as_typed(parser, options, always, ("steps", "plan", "methods", "small"))
    print(write_page(results, page, command=command, small=options.small))


def make_stages(
    stores: Mapping[str, Path],
    tracks: Sequence[str],
    work: Work,
    *,
    methods: Sequence[str] = METHODS,
    samples: int,
    flow_steps: int,
    settings: Sequence[str] = (),
    real: bool = False,
) -> list[list[Step]]:
    """Training (first those whose networks others take), sampling, scores.

    Parameters
    ----------
    stores
        By name: what is trained on, its twin where there is one, and last the real one.
    methods
        Some of `METHODS`.
    settings
        Further options of every network.
    real
        Whether there is a real one.
    """
    home, *others = stores
    tasks = {home: "mass-map", **dict.fromkeys(others, "cross-code")}
    if real:
        tasks[others[-1]] = "transfer"
    first: list[Step] = []
    second: list[Step] = []
    sampling: list[Step] = []
    scoring: list[Step] = []
    for track, method in product(tracks, methods):
        run = work.run(f"{method}-{track}")
        options = [*SIZE, *settings, *(["--no-submission"] if method == PLAIN else ["--samples", "0"])]
        if method == "flow":
            options += ["--flow-steps", str(flow_steps)]
        elif method != PLAIN:
            options += ["--method", method]
        if method in MEMBERS:
            options += ["--members", str(work.run(f"{MEMBERS[method]}-{track}"))]
        program = method if method in (PLAIN, "flow") else "ensemble"
        done = "README.md" if method == PLAIN else "config.json"
        step = work.train(run, TRACKS[track], stores[home], *options, program=program, done=done)
        (second if method in MEMBERS else first).append(step)
        drawn = () if method == PLAIN else ("--samples", str(samples))
        for test, store in stores.items():
            split = ("--split", "all") if tasks[test] == "transfer" else ()
            words = ("--task", tasks[test], *split, "--name", method, *drawn)
            sampling.append(work.predict(f"{test}-{method}-{track}", run, store, *words))
            trained_on = ("--trained-on", str(stores[home])) if split else ()
            scoring.append(work.score(sampling[-1], store, *split, *trained_on))
    return [first, second, sampling, scoring]


if __name__ == "__main__":
    main()
