"""The project's images, built by buildah, and containers of them, run by runc as a pod's specification says.

The base is Debian with its own Python, packed here: registries of images are not needed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, STDOUT
from typing import Any, BinaryIO

from tests.e2e.conftest import PLAY_TIMEOUT_S, ROOT, Played
from tests.e2e.kubernetes import Container

SUITES = {(3, 11): "bookworm", (3, 13): "trixie"}
"""Debian's releases by their Python."""
PACKAGES = "python3,python3-pip,ca-certificates"
MIRROR = "http://deb.debian.org/debian"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# As the official image of Python: `python`, into which pip may install. This machine's authorities, as behind a proxy.
BASE = f"""
FROM localhost/debian
COPY {CERTIFICATES.name} {CERTIFICATES}
RUN rm -f /usr/lib/python3*/EXTERNALLY-MANAGED && ln -s python3 /usr/bin/python
ENV PIP_CERT={CERTIFICATES}
"""
USER = 1000
Mount = dict[str, Any]


@dataclass(frozen=True)
class Builder:
    """Where images are built, and their containers run."""

    folder: Path

    def base(self) -> None:
        """Build the base of all images, with this Python's version."""
        archive = self.folder / "debian.tar"
        suite = SUITES[sys.version_info[:2]]
        run_program("mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", suite, str(archive), MIRROR)
        empty = self.buildah("from", "scratch")
        self.buildah("add", "--quiet", empty, str(archive), "/")
        self.buildah("commit", "--quiet", "--rm", empty, "localhost/debian")
        context = self.folder / "base"
        context.mkdir()
        shutil.copy(CERTIFICATES, context)
        (context / "Containerfile").write_text(BASE)
        self.buildah("build", "--quiet", "--tag", "localhost/python", str(context))

    def image(self, file: str) -> Image:
        """Build the image of one of the project's files, as its documentation says."""
        tag = f"localhost/{file.lower()}"
        base = ["--build-arg", "BASE=localhost/python"]
        mirror = ["--build-arg", "PIP_INDEX_URL"] if "PIP_INDEX_URL" in os.environ else []
        self.buildah("build", "--quiet", *base, *mirror, "--file", str(ROOT / file), "--tag", tag, str(ROOT))
        config = json.loads(self.buildah("inspect", "--type", "image", tag))["OCIv1"]["config"]
        return Image(self.folder, Path(self.buildah("mount", self.buildah("from", tag))), config)

    def remove(self) -> None:
        """End what still runs, and remove the layers."""
        for state in (self.folder / "runc").glob("*"):
            run_program("runc", "--root", str(state.parent), "delete", "--force", state.name)
        self.buildah("unmount", "--all")
        self.buildah("rm", "--all")
        self.buildah("rmi", "--all", "--force")

    def buildah(self, command: str, *arguments: str) -> str:
        """Run a command of buildah on layers of the tests' own."""
        places = ["--root", str(self.folder / "layers"), "--runroot", str(self.folder / "run")]
        # in a container without overlay file systems, too
        isolated = ["--isolation", "chroot"] if command in ("build", "from") else []
        return run_program("buildah", "--storage-driver", "vfs", *places, command, *isolated, *arguments)


@dataclass(frozen=True)
class Image:
    """An image, unpacked.

    config: how it is started, as the registry's format has it
    """

    folder: Path
    root: Path
    config: dict[str, Any]

    def run(self, name: str, *words: str, user: int = USER, mounts: Sequence[Mount] = ()) -> Played:
        """Run a container to its end.

        words: its arguments; without any, those of the image
        """
        command = self._runc(name, self._bundle(name, words, {}, mounts, user))
        done = subprocess.run(command, stdout=PIPE, stderr=STDOUT, text=True, timeout=PLAY_TIMEOUT_S, check=False)
        return Played(done.returncode, done.stdout)

    def start(self, container: Container, folder: Path, log: BinaryIO) -> subprocess.Popen[bytes]:
        """Start a container of a pod (`tests/e2e/kubernetes.py`)."""
        for file in container.keys.iterdir():  # as `fsGroup` and `defaultMode` have it
            os.chown(file, 0, USER)
            file.chmod(0o440)
        container.keys.chmod(0o755)
        hosts = folder / f"{container.name}.hosts"
        hosts.write_text("".join(f"{ip} {name}\n" for name, ip in container.hosts.items()))
        mounts = [bound(container.keys, "/keys"), bound(hosts, "/etc/hosts")]
        bundle = self._bundle(container.name, container.args, container.env, mounts, USER)
        command = self._runc(container.name, bundle)
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def _bundle(
        self, name: str, words: Sequence[str], variables: Mapping[str, str], mounts: Sequence[Mount], user: int
    ) -> Path:
        """Write what runc reads: the image's configuration, and what the Deployment takes away from a container."""
        bundle = self.folder / "bundles" / name
        bundle.mkdir(parents=True)
        run_program("runc", "spec", "--bundle", str(bundle))
        file = bundle / "config.json"
        spec = json.loads(file.read_text())
        spec["root"] = {"path": str(self.root), "readonly": True}
        spec["process"] |= {
            "terminal": False,
            "user": {"uid": user, "gid": USER},
            "args": [*self.config.get("Entrypoint", []), *(words or self.config["Cmd"])],
            "env": [*self.config["Env"], *(f"{name}={value}" for name, value in variables.items())],
            "cwd": self.config["WorkingDir"],
            "capabilities": {},
            "noNewPrivileges": True,
        }
        spec["mounts"] += [{"destination": "/tmp", "type": "tmpfs", "source": "work"}, *mounts]  # noqa: S108 - emptyDir
        # the pods' addresses are this machine's
        spec["linux"]["namespaces"] = [one for one in spec["linux"]["namespaces"] if one["type"] != "network"]
        file.write_text(json.dumps(spec))
        return bundle

    def _runc(self, name: str, bundle: Path) -> list[str]:
        return ["runc", "--root", str(self.folder / "runc"), "run", "--bundle", str(bundle), name]


def bound(source: Path, destination: str, way: str = "ro") -> Mount:
    """Return the mount of a folder or file of this machine: read-only, or `rw`."""
    return {"destination": destination, "type": "bind", "source": str(source), "options": ["bind", way]}


def run_program(*command: str) -> str:
    """Run a program and return what it prints. Fails the test with all of it if the program fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout.strip()
