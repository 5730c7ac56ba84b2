"""A stand-in for the Hugging Face Hub on a loopback port: enough of its API for what the package does.

Reads (metadata, tree, refs, resolve with ranges), writes (repositories, preupload, LFS, commits,
pull requests, tags), and trouble on demand. Real HTTP; nothing of the clients is replaced.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

Run = Callable[..., subprocess.CompletedProcess[str]]
"""The fixture ``run``: Python in a process of its own."""

TOKEN = "hf_" + "t" * 34
OWNER = "org"


def git_sha(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


@dataclass
class Repo:
    private: bool = False
    refs: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], ref: str = "main") -> str:
        sha = hashlib.sha1(repr((ref, len(self.commits), sorted(files))).encode()).hexdigest()
        self.commits[sha] = dict(files)
        self.refs[ref] = sha
        return sha

    def find(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        sha = self.refs.get(revision) or self.tags.get(revision) or revision
        return (sha, self.commits[sha]) if sha in self.commits else None


@dataclass
class Trouble:
    """What goes wrong the first ``times`` times.

    A status; ``cut`` (half is sent, then the line is cut), ``stall`` (half is sent, then nothing more),
    ``corrupt``, ``redirect``, ``no-ranges`` (all is sent, whatever range was asked for), ``endless``,
    ``drip`` (a byte at a time), ``nameless`` (no commit is named), or ``body`` (200 and a text).
    """

    match: str
    kind: str | int
    times: int = 1
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)


class FakeHub:
    """The server; ``log`` lists every request as ``METHOD path`` and ``sent`` the bytes of each answer."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.troubles: list[Trouble] = []
        self.log: list[str] = []
        self.received = 0
        self.ranges: list[str] = []
        self.lock = threading.Lock()
        hub = self

        class Handler(_Handler):
            server_hub = hub

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def add(self, name: str, files: dict[str, bytes], *, private: bool = False) -> Repo:
        repo = self.repos[name] = Repo(private)
        repo.commit(files)
        return repo

    def trouble_for(self, method: str, path: str) -> Trouble | None:
        with self.lock:
            for trouble in self.troubles:
                if trouble.times > 0 and trouble.method == method and re.search(trouble.match, path):
                    trouble.times -= 1
                    return trouble
        return None


