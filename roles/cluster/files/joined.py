"""Wait until all workers are there: `python joined.py --address URL --ca FILE --cert FILE --key FILE --wait S NAME…`.

Prints one line of JSON, and writes how to reach the cluster into a record, which is variables for the verbs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from distributed import Client
from distributed.security import Security

POLL_S = 0.2
"""How often the scheduler is asked: dask waits for a number of workers, but not for names."""
FILES = ("ca", "cert", "key")
SHORT = "the scheduler is reached, and not all workers are there"


def main() -> int:
    """Run the command line. Return the exit status."""
    parser = argparse.ArgumentParser(description="Wait until all workers are there.")
    parser.add_argument("--address", required=True)
    for file in FILES:
        parser.add_argument(f"--{file}", required=True)
    parser.add_argument("--wait", type=float, required=True)
    parser.add_argument("--engine", type=Path, help="the folder of the package rehome, for a cluster of somebody else")
    parser.add_argument("--count", type=int, default=0, help="how many, if their names are not known")
    parser.add_argument("--kind", default="ssh", help="how the cluster was started")
    parser.add_argument("--record", type=Path, help="the file that says how to reach the cluster")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    sys.stdout.write(json.dumps(joined(options)) + "\n")
    return 0


def joined(options: argparse.Namespace) -> dict[str, Any]:
    """Return the workers that are there, and those that are missing after the time."""
    deadline = time.monotonic() + options.wait
    if options.engine is not None:
        for file in FILES:
            setattr(options, file, os.path.expanduser(os.path.expandvars(getattr(options, file))))  # noqa: PTH111
        if refused := _refused_at_door(options, deadline):
            return {"changed": False, "there": [], "missing": [], **refused}
    security = Security(  # type: ignore[no-untyped-call]
        tls_ca_file=options.ca, tls_client_cert=options.cert, tls_client_key=options.key, require_encryption=True
    )
    try:
        client = Client(  # type: ignore[no-untyped-call]
            options.address, security=security, timeout=max(deadline - time.monotonic(), 1), set_as_default=False
        )
    except (OSError, TimeoutError) as error:
        return {
            "changed": False,
            "there": [],
            "missing": options.names,
            "problem": f"the scheduler is not reached: {error}",
        }
    with client:
        while True:
            workers = client.scheduler_info(n_workers=-1)["workers"].values()
            there = sorted(str(worker["name"]) for worker in workers)
            missing = sorted(set(options.names) - set(there))
            if not missing and len(there) >= options.count:
                break
            if time.monotonic() > deadline:
                return {"changed": False, "there": there, "missing": missing, "problem": SHORT}
            time.sleep(POLL_S)
    settings = {"address": options.address, **{name: getattr(options, name) for name in FILES}, "workers": len(there)}
    record = {"rehome_cluster": settings, "cluster_kind": options.kind, "cluster_members": there}
    changed = options.record is not None and _keep(options.record, record)
    return {"changed": changed, "there": there, "missing": [], "problem": ""}


def _refused_at_door(options: argparse.Namespace, deadline: float) -> dict[str, str]:
    """Return why the scheduler does not let this controller in, as a verb would say it; nothing if it does.

    One that is not reached may be about to start, and is asked until the deadline.
    """
    sys.path.insert(0, str(options.engine))
    from rehome.codes import Code, unmarked  # noqa: PLC0415 - only here is the engine known to be there
    from rehome.config.cluster import Cluster  # noqa: PLC0415
    from rehome.errors import RefusedError  # noqa: PLC0415
    from rehome.fleet.connect import check_door  # noqa: PLC0415

    ca, cert, key = (Path(getattr(options, name)) for name in FILES)
    cluster = Cluster(options.address, ca, cert, key, options.count, options.wait)
    while True:
        try:
            asyncio.run(check_door(cluster))
        except RefusedError as error:
            code = error.findings[0].code
            if code is not Code.CLUSTER_UNREACHABLE or time.monotonic() > deadline:
                return {"problem": unmarked(str(error)), "code": str(code)}
        else:
            return {}
        time.sleep(POLL_S)  # nothing tells when one begins to listen


def _keep(file: Path, record: dict[str, Any]) -> bool:
    """Write the record if it differs from what is there. Return whether it does."""
    text = json.dumps(record, indent=2) + "\n"
    if file.exists() and file.read_text() == text:
        return False
    temporary = file.with_name(f".{file.name}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as output:
        output.write(text)
    temporary.replace(file)
    return True


if __name__ == "__main__":
    sys.exit(main())
