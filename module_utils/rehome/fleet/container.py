"""Start a member of a cluster in a container: `python -m rehome.fleet.container scheduler|worker …`, as `dask` does.

The keys come in a variable, which a secret store fills, and leave as files that only this user can read: what runs
afterwards has no such variable. A member listens on the container's own address alone.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Final

from ..codes import Code, marked

KEYS: Final = "REHOME_TLS"
"""The variable with the keys: JSON with `ca`, `cert` and `key`, each a text in PEM form."""
IP: Final = "REHOME_MEMBER_IP"
"""The variable with the container's address. Kubernetes fills it; of ECS it is asked."""
METADATA: Final = "ECS_CONTAINER_METADATA_URI_V4"
"""The variable by which ECS names the URL that describes the container."""
METADATA_S: Final = 10.0
MEMBERS: Final = ("scheduler", "worker")
OPTIONS: Final = {"ca": "--tls-ca-file", "cert": "--tls-cert", "key": "--tls-key"}


class ContainerError(Exception):
    """What keeps the member from starting, in words for the container's log."""


def main() -> None:
    """Become dask. Exits with a message if that cannot work."""
    environment = dict(os.environ)
    try:
        words = command(sys.argv[1:], environment)
    except ContainerError as error:
        sys.exit(str(error))
    os.execve(sys.executable, [sys.executable, *words], environment)  # noqa: S606 - our own command


def command(words: Sequence[str], environment: MutableMapping[str, str]) -> list[str]:
    """Return the arguments of Python: the given ones, the keys' files, the address and the name.

    Takes the keys out of `environment`. What is given stays as it is. Raises ContainerError.
    """
    dask = ["-m", "dask", *words]
    if words[:1] and words[0] not in MEMBERS:
        return dask
    if keys := environment.pop(KEYS, ""):
        dask += _write(keys)
    ip = _own_ip(environment) if "--host" not in words else ""
    dask += ["--host", ip] if ip else []
    if words[:1] == ["worker"] and "--name" not in words:
        dask += ["--name", ip or socket.gethostname()]
    return dask


def _write(keys: str) -> list[str]:
    """Write the keys into a folder of this user alone, in memory if there is such a place. Return the options."""
    try:
        texts = json.loads(keys)
        wanted = {name: str(texts[name]) for name in OPTIONS}
    except (ValueError, KeyError, TypeError):  # it would quote the keys
        raise ContainerError(
            marked(
                f"{KEYS}: is no JSON with {', '.join(OPTIONS)}; the playbook that starts it fills the secret",
                Code.CLUSTER_CERTIFICATE,
            )
        ) from None
    memory = Path("/dev/shm")  # noqa: S108 - the folder below it is new
    within = memory if os.access(memory, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="rehome-", dir=within))
    options = []
    for name, option in OPTIONS.items():
        file = folder / f"{name}.pem"
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as output:
            output.write(wanted[name])
        options += [option, str(file)]
    return options


def _own_ip(environment: Mapping[str, str]) -> str:
    """Return the container's address; empty if nobody tells it, and dask finds one."""
    if environment.get(IP) or METADATA not in environment:
        return environment.get(IP, "")
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(environment[METADATA], timeout=METADATA_S) as answer:
            return str(json.load(answer)["Networks"][0]["IPv4Addresses"][0])
    except (urllib.error.URLError, OSError, ValueError, KeyError, IndexError) as error:
        raise ContainerError(
            marked(
                f"{METADATA} ({environment[METADATA]}): does not tell the container's address ({error})", Code.CLUSTER
            )
        ) from None


if __name__ == "__main__":
    main()
