"""A headless Chromium driven through chromedriver's plain HTTP: what the pages' tests need, no more."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

KEYS = {"tab": "\ue004", "enter": "\ue007", "space": " "}


class Browser:
    """One session of one browser."""

    def __init__(self, chromium: str, driver: str, profile: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.process = subprocess.Popen(
            [driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.base = f"http://127.0.0.1:{port}"
        self._wait()
        arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--force-color-profile=srgb",
            f"--user-data-dir={profile}",
        ]
        wanted = {
            "goog:chromeOptions": {"binary": chromium, "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        session = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.path = f"/session/{session['sessionId']}"

    def _wait(self) -> None:
        for _ in range(200):
            try:
                if self._call("GET", "/status", None)["ready"]:
                    return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)
        raise RuntimeError("chromedriver does not answer")

    def _call(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, method=method)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=120) as reply:
                return json.load(reply)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"][:500]) from None

    def open(self, page: Path, fragment: str = "") -> None:
        """Open a file."""
        self._call("POST", f"{self.path}/url", {"url": "about:blank"})
        self._call("POST", f"{self.path}/url", {"url": page.resolve().as_uri() + fragment})

    def visit(self, address: str) -> None:
        """Open a URL."""
        self._call("POST", f"{self.path}/url", {"url": address})

    def run(self, script: str, *args: Any) -> Any:
        """Run a script's body in the page."""
        return self._call("POST", f"{self.path}/execute/sync", {"script": script, "args": list(args)})

    def run_async(self, script: str, *args: Any) -> Any:
        """The same, until it calls its last argument."""
        return self._call("POST", f"{self.path}/execute/async", {"script": script, "args": list(args)})

    def click(self, selector: str) -> None:
        """Click what a CSS selector finds first."""
        found = self._call("POST", f"{self.path}/element", {"using": "css selector", "value": selector})
        self._call("POST", f"{self.path}/element/{next(iter(found.values()))}/click", {})

    def press(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        actions = []
        for key in keys:
            value = KEYS.get(key, key)
            actions += [{"type": "keyDown", "value": value}, {"type": "keyUp", "value": value}]
        body = {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]}
        self._call("POST", f"{self.path}/actions", body)

    def size(self, width: int, height: int) -> None:
        """Set the size of the page in CSS pixels, beyond what a window may be as small as."""
        command = {
            "cmd": "Emulation.setDeviceMetricsOverride",
            "params": {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
        }
        self._call("POST", f"{self.path}/goog/cdp/execute", command)

    def emulate(self, **params: Any) -> None:
        """Emulate a medium or a colour scheme."""
        self._call(
            "POST", f"{self.path}/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": params}
        )

    def screenshot(self, path: Path) -> None:
        """Keep a picture of what is in view."""
        path.write_bytes(base64.b64decode(self._call("GET", f"{self.path}/screenshot", None)))

    def console(self) -> list[str]:
        """Warnings and errors of the console since the last call."""
        entries = self._call("POST", f"{self.path}/se/log", {"type": "browser"})
        return [e["message"] for e in entries if e["level"] in ("WARNING", "SEVERE")]

    def requests(self) -> list[str]:
        """Addresses asked for since the last call."""
        entries = self._call("POST", f"{self.path}/se/log", {"type": "performance"})
        messages = [json.loads(e["message"])["message"] for e in entries]
        return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]

    def close(self) -> None:
        """End the session and the driver."""
        try:
            self._call("DELETE", self.path, None)
        finally:
            self.process.terminate()
            self.process.wait(timeout=20)
