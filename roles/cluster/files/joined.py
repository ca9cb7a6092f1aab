"""Wait until all workers are there: `python joined.py --address URL --ca FILE --cert FILE --key FILE --wait S NAME…`.

Prints one line of JSON, and writes how to reach the cluster into a record, which is variables for the verbs.
"""

from __future__ import annotations

import argparse
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
    parser.add_argument("--wait", type=int, required=True)
    parser.add_argument("--count", type=int, default=0, help="how many, if their names are not known")
    parser.add_argument("--kind", default="ssh", help="how the cluster was started")
    parser.add_argument("--record", type=Path, help="the file that says how to reach the cluster")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    sys.stdout.write(json.dumps(joined(options)) + "\n")
    return 0


def joined(options: argparse.Namespace) -> dict[str, Any]:
    """Return the workers that are there, and those that are missing after the time."""
    security = Security(  # type: ignore[no-untyped-call]
        tls_ca_file=options.ca, tls_client_cert=options.cert, tls_client_key=options.key, require_encryption=True
    )
    deadline = time.monotonic() + options.wait
    try:
        client = Client(  # type: ignore[no-untyped-call]
            options.address, security=security, timeout=options.wait, set_as_default=False
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
