"""``python -m baselines.publish RUN ORG/NAME``: a run as a model repository, which `from_pretrained` loads.

Says what would be sent to the Hub; with ``--go`` it is sent. A token with the right to write is needed
(``hf auth login``, or ``HF_TOKEN``).
"""

from __future__ import annotations

import json
from pathlib import Path

from baselines.card import CARD, write_card
from baselines.command import command_line
from baselines.model import CONFIG_FILE, MODEL_FILE, from_pretrained
from baselines.settings import Parser
from three_hundred_maps.errors import InputError

FILES = (CARD, CONFIG_FILE, MODEL_FILE, "config.yaml", "log.csv", "curve.png")
"""Of a run, where they are there; ``.eval_results`` comes with them."""
RESULTS = ".eval_results/*.yaml"


def push_to_hub(
    run: str | Path, repository: str, *, result: str | Path | None = None, public: bool = False
) -> str:
    """Send a run to a model repository of the Hub, made where it does not exist.

    Parameters
    ----------
    run
        A finished run of `baselines.unet`.
    repository
        ``ORG/NAME``.
    result
        What ``python -m benchmarks score`` wrote for its submission: the card then shows the scores, and the
        Hub finds them in ``.eval_results``.
    public
        Make a new repository public; by default it is private. One that exists stays as it is.

    Returns
    -------
    The commit's address.

    Raises
    ------
    InputError
        Where the run is no model that loads, or the repository cannot be written.
    """
    from huggingface_hub import HfApi

    from three_hundred_maps.hub.remote import checked_repository, with_retries

    checked_repository(repository)
    files = files_of_run(run, result)
    api = HfApi()
    with_retries(lambda: api.create_repo(repository, private=not public, exist_ok=True), repository)
    commit = with_retries(
        lambda: api.upload_folder(
            repo_id=repository, folder_path=run, allow_patterns=files, commit_message="Send a run"
        ),
        repository,
    )
    return str(commit.commit_url)


def files_of_run(run: str | Path, result: str | Path | None = None) -> list[str]:
    """What of a run is sent, its card written anew with a result; InputError for no run that loads."""
    run = Path(run)
    if not run.is_dir() or not (run / "config.yaml").is_file():
        raise InputError(f"{run} is not a finished run: it has no config.yaml")
    # What is sent is what loads.
    from_pretrained(run)
    if result is not None:
        if not is_of(Path(result), run / "submission"):
            raise InputError(f"{result} is not the result of {run / 'submission'}: score that one")
        write_card(run, Path(result))
    found = sorted(path.relative_to(run).as_posix() for path in run.glob(RESULTS))
    return [name for name in FILES if (run / name).is_file()] + found


def is_of(result: Path, submission: Path) -> bool:
    """Whether a result is that of a submission; true where that is not kept or not told."""
    from benchmarks.results import read_result

    path = submission / "submission.json"
    if not path.is_file():
        return True
    manifest = json.loads(path.read_text(encoding="utf-8"))
    return manifest.get("predictions_sha256") in (None, read_result(result).get("predictions_sha256"))


@command_line
def main(args: list[str]) -> None:
    """The command line."""
    parser = Parser(prog="python -m baselines.publish", description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="a finished run")
    parser.add_argument("repository", metavar="ORG/NAME", help="a model repository of the Hub")
    parser.add_argument("--result", type=Path, help="result of its submission: the card shows the scores")
    parser.add_argument("--public", action="store_true", help="make a new repository public")
    parser.add_argument("--go", action="store_true", help="send; without it, say what would be sent")
    given = parser.parse_args(args)
    if given.go:
        print(push_to_hub(given.run, given.repository, result=given.result, public=given.public))
        return
    from three_hundred_maps.hub.remote import checked_repository

    checked_repository(given.repository)
    for name in files_of_run(given.run, given.result):
        print(f"  + {name} ({(given.run / name).stat().st_size:,} bytes)")
    print(f"nothing was sent; --go sends it to {given.repository}")


if __name__ == "__main__":
    main()
