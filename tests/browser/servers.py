"""Real JupyterLab and Voila on loopback, each with a directory of its own."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(command: Sequence[str], address: str, directory: Path) -> Iterator[None]:
    """A server from when it answers until it is stopped, with its kernels."""
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "OURGAN_WEIGHTS": "package",
        "OURGAN_PROFILE": "smoke",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "explorer")]),  # ours, and toy.py
        "JUPYTER_CONFIG_DIR": str(directory / "config"),
        "JUPYTER_RUNTIME_DIR": str(directory / "runtime"),
        "XDG_CACHE_HOME": str(directory / "cache"),
    }
    log = directory / "server.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            command, env=environment, cwd=directory, stdout=file, stderr=file, start_new_session=True
        )
    try:
        end = time.monotonic() + 600
        while True:
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                urllib.request.urlopen(address, timeout=5).close()
                break
            assert process.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.2)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # kernels that outlived it
        process.wait()


def write_settings(directory: Path, theme: str) -> None:
    """What JupyterLab would ask for, and its theme: "Light" or "Dark"."""
    chosen = {
        "notification": {"fetchNews": "false", "checkForUpdates": False},
        "themes": {"theme": f"JupyterLab {theme}"},
    }
    for name, values in chosen.items():
        path = directory / "settings" / "@jupyterlab" / "apputils-extension" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))


@contextlib.contextmanager
def jupyterlab(directory: Path) -> Iterator[str]:
    """Its address as `http://127.0.0.1:PORT/lab{}?token=...`: put `/tree/NAME.ipynb` in."""
    port, token = free_port(), secrets.token_hex(16)
    (directory / "notebooks").mkdir(exist_ok=True)
    write_settings(directory, "Light")
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}"]
    command += ["--ServerApp.ip=127.0.0.1", f"--IdentityProvider.token={token}", "--ServerApp.port_retries=0"]
    command += [
        f"--ServerApp.root_dir={directory / 'notebooks'}",
        f"--LabApp.workspaces_dir={directory / 'ws'}",
    ]
    command += [
        f"--LabApp.user_settings_dir={directory / 'settings'}",
    ]
    base = f"http://127.0.0.1:{port}"
    with running(command, f"{base}/api", directory):
        yield f"{base}/lab{{}}?token={token}&reset"  # no notebooks of an earlier visit


@contextlib.contextmanager
def voila(directory: Path, notebook: Path, theme: str = "light") -> Iterator[str]:
    """The address of one notebook as a page without code."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "voila",
        str(notebook),
        "--no-browser",
        f"--port={port}",
        "--Voila.ip=127.0.0.1",
    ]
    command += [f"--theme={theme}", "--VoilaConfiguration.show_tracebacks=True"]
    address = f"http://127.0.0.1:{port}/"
    with running(command, f"{address}voila/static/voila.js", directory):
        yield address
