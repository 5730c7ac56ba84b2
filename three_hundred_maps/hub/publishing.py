"""Send an exported folder to the Hub: only what changed, after a plan that was shown."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError
from huggingface_hub.utils.sha import git_hash

from three_hundred_maps.errors import InputError
from three_hundred_maps.hub.exporting import write_root_files
from three_hundred_maps.hub.manifests import MANIFEST, parse_manifest
from three_hundred_maps.hub.remote import checked_repository, with_retries
from three_hundred_maps.io import sha256_file


@dataclass(frozen=True)
class Plan:
    """What publishing would do.

    Parameters
    ----------
    repository
        ``ORG/NAME``.
    new
        Whether the repository must be made first.
    private
        Whether it is (or will be) private.
    send, keep, remove
        Paths to send (with their sizes in bytes), that are there already, and that are there but no longer
        in the export.
    """

    repository: str
    new: bool
    private: bool
    send: dict[str, int]
    keep: tuple[str, ...]
    remove: tuple[str, ...]

    def describe(self) -> str:
        """The plan as text."""
        megabytes = sum(self.send.values()) / 1e6
        state = "new" if self.new else "there"
        lines = [
            f"repository  {self.repository} ({state}, {'private' if self.private else 'public'})",
            f"to send     {len(self.send)} files, {megabytes:,.1f} MB",
            f"unchanged   {len(self.keep)} files",
            f"to remove   {len(self.remove)} files",
        ]
        lines += [f"  + {path}" for path in list(self.send)[:12]]
        lines += ["  + ..."] if len(self.send) > 12 else []
        lines += [f"  - {path}" for path in self.remove[:12]]
        lines += ["  - ..."] if len(self.remove) > 12 else []
        return "\n".join(lines)


def publish(
    folder: str | os.PathLike[str],
    repository: str,
    *,
    go: bool = False,
    public: bool = False,
    pull_request: bool = False,
    tag: str | None = None,
) -> tuple[Plan, str | None]:
    """Send an exported folder to a data set repository of the Hub.

    The token is the one that ``hf auth login`` stored, or ``HF_TOKEN``; it is never printed.

    Files whose bytes are there already are not sent; what an interrupted run sent is not sent again. Files
    of the repository that the export no longer holds are removed with the same commit.

    Parameters
    ----------
    folder
        What `export` wrote.
    repository
        ``ORG/NAME``.
    go
        False: find out what would be done, and send nothing; the card in ``folder`` names ``repository``.
    public
        Make a new repository public; by default it is private. One that exists stays as it is.
    pull_request
        Open a pull request instead of committing: for a repository of someone else.
    tag
        A version to tag the commit with: a new name, because a version that was published stays what it is.

    Returns
    -------
    the plan, and the address of the commit or pull request (None where nothing was sent)

    Raises
    ------
    InputError
        A folder that is no export or was changed since; a repository that cannot be reached or written; a tag
        that is on another version.
    """
    checked_repository(repository)
    if tag is not None and (pull_request or not tag.strip() or set(tag) & set(" ~^:?*[\\")):
        raise InputError(
            f"tag {tag!r}: " + ("a pull request cannot be tagged" if pull_request else "not a tag's name")
        )
    root = Path(folder)
    manifest = read_export(root)
    if manifest["repository"] != repository:
        manifest = write_root_files(root, manifest, repository)
    api = HfApi()
    plan = make_plan(api, root, manifest, repository, public=public)
    if tag is not None and not plan.new:
        check_tag(api, repository, tag, changes=bool(plan.send or plan.remove))
    if not go:
        return plan, None
    if plan.new and pull_request:
        raise InputError(f"{repository} does not exist: a pull request needs a repository to go to")
    if plan.new:
        with_retries(
            lambda: api.create_repo(repository, repo_type="dataset", private=not public, exist_ok=True),
            repository,
        )
    address = None
    if plan.send or plan.remove:
        commit = with_retries(
            lambda: api.upload_folder(
                repo_id=repository,
                repo_type="dataset",
                folder_path=root,
                allow_patterns=[glob.escape(path) for path in plan.send],
                delete_patterns=[glob.escape(path) for path in plan.remove] or None,
                commit_message="Publish maps",
                create_pr=pull_request,
            ),
            repository,
        )
        address = commit.pr_url or commit.commit_url
    if tag is not None:
        with_retries(
            lambda: api.create_tag(repository, tag=tag, repo_type="dataset", exist_ok=True),
            repository,
        )
    return plan, address


def check_tag(api: HfApi, repository: str, tag: str, *, changes: bool) -> None:
    """InputError where a tag is there already, unless it is on what is published and nothing will change."""
    refs = with_retries(lambda: api.list_repo_refs(repository, repo_type="dataset"), repository)
    commits = [ref.target_commit for ref in refs.tags if ref.name == tag]
    main = [ref.target_commit for ref in refs.branches if ref.name == "main"]
    if commits and (changes or commits != main):
        raise InputError(f"{repository} has a tag {tag!r} already, on another version: name a new one")


def read_export(root: Path) -> dict[str, Any]:
    """The manifest of an export whose files are all there and as they were written.

    Sizes of all files are compared here; checksums of the small ones, where an edit by hand is likely.
    """
    if not (root / MANIFEST).is_file() or (root / "zarr.json").is_file():
        what = "but a store" if (root / "zarr.json").is_file() else f"no {MANIFEST}"
        raise InputError(f"{root} is not an export ({what}): make one with three-hundred-maps export")
    manifest = parse_manifest((root / MANIFEST).read_bytes(), str(root))
    inside = root.resolve()
    for path, entry in manifest["files"].items():
        file = root / path
        if not file.resolve().is_relative_to(inside):
            raise InputError(f"{root}: {path} is a link that leaves the folder; it is not sent")
        if not file.is_file():
            raise InputError(f"{root}: {path} is missing; export again")
        changed = file.stat().st_size != entry["bytes"]
        if changed or (entry["bytes"] < 1_000_000 and sha256_file(file) != entry["sha256"]):
            raise InputError(f"{root}: {path} was changed after the export; export again")
    return manifest


def make_plan(api: HfApi, root: Path, manifest: Mapping[str, Any], repository: str, *, public: bool) -> Plan:
    """Compare an export with what the repository holds."""
    local = {path: dict(entry) for path, entry in manifest["files"].items()}
    data = (root / MANIFEST).read_bytes()
    local[MANIFEST] = {"bytes": len(data), "sha256": sha256_file(root / MANIFEST)}
    try:
        info = with_retries(
            lambda: api.dataset_info(repository), repository, let_through=(RepositoryNotFoundError,)
        )
    except RepositoryNotFoundError:
        sizes = {path: int(entry["bytes"]) for path, entry in sorted(local.items())}
        return Plan(repository, True, not public, sizes, (), ())
    there = remote_checksums(api, repository)
    send: dict[str, int] = {}
    keep: list[str] = []
    for path, entry in sorted(local.items()):
        known = there.get(path, "")  # sha256 of a large file, git's own of a small one
        if known and known == (entry["sha256"] if len(known) == 64 else git_hash((root / path).read_bytes())):
            keep.append(path)
        else:
            send[path] = int(entry["bytes"])
    remove = tuple(sorted(p for p in there if p not in local and not p.startswith(".")))
    return Plan(repository, False, bool(info.private), send, tuple(keep), remove)


def remote_checksums(api: HfApi, repository: str) -> dict[str, str]:
    """sha256 (large files) or git blob id (small ones) of every file of a repository."""

    def listing() -> dict[str, str]:
        found = {}
        for item in api.list_repo_tree(repository, repo_type="dataset", recursive=True):
            blob = getattr(item, "blob_id", None)
            if blob is not None:
                lfs = getattr(item, "lfs", None)
                found[item.path] = lfs.sha256 if lfs is not None else blob
        return found

    try:
        return with_retries(listing, repository, let_through=(EntryNotFoundError,))
    except EntryNotFoundError:
        return {}
