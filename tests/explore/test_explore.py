"""The explorer on a real store, in headless Chromium: what it shows is what the store holds."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import struct
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from tests.helpers import fetch_axe, flip, refused, submitted
from tests.webdriver_client import Browser
from three_hundred_maps.cli import main
from three_hundred_maps.errors import InputError
from three_hundred_maps.explore import explorer_server, write_page
from three_hundred_maps.explore.server import page_files
from three_hundred_maps.keys import halo_keys
from three_hundred_maps.store.arrays import read_split
from three_hundred_maps.store.derive import merge
from three_hundred_maps.testing import tiny_store
from three_hundred_maps.testing.blobs import BlobCluster


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
        assert read["key"] == str(halo_keys(halos)[2])
        assert browser.console() == []
        # Nothing is asked of another host.
        asked = [url for url in browser.requests() if url.startswith("http")]
        assert asked and all(url.startswith(address) for url in asked), asked


LINKS = {
    "split=train&los=2": "train/0/2",
    "split=constructor&los=-4": "test/0/2",
    "split=train&los=1.5": "train/0/1",
    "los=1e999": "test/0/0",
}


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
        assert f"%3A{split.halos['region'][1]}%3A" in browser.run("return location.hash")
        browser.run("document.querySelector('canvas[data-view=sz]').focus()")
        browser.press("\ue014", "\ue013")
        text = browser.run("return document.getElementById('readout').textContent")
        value = float(text.split("sz ")[1].split(",")[0])
        assert value == pytest.approx(split.maps["sz"][1, 1, 41, 41], rel=6e-3)
        for link, shown in LINKS.items():
            browser.run("location.hash = arguments[0]", link)
            wait_for(browser, READY.format(shown))
        halo = str(halo_keys(split.halos)[2])
        for link in (halo, halo.partition(":")[2]):
            browser.run("location.hash = arguments[0]", f"split=train&los={len(link)}")
            browser.run("location.hash = arguments[0]", f"halo={link}")
            wait_for(browser, READY.format("test/2/0"))
        assert browser.console() == []


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


BAR = "return document.querySelector('figure:has([data-view={}]) .bar').textContent"


@pytest.mark.browser
def test_the_prediction_has_the_truths_colours(store: Path, submission: Path, browser: Browser) -> None:
    with running(explorer_server(str(store), str(submission))) as address:  # twice the mass
        browser.visit(address)
        wait_for(browser, READY.format("test/0/0"))
        assert browser.run(BAR.format("predicted")) == browser.run(BAR.format("mass"))


@pytest.mark.browser
def test_clusters_of_several_simulations_are_not_mistaken(
    tmp_path: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = []
    for seed, simulation in enumerate(("one", "other")):
        monkeypatch.setattr(BlobCluster, "simulation", simulation)
        folder = tmp_path / simulation
        stores.append(tiny_store(folder, halos=(1, 1, 2), n_los=1, pixels=16, half=False, seed=seed))
    both = merge(stores, tmp_path / "both")
    split = read_split(both, "test", ["mass"])
    maps = split.maps["mass"] * np.array([1, 2, 3, 4], np.float32)[:, None, None, None]
    with running(explorer_server(str(both), str(submitted(tmp_path / "s", maps, rows=split)))) as address:
        browser.visit(address)
        for row, halo in enumerate(halo_keys(split.halos)):
            browser.run("location.hash = arguments[0]", f"halo={halo}")
            wait_for(browser, READY.format(f"test/{row}/0"))
            browser.run("document.querySelector('canvas[data-view=residual]').focus()")
            browser.press("\ue014")
            text = browser.run("return document.getElementById('readout').textContent")
            assert float(text.split("residual ")[1]) == pytest.approx(np.log10(row + 1), abs=2e-3)
        names = browser.run("return [...document.getElementById('halo').options].map(o => o.text)")
        assert [name.split(",")[0] for name in names] == list(map(str, halo_keys(split.halos)))
    nameless = {name: values[:2] for name, values in split.halos.items() if name != "simulation"}
    silent = submitted(tmp_path / "n", maps[:2], rows=nameless)
    with running(explorer_server(str(both), str(silent))) as address:
        browser.visit(address)
        wait_for(browser, "document.getElementById('status').textContent.includes('of which simulation')")
    browser.console()


@pytest.mark.browser
def test_views_of_every_kind_are_told_apart(tmp_path: Path, browser: Browser) -> None:
    views = ("sz", "mass", "gas", "dark_matter")
    declared = {"gas": {"signed": True}}
    seen = tiny_store(tmp_path / "t", halos=(0, 0, 1), n_los=1, pixels=41, views=views, half=False)
    group = json.loads((seen / "zarr.json").read_text())
    group["attributes"] |= {"view_attrs": declared, "observed": {"level": "deep"}}
    (seen / "zarr.json").write_text(json.dumps(group))
    with running(explorer_server(str(seen))) as address:
        browser.visit(address)
        wait_for(browser, READY.format("test/0/0"))
        legend = "return [...document.querySelectorAll('#legend li')].map(n => [n.textContent, {}])"
        colours = dict(browser.run(legend.format("getComputedStyle(n.firstChild).borderTopColor")))
        # No logarithm of a signed view, and no two lines alike.
        assert list(colours) == ["sz", "mass", "dark_matter"] and len(set(colours.values())) == 3
        browser.run("document.querySelector('canvas[data-view=sz]').focus()")
        browser.press("\ue014")
        text = browser.run("return document.getElementById('readout').textContent")
        # An observer's R200c is not the halo's: no kpc.
        assert text.startswith("x 0.049, y 0.000 of the observer's R200c: sz ") and "kpc" not in text
        assert browser.console() == []


SCALES = """
const done = arguments[0];
import("./draw.js").then(({linearScale, logScale}) => done([
  logScale(Float32Array.from({length: 999}, (_, i) => 0.5 + i / 400), 4).ticks,
  logScale(Float32Array.from({length: 999}, (_, i) => 10 ** (i / 100)), 4).ticks.map(([label]) => label),
  logScale(new Float32Array(9), 4).place(0),
  logScale(new Float32Array(9).fill(2), 4).place(2),
  linearScale(2.1e-5).ticks,
]));
"""


@pytest.mark.browser
def test_colour_bars_say_their_values(store: Path, browser: Browser) -> None:
    with running(explorer_server(str(store))) as address:
        browser.visit(address)
        narrow, decades, none, flat, signed = browser.run_async(SCALES)
    assert [label for label, _ in narrow] == ["0.7", "1", "2"]
    for label, place in narrow:
        assert place == pytest.approx(np.log(float(label) / 0.51) / np.log(2.995 / 0.51), abs=0.02)
    assert decades == ["1e6", "1e7", "1e8", "1e9"] and (none, flat) == (0, 1)
    assert signed == [["-2.1e-5", 0], ["0", 0.5], ["+2.1e-5", 1]]


@pytest.mark.browser
def test_damage_and_absence_are_said(store: Path, tmp_path: Path, browser: Browser) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(store, broken)
    shard = broken / "test" / "mass" / "c" / "0" / "0" / "0" / "0"
    flip(shard, shard.stat().st_size // 4)
    with running(explorer_server(str(broken))) as address:
        browser.visit(address)
        wait_for(browser, "document.getElementById('status').textContent.includes('chunk is damaged')")
        browser.visit(f"{address}?store=nowhere")
        wait_for(browser, "document.getElementById('status').textContent.includes('store at nowhere')")
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

    browser.open(page / "index.html")
    assert "needs a web server" in browser.run("return document.getElementById('status').textContent")
    browser.console()
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
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
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
        for unmeant in ("bytes=-", f"bytes={'9' * 5000}-", "bytes=1-2,4-5"):
            assert fetch(f"{address}store/zarr.json", Range=unmeant) == (200, whole), unmeant
        for path in ("store/../secret", "store/%2e%2e/secret", "store/link", "etc/passwd", "store/absent"):
            assert fetch(address + path)[0] == 404, path
        for path in ("store/%00", "store/" + "a" * 300, "store//etc/passwd"):  # names that no file can have
            assert fetch(address + path)[0] == 404, path
    (store / "link").unlink()
    assert capsys.readouterr().err == ""


def test_a_browser_that_goes_away_is_no_failure(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server = explorer_server(str(store))
    with running(server):
        asked = socket.create_connection(("127.0.0.1", server.server_port))
        asked.sendall(b"GET /store/zarr.json HTTP/1.1\r\n\r\n" * 100)
        asked.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # end it with a reset
        asked.close()
        time.sleep(0.2)
    assert capsys.readouterr().err == ""


def test_bad_input_is_one_line(store: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no store at"):
        explorer_server(str(tmp_path))
    with pytest.raises(InputError, match="holds no predicted mass"):
        explorer_server(str(store), str(tmp_path))
    with running(explorer_server(str(store))) as address, pytest.raises(InputError, match="--port"):
        explorer_server(str(store), port=int(address.split(":")[2].strip("/")))
    refused(main, "explore", store, "--port", 99999, said="--port")
    refused(main, "explore", store, "--out", store / "test" / "page", said="a folder outside")
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
