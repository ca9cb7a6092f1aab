"""A private nginx for the tests and benchmarks: one process in the foreground, with all its files in one folder."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

from .errors import SandboxError, last_lines

UNPACKED = Path(__file__).parents[1] / ".venv" / "nginx" / "usr"
"""Where the Makefile unpacks its packages: nothing is installed, so no system service starts."""
BINARY = UNPACKED / "sbin" / "nginx"
START_S = 20.0

_CONFIG = """\
{modules}
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
{http}
}}
"""


def start_nginx(folder: Path, port: int, http: str, *modules: Path) -> subprocess.Popen[bytes]:
    """Start nginx, and wait until it listens on `port`; the caller ends the process.

    http: directives of the http block
    modules: files of dynamic modules

    Raises SandboxError if nginx is missing or does not start within START_S.
    """
    missing = [file for file in (BINARY, *modules) if not file.exists()]
    if missing:
        raise SandboxError(f"{missing[0]} is missing; `make packages` gets it")
    folder.mkdir(parents=True, exist_ok=True)
    load = "\n".join(f"load_module {module};" for module in modules)
    config = folder / "nginx.conf"
    config.write_text(_CONFIG.format(folder=folder, modules=load, http=http), encoding="utf-8")
    process = subprocess.Popen([BINARY, "-p", folder, "-c", config], stderr=subprocess.DEVNULL)  # noqa: S603 - our own program
    give_up = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < give_up:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process
        time.sleep(0.02)
    end_nginx(process)
    raise SandboxError(f"nginx did not start: {last_lines(folder / 'error.log')}")


def end_nginx(process: subprocess.Popen[bytes]) -> None:
    """Terminate an nginx, and wait for its end."""
    process.terminate()
    process.wait(timeout=20)
