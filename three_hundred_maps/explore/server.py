"""The explorer's page: served beside a store on this machine, or written out for a static host."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from three_hundred_maps.errors import InputError
from three_hundred_maps.io import replaced_folder, write_json
from three_hundred_maps.store.local import find_store
from three_hundred_maps.store.manifest import read_manifest
from three_hundred_maps.store.names import is_url

PAGE = ("index.html", "style.css", "explorer.js", "store.js", "draw.js", "colours.js")
VENDOR = ("zarrita.js", "LICENSES.txt")
_TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css"}
_RANGE = re.compile(r"bytes=(?=\d|-\d)(\d{0,18})-(\d{0,18})$")
_BLOCK = 1 << 20


def prediction_store(address: str) -> str:
    """The prediction store of a submission's folder, or of a path or URL that names it itself.

    Raises
    ------
    InputError
        Where a folder holds none.
    """
    if is_url(address):
        return address
    for folder in (Path(address) / "predictions.zarr", Path(address)):
        if (folder / "mass" / "zarr.json").is_file():
            return str(folder)
    raise InputError(f"{address} holds no predicted mass maps: name a submission or its predictions.zarr")


def local_store(address: str) -> Path:
    """The folder of a finished store, given by name or folder; InputError where there is none."""
    folder = find_store(address)
    read_manifest(folder)
    return folder


def page_files() -> dict[str, Traversable]:
    """Every file of the page by its path."""
    root = files("three_hundred_maps.explore") / "page"
    return {**{name: root / name for name in PAGE}, **{f"vendor/{n}": root / "vendor" / n for n in VENDOR}}


def explorer_server(store: str, predictions: str | None = None, port: int = 0) -> ThreadingHTTPServer:
    """A server of the page on 127.0.0.1 that reads ``store``; start it with ``serve_forever``.

    Parameters
    ----------
    store
        A finished store by name or folder, or a URL, which the browser then reads itself.
    predictions
        A submission's folder, its ``predictions.zarr``, or a URL of one: shown beside the truth.
    port
        0: any free one; the server's ``server_port`` tells.

    Raises
    ------
    InputError
        Where the store or the predictions are not there, or the port is taken.
    """
    roots, config = {}, {}
    named = {"store": store, **({"predictions": prediction_store(predictions)} if predictions else {})}
    for name, address in named.items():
        if is_url(address):
            config[name] = address
        else:
            config[name] = name
            roots[name] = (local_store(address) if name == "store" else Path(address)).resolve()
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), partial(_Handler, roots, config))
    except OSError as error:
        raise InputError(
            f"port {port} cannot be served ({error.strerror}); name another with --port"
        ) from None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, roots: dict[str, Path], config: dict[str, str], *args: Any) -> None:
        self.roots, self.config = roots, config
        super().__init__(*args)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of each request."""

    def handle(self) -> None:
        with suppress(ConnectionError):  # the browser turned to another page
            super().handle()

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path).lstrip("/") or "index.html"
        first, _, rest = path.partition("/")
        if path == "config.json":
            self._send(json.dumps(self.config).encode(), "application/json")
        elif path in (page := page_files()):
            self._send(page[path].read_bytes(), _TYPES.get(Path(path).suffix, "text/plain; charset=utf-8"))
        elif first in self.roots:
            self._send_file(self.roots[first], rest)
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _send_file(self, root: Path, name: str) -> None:
        try:
            file = (root / name).resolve()
            found = file.is_relative_to(root) and file.is_file()
        except (OSError, ValueError):  # a name that no file can have
            found = False
        if not found:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        size = file.stat().st_size
        begin, end = 0, size
        asked = _RANGE.match(self.headers.get("Range", ""))
        if asked:
            first, last = asked.groups()
            begin = int(first) if first else max(size - int(last), 0)
            end = min(int(last) + 1, size) if first and last else size
            if begin >= end:
                self.send_error(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
                return
        self.send_response(HTTPStatus.PARTIAL_CONTENT if asked else HTTPStatus.OK)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(end - begin))
        if asked:
            self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{size}")
        self.end_headers()
        if self.command == "HEAD":
            return
        with open(file, "rb") as stream:
            stream.seek(begin)
            left = end - begin
            while left and (block := stream.read(min(left, _BLOCK))):
                self.wfile.write(block)
                left -= len(block)

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-cache")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def write_page(out: Path, store: str, predictions: str | None = None) -> Path:
    """Write the page and what it shows as a static folder, for any host (a Hub Space, GitHub Pages).

    A store (or predictions) named by a URL is read from there; a folder is copied in.

    Parameters
    ----------
    out
        A new folder, or one that this command wrote.
    store, predictions
        As for `explorer_server`.
    """
    named = {"store": store if is_url(store) else str(local_store(store))}
    if predictions:
        named["predictions"] = prediction_store(predictions)
    for address in named.values():
        if not is_url(address) and out.resolve().is_relative_to(Path(address).resolve()):
            raise InputError(f"{out} lies in {address}, which is copied into it; name a folder outside")
    with replaced_folder(out, "explorer page") as folder:
        for name, file in page_files().items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(file.read_bytes())
        config = {}
        for name, address in named.items():
            config[name] = address if is_url(address) else name
            if not is_url(address):
                shutil.copytree(address, folder / name)
        write_json(folder / "config.json", config)
    return out
