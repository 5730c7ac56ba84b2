"""The explorer on a real store, in headless Chromium: what it shows is what the store holds."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import matplotlib
import numpy as np
import pytest

from tests.helpers import fetch_axe, flip, refused, submitted
from tests.webdriver_client import Browser
from three_hundred_maps.cli import main
from three_hundred_maps.errors import InputError
from three_hundred_maps.explore import explorer_server, write_page
from three_hundred_maps.explore.server import page_files
from three_hundred_maps.store.arrays import read_split
from three_hundred_maps.testing import tiny_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_store(tmp_path_factory.mktemp("data") / "tiny.zarr", halos=(3, 0, 4), n_los=3, shard_halos=2)


@pytest.fixture(scope="module")
def submission(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    split = read_split(store, "test", ["mass"])
    return submitted(tmp_path_factory.mktemp("s") / "s", 2 * split.maps["mass"], rows=(store, "test"))


@contextmanager
def running(server: ThreadingHTTPServer) -> Iterator[str]:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def wait_for(browser: Browser, condition: str) -> None:
    for _ in range(300):
        if browser.run(f"return {condition}"):
            return
        time.sleep(0.05)
    state = "return document.getElementById('status').textContent"
    raise AssertionError(f"{condition} did not come: {browser.run(state)!r}, {browser.console()}")


READY = "document.body.dataset.ready === '{}'"
VALUES = """
const done = arguments[0];
import("./store.js").then(async ({MapStore}) => {
  const store = await MapStore.open("store");
  const halo = store.splits.test[2];
  const maps = await store.maps(halo, ["sz", "mass"]);
  done({sz: Array.from(maps.sz.data), mass: Array.from(maps.mass.data), key: halo.key});
});
"""


@pytest.mark.browser
def test_the_page_reads_the_stores_own_values(store: Path, browser: Browser) -> None:
    with running(explorer_server(str(store))) as address:
        browser.visit(address)
        wait_for(browser, READY.format("test/0/0"))
        read = browser.run_async(VALUES)
        split = read_split(store, "test", ["sz", "mass"])
        for view in ("sz", "mass"):
            np.testing.assert_array_equal(np.float32(read[view]), split.maps[view][2].ravel())
        halos = split.halos
        assert read["key"] == f"{halos['region'][2]}:{halos['snapshot'][2]}:{halos['halo_id'][2]}"
        assert browser.console() == []
        # Nothing is asked of another host.
        asked = [url for url in browser.requests() if url.startswith("http")]
        assert asked and all(url.startswith(address) for url in asked), asked


@pytest.mark.browser
def test_keys_turn_and_change_and_a_map_reads_out(store: Path, browser: Browser) -> None:
    split = read_split(store, "test", ["sz"])
    with running(explorer_server(str(store))) as address:
        browser.visit(address)
        wait_for(browser, READY.format("test/0/0"))
        browser.press("\ue014")  # arrow right
        wait_for(browser, READY.format("test/0/1"))
        browser.press("\ue015")  # arrow down
        wait_for(browser, READY.format("test/1/1"))
        assert f"halo={split.halos['region'][1]}%3A" in browser.run("return location.hash")
        browser.run("document.querySelector('canvas[data-view=sz]').focus()")
        browser.press("\ue014", "\ue013")
        text = browser.run("return document.getElementById('readout').textContent")
        value = float(text.split("sz ")[1].split(",")[0])
        assert value == pytest.approx(split.maps["sz"][1, 1, 41, 41], rel=6e-3)
        browser.visit(f"{address}#split=train&los=2")
        browser.run("location.reload()")
        wait_for(browser, READY.format("train/0/2"))


@pytest.mark.browser
def test_a_prediction_stands_beside_the_truth(store: Path, submission: Path, browser: Browser) -> None:
    with running(explorer_server(str(store), str(submission))) as address:
        browser.visit(address)
        wait_for(browser, READY.format("test/0/0"))
        views = browser.run("return [...document.querySelectorAll('canvas')].map(c => c.dataset.view)")
        assert views == ["sz", "xray", "star", "mass", "predicted", "residual"]
        browser.run("document.querySelector('canvas[data-view=residual]').focus()")
        browser.press("\ue014")
        text = browser.run("return document.getElementById('readout').textContent")
        assert float(text.split("residual ")[1]) == pytest.approx(np.log10(2.0), abs=2e-3)
        browser.run(
            "const s = document.getElementById('split');"
            "s.value = 'train'; s.dispatchEvent(new Event('change'))"
        )
        wait_for(browser, READY.format("train/0/0"))
        assert "do not hold" in browser.run("return document.getElementById('status').textContent")


@pytest.mark.browser
def test_damage_and_absence_are_said(store: Path, tmp_path: Path, browser: Browser) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(store, broken)
    shard = broken / "test" / "mass" / "c" / "0" / "0" / "0" / "0"
    flip(shard, shard.stat().st_size // 4)
    with running(explorer_server(str(broken))) as address:
        browser.visit(address)
        wait_for(browser, "document.getElementById('status').textContent.includes('cannot be read')")
        browser.visit(f"{address}?store=nowhere")
        wait_for(browser, "document.getElementById('status').textContent.includes('cannot be shown')")
    browser.console()


@pytest.mark.browser
def test_the_static_folder_works_on_a_plain_host(store: Path, tmp_path: Path, browser: Browser) -> None:
    page = write_page(tmp_path / "page", str(store))
    (page / "notes.txt").write_text("mine")
    write_page(page, str(store))
    assert (page / "notes.txt").read_text() == "mine"

    class WithoutRanges(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    handler: Callable[..., SimpleHTTPRequestHandler] = partial(WithoutRanges, directory=str(page))
    with running(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as plain:
        browser.visit(plain)
        wait_for(browser, READY.format("test/0/0"))
        read = browser.run_async(VALUES)
    np.testing.assert_array_equal(
        np.float32(read["sz"]), read_split(store, "test", ["sz"]).maps["sz"][2].ravel()
    )


@pytest.mark.browser
def test_it_fits_a_phone(store: Path, submission: Path, browser: Browser) -> None:
    with running(explorer_server(str(store), str(submission))) as address:
        for scheme, width, height in (("dark", 390, 844), ("light", 1280, 900)):
            browser.emulate(features=[{"name": "prefers-color-scheme", "value": scheme}])
            browser.size(width, height)
            browser.visit(address)
            wait_for(browser, READY.format("test/0/0"))
            assert browser.run("return document.documentElement.scrollWidth") <= width
            # What a map reads out is seen beside it, however long the page.
            browser.run("document.querySelector('canvas[data-view=sz]').focus()")
            browser.press("\ue014")
            below = "return document.getElementById('readout').getBoundingClientRect().bottom - innerHeight"
            assert (
                browser.run("return document.getElementById('readout').textContent")
                and browser.run(below) < 1
            )
        browser.emulate(features=[])


@pytest.mark.long
@pytest.mark.browser
def test_axe_finds_nothing(store: Path, submission: Path, browser: Browser, tmp_path: Path) -> None:
    axe = fetch_axe(tmp_path)
    with running(explorer_server(str(store), str(submission))) as address:
        for scheme in ("light", "dark"):
            browser.emulate(features=[{"name": "prefers-color-scheme", "value": scheme}])
            browser.visit(address)
            wait_for(browser, READY.format("test/0/0"))
            browser.run(axe)
            found = browser.run_async("const done = arguments[0]; axe.run().then(r => done(r.violations))")
            assert not found, json.dumps(found)[:2000]


def fetch(address: str, **headers: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers)) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, b""


def test_the_server_gives_ranges_and_no_other_files(
    store: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("no")
    (store / "link").symlink_to(secret)
    with running(explorer_server(str(store))) as address:
        whole = (store / "zarr.json").read_bytes()
        assert fetch(f"{address}store/zarr.json") == (200, whole)
        assert fetch(f"{address}store/zarr.json", Range="bytes=2-5") == (206, whole[2:6])
        assert fetch(f"{address}store/zarr.json", Range="bytes=-7") == (206, whole[-7:])
        assert fetch(f"{address}store/zarr.json", Range=f"bytes={len(whole)}-")[0] == 416
        for path in ("store/../secret", "store/%2e%2e/secret", "store/link", "etc/passwd", "store/absent"):
            assert fetch(address + path)[0] == 404, path
        for path in ("store/%00", "store/" + 300 * "a"):
            assert fetch(address + path)[0] == 404, path
        (store / "large").write_bytes(bytes(1 << 25))
        with socket.create_connection(("127.0.0.1", urlsplit(address).port)) as client:
            client.sendall(b"GET /store/large HTTP/1.1\r\n\r\n")
            client.recv(1)
    for name in ("link", "large"):
        (store / name).unlink()
    assert capfd.readouterr().err == ""


def test_bad_input_is_one_line(store: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no store at"):
        explorer_server(str(tmp_path))
    with pytest.raises(InputError, match="holds no predictions"):
        explorer_server(str(store), str(tmp_path))
    with running(explorer_server(str(store))) as address, pytest.raises(InputError, match="--port"):
        explorer_server(str(store), port=int(address.split(":")[2].strip("/")))
    refused(main, "explore", store, "--port", 99999, said="--port")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "index.html").write_text("x")
    refused(main, "explore", store, "--out", tmp_path / "theirs", said="holds other things")
    assert (tmp_path / "theirs" / "index.html").read_text() == "x"


def test_a_full_disk_is_one_short_line(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(source: str, target: str, **options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), source, None, target)

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(SystemExit) as end:
        main(["explore", str(store), "--out", str(tmp_path / "page")])
    said = capsys.readouterr().err
    assert end.value.code == 2 and "No space left on device" in said and len(said) < 500, said
    assert not list(tmp_path.iterdir())


def test_ctrl_c_is_the_end_of_it_and_no_failure(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(self: ThreadingHTTPServer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ThreadingHTTPServer, "serve_forever", interrupted)
    with pytest.raises(SystemExit) as end:
        main(["explore", str(store), "--no-browser"])
    assert end.value.code == 0 and "resume" not in capsys.readouterr().err


def test_the_page_is_small_and_its_colours_are_matplotlibs() -> None:
    page = page_files()
    assert sum(len(file.read_bytes()) for file in page.values()) < 300_000
    text = page["colours.js"].read_text(encoding="utf-8")
    maps = dict(line.strip().rstrip(",").split(": ") for line in text.splitlines() if line.startswith("  "))
    for name in ("magma", "inferno", "bone", "viridis", "cividis", "RdBu_r"):
        steps = bytes.fromhex(maps[name].strip('"'))
        rgb = np.frombuffer(steps, np.uint8).reshape(-1, 3) / 255
        x = np.linspace(0, 1, 256)
        ours = np.stack([np.interp(x, np.linspace(0, 1, len(rgb)), rgb[:, k]) for k in range(3)], axis=1)
        assert np.abs(ours - matplotlib.colormaps[name](x)[:, :3]).max() < 0.02, name