class _Handler(BaseHTTPRequestHandler):
    server_hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        return

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def json(self, value: object, status: int = 200, **headers: str) -> None:
        self.reply(status, json.dumps(value).encode(), Content_Type="application/json", **headers)

    def body(self) -> bytes:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server_hub.received += len(data)
        return data

    def authorised(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def handle_any(self) -> None:
        hub, url = self.server_hub, urlsplit(self.path)
        path = unquote(url.path)
        with hub.lock:
            hub.log.append(f"{self.command} {path}")
        trouble = hub.trouble_for(self.command, path)
        if trouble is not None and isinstance(trouble.kind, int):
            self.body()
            self.reply(trouble.kind, b"trouble", **trouble.headers)
            return
        if trouble is not None and trouble.kind == "body":
            self.body()
            self.reply(200, trouble.headers["body"].encode(), Content_Type="application/json")
            return
        if trouble is not None and trouble.kind == "redirect":
            self.reply(302, Location=self.path + ("&" if url.query else "?") + "redirected=1")
            return
        query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        for pattern, method in _ROUTES:
            found = re.fullmatch(pattern, path)
            if found:
                getattr(self, method)(query, trouble, **found.groupdict())
                return
        self.json({"error": f"no such route {path}"}, 404)

    do_GET = do_HEAD = do_POST = do_PUT = handle_any

    # -- reading ------------------------------------------------------------------------------------------

    def at(self, name: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """(commit, files), or an answer that says what is wrong."""
        repo = self.server_hub.repos.get(name)
        if repo is None or (repo.private and not self.authorised()):
            self.json({"error": "Repository not found"}, 401, X_Error_Code="RepoNotFound")
            return None
        found = repo.find(revision)
        if found is None:
            self.json({"error": "Invalid rev id"}, 404, X_Error_Code="RevisionNotFound")
        return found

    def entry(self, path: str, data: bytes) -> dict[str, object]:
        entry: dict[str, object] = {"type": "file", "path": path, "size": len(data), "oid": git_sha(data)}
        if is_large(path, data):
            entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
        return entry

    def info(self, query: dict[str, str], trouble: object, name: str, revision: str = "main") -> None:
        found = self.at(name, revision)
        if found:
            sha, files = found
            siblings = [{"rfilename": path} for path in sorted(files)]
            repo = self.server_hub.repos[name]
            self.json({"id": name, "sha": sha, "private": repo.private, "siblings": siblings, "tags": []})

    def refs(self, query: dict[str, str], trouble: object, name: str) -> None:
        repo = self.server_hub.repos[name]
        listed = [{"name": n, "ref": f"refs/heads/{n}", "targetCommit": s} for n, s in repo.refs.items()]
        tags = [{"name": n, "ref": f"refs/tags/{n}", "targetCommit": s} for n, s in repo.tags.items()]
        self.json({"branches": listed, "tags": tags, "converts": []})

    def tree(self, query: dict[str, str], trouble: object, name: str, revision: str, path: str = "") -> None:
        found = self.at(name, revision)
        if not found:
            return
        prefix = path.strip("/") + "/" if path and path.strip("/") else ""
        inside = {p: d for p, d in found[1].items() if p.startswith(prefix)}
        if prefix and not inside:
            self.json({"error": "not found"}, 404, X_Error_Code="EntryNotFound")
            return
        listed: dict[str, object] = {}
        for p, data in sorted(inside.items()):
            head, slash, _ = p[len(prefix) :].partition("/")
            if slash:
                folder = {"type": "directory", "path": prefix + head, "size": 0, "oid": git_sha(b"")}
                listed.setdefault(prefix + head, folder)
            if not slash or query.get("recursive", "").lower() == "true":
                listed[p] = self.entry(p, data)
        self.json(list(listed.values()))

    def resolve(
        self, query: dict[str, str], trouble: Trouble | None, name: str, revision: str, path: str
    ) -> None:
        found = self.at(name, revision)
        if not found:
            return
        sha, files = found
        if path not in files:
            self.json({"error": "not found"}, 404, X_Error_Code="EntryNotFound", X_Repo_Commit=sha)
            return
        data = files[path]
        etag = hashlib.sha256(data).hexdigest() if is_large(path, data) else git_sha(data)
        common = {"ETag": f'"{etag}"', "X_Repo_Commit": sha, "Accept_Ranges": "bytes"}
        if trouble is not None and trouble.kind == "nameless":
            del common["X_Repo_Commit"]
        if trouble is not None and trouble.kind in ("endless", "drip"):
            self.pour(1 if trouble.kind == "drip" else 1 << 16, trouble.headers.get("length"), common)
            return
        if trouble is not None and trouble.kind == "corrupt":
            data = bytes([data[0] ^ 0xFF]) + data[1:]
        status, part = 200, data
        header = self.headers.get("Range") or ""
        if suffix := re.fullmatch(r"bytes=-(\d+)", header):
            header = f"bytes={max(0, len(data) - int(suffix[1]))}-"
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", header)
        if asked:
            self.server_hub.ranges.append(asked[0])
        if asked and not (trouble is not None and trouble.kind == "no-ranges"):
            first, last = int(asked[1]), int(asked[2] or len(data) - 1)
            if first >= len(data):
                self.reply(416, Content_Range=f"bytes */{len(data)}", **common)
                return
            part, status = data[first : last + 1], 206
            common["Content_Range"] = f"bytes {first}-{first + len(part) - 1}/{len(data)}"
        if trouble is not None and trouble.kind in ("cut", "stall"):
            # The length of all is announced, half is sent.
            self.reply(status, part[: len(part) // 2], Content_Length=str(len(part)), **common)
            self.wfile.flush()
            if trouble.kind == "stall":
                self.rfile.read(1)  # until the other side is gone
            self.close_connection = True
            self.connection.shutdown(2)
            return
        self.reply(status, part, Content_Length=str(len(part)), **common)

    def pour(self, block: int, length: str | None, common: dict[str, str]) -> None:
        """Send blocks until the other side has enough of it; without a length they are chunks."""
        self.send_response(206 if self.headers.get("Range") else 200)
        for name, value in common.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header(*(("Content-Length", length) if length else ("Transfer-Encoding", "chunked")))
        self.end_headers()
        data = b"x" * block
        try:
            while True:
                self.wfile.write(data if length else b"%x\r\n%b\r\n" % (block, data))
                self.wfile.flush()
                if block == 1:
                    time.sleep(0.02)
        except OSError:
            self.close_connection = True

    # -- writing ------------------------------------------------------------------------------------------

    def create(self, query: dict[str, str], trouble: object) -> None:
        asked = json.loads(self.body())
        name = f"{asked.get('organization') or OWNER}/{asked['name']}"
        if not self.authorised():
            self.json({"error": "log in"}, 401)
        elif name in self.server_hub.repos:
            self.json({"error": "exists", "url": f"{self.server_hub.url}/datasets/{name}"}, 409)
        else:
            private = bool(asked.get("private")) or asked.get("visibility") == "private"
            self.server_hub.add(name, {".gitattributes": b"*.parquet filter=lfs\n"}, private=private)
            kind = "datasets/" if asked.get("type") == "dataset" else ""
            self.json({"url": f"{self.server_hub.url}/{kind}{name}", "name": name, "id": name})

    def may_write(self, name: str, *, pull_request: bool = False) -> bool:
        if not self.authorised():
            self.json({"error": "log in"}, 401)
        elif name not in self.server_hub.repos:
            self.json({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
        elif not name.startswith(f"{OWNER}/") and not pull_request:
            self.json({"error": "Forbidden: you may open a pull request"}, 403)
        else:
            return True
        return False

    def preupload(self, query: dict[str, str], trouble: object, name: str, revision: str) -> None:
        asked = json.loads(self.body())
        if not self.authorised():
            self.json({"error": "log in"}, 401)
            return
        files = []
        for item in asked["files"]:
            sample = base64.b64decode(item["sample"])
            large = is_large(item["path"], sample) or item["size"] > 10_000_000
            mode = "lfs" if large else "regular"
            files.append({"path": item["path"], "uploadMode": mode, "shouldIgnore": False, "oid": None})
        self.json({"files": files})

    def lfs_batch(self, query: dict[str, str], trouble: object, name: str) -> None:
        asked = json.loads(self.body())
        objects = []
        for item in asked["objects"]:
            known = item["oid"] in self.server_hub.blobs
            href = f"{self.server_hub.url}/lfs/{item['oid']}"
            actions = {} if known else {"actions": {"upload": {"href": href, "header": {}}}}
            objects.append({**item, **actions})
        self.json({"transfer": "basic", "objects": objects})

    def lfs_put(self, query: dict[str, str], trouble: object, oid: str) -> None:
        data = self.body()
        if hashlib.sha256(data).hexdigest() != oid:
            self.json({"error": "checksum"}, 400)
            return
        self.server_hub.blobs[oid] = data
        self.reply(200)

    def commit(self, query: dict[str, str], trouble: object, name: str, revision: str) -> None:
        lines = [json.loads(line) for line in self.body().splitlines()]
        pull_request = query.get("create_pr") in ("1", "true", "True")
        if not self.may_write(name, pull_request=pull_request):
            return
        repo = self.server_hub.repos[name]
        found = repo.find(revision)
        files = dict(found[1]) if found else {}
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server_hub.blobs[value["oid"]]
            elif line["key"] == "deletedFile":
                files.pop(value["path"])
        ref = f"refs/pr/{1 + sum(r.startswith('refs/pr') for r in repo.refs)}" if pull_request else "main"
        sha = repo.commit(files, ref)
        address = f"{self.server_hub.url}/datasets/{name}"
        answer = {"success": True, "commitOid": sha, "commitUrl": f"{address}/commit/{sha}"}
        if pull_request:
            answer["pullRequestUrl"] = f"{address}/discussions/{ref.rsplit('/', 1)[-1]}"
        self.json(answer)

    def tag(self, query: dict[str, str], trouble: object, name: str, revision: str) -> None:
        asked = json.loads(self.body())
        if self.may_write(name):
            found = self.server_hub.repos[name].find(revision)
            assert found is not None
            tags = self.server_hub.repos[name].tags
            known = asked["tag"] in tags
            tags.setdefault(asked["tag"], found[0])
            self.reply(409 if known else 201)

    def validate(self, query: dict[str, str], trouble: object) -> None:
        self.body()
        self.json({"errors": [], "warnings": []})


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its relative path."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def is_large(path: str, data: bytes) -> bool:
    """What the Hub would keep in LFS: Parquet, pictures and binary data."""
    return path.endswith((".parquet", ".png")) or b"\0" in data[:512]


_NAME = r"(?P<name>[\w.-]+/[\w.-]+)"
_REVISION = r"(?P<revision>refs/pr/\d+|[^/]+)"
_KIND = "(?:datasets|models)"
_ROUTES = (
    (rf"/api/{_KIND}/{_NAME}", "info"),
    (rf"/api/{_KIND}/{_NAME}/revision/{_REVISION}", "info"),
    (rf"/api/{_KIND}/{_NAME}/refs", "refs"),
    (rf"/api/{_KIND}/{_NAME}/tree/{_REVISION}(?P<path>/.*)?", "tree"),
    (rf"/api/{_KIND}/{_NAME}/preupload/{_REVISION}", "preupload"),
    (rf"/api/{_KIND}/{_NAME}/commit/{_REVISION}", "commit"),
    (rf"/api/{_KIND}/{_NAME}/tag/{_REVISION}", "tag"),
    (rf"/(?:datasets/)?{_NAME}/resolve/{_REVISION}/(?P<path>.+)", "resolve"),
    (rf"/(?:datasets/)?{_NAME}\.git/info/lfs/objects/batch", "lfs_batch"),
    (r"/lfs/(?P<oid>[0-9a-f]{64})", "lfs_put"),
    (r"/api/repos/create", "create"),
    (r"/api/validate-yaml", "validate"),
)
