"""Which objects are looked at one by one, and what becomes of the answers."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

from rehome.catalog.catalog import Catalog
from rehome.progress import Progress
from rehome.run import Run
from rehome.s3.client.client import Client
from rehome.s3.transport.connection import Response
from rehome.scan.lookups import find_named_objects

from tests.unit.grants.test_policy import settings_with


class Source(Client):
    """Answers HEAD: every object that it is asked for is there, with the ETag `now`, but for `gone`."""

    def __init__(self) -> None:
        self.max_connections = 4
        self.asked: list[str | None] = []

    async def request(self, method: str, key: str | None, **_: Any) -> Response:
        self.asked.append(key)
        status = 404 if key == "image/gone" else 200
        return Response(status, {b"etag": b'"now"', b"content-length": b"1"}, b"")


def looked_up(folder: Path, prefix: str, suffixes: dict[str, bool], source: list[str], target: list[str]) -> Any:
    client = Source()
    with Catalog.create(folder / "catalog.duckdb", {}) as catalog:
        catalog.append("source_objects", [(suffix, 1, "then", "", "STANDARD", "", "", None) for suffix in source])
        catalog.append("target_objects", [(suffix, 1, "then") for suffix in target])
        rows = [("r", n, f"[{n}]", "", suffix, is_old, False) for n, (suffix, is_old) in enumerate(suffixes.items())]
        catalog.append("reference_rows", rows)
        settings = settings_with()
        settings = replace(settings, source=replace(settings.source, prefix=prefix))
        run = Run(settings, catalog, Progress(folder))
        asyncio.run(find_named_objects(run, client, lambda key: None))
        return client, dict(catalog.query("SELECT suffix, etag FROM source_objects"))


def test_objects_that_no_copy_will_check_are_looked_up(tmp_path: Path) -> None:
    suffixes = {
        "copied-anyhow": True,
        "in-both": True,
        "gone": True,
        "target-only": True,
        "nowhere": True,
        "done": False,
    }
    client, found = looked_up(
        tmp_path, "image/", suffixes, ["copied-anyhow", "in-both", "gone"], ["in-both", "gone", "target-only", "done"]
    )
    assert sorted(client.asked) == [f"image/{suffix}" for suffix in ("gone", "in-both", "nowhere", "target-only")]
    assert found == {"copied-anyhow": "then", "in-both": "now", "nowhere": "now", "target-only": "now"}


def test_a_row_that_cannot_name_an_object_is_not_looked_up(tmp_path: Path) -> None:
    client, found = looked_up(tmp_path, "", {"": True, "x" * 1025: True, "é" * 513: True, "x" * 1024: True}, [], [])
    assert client.asked == ["x" * 1024]
    assert set(found) == {"x" * 1024}
