"""The playbook that redirects old URLs, and removes the redirects again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from matrix.servers.moto import Moto
from tests.e2e.conftest import World

pytestmark = pytest.mark.e2e

REDIRECT = "playbooks/redirect.yml"


def test_redirect_writes_merges_repeats_nothing_and_takes_it_away(world: World, moto: Moto, tmp_path: Path) -> None:
    client = moto.client()
    client.create_bucket(Bucket="legacy-site")
    website = {"IndexDocument": {"Suffix": "index.html"}, "ErrorDocument": {"Key": "oh.html"}}
    client.put_bucket_website(Bucket="legacy-site", WebsiteConfiguration=website)
    service = {"prefix": "image/", "endpoint_url": moto.endpoint_url, "access_key": "A", "secret_key": "B"}
    variables: dict[str, Any] = {
        "playbook": REDIRECT,
        "rehome_state_dir": str(tmp_path / "state"),
        "rehome_source": {"bucket": "legacy-site", "region": moto.region, **service},
        "rehome_redirect": {"base_url": "https://cdn.example/", "code": 308},
    }
    checked = world.play("--check", "--diff", **variables)
    assert checked.code == 0, checked.output
    assert "avatar/avatar-" in checked.output
    files = [tmp_path / "state" / "redirect" / name for name in ("nginx.conf", "cloudfront.js")]
    assert not [file for file in files if file.exists()]

    done = world.play(**variables)
    assert done.code == 0, done.output
    assert "https://cdn.example/avatar/" in files[0].read_text()
    assert json.dumps("https://cdn.example/avatar/") in files[1].read_text()
    (rule,) = client.get_bucket_website(Bucket="legacy-site")["RoutingRules"]
    assert rule["Redirect"]["ReplaceKeyPrefixWith"] == "avatar/avatar-"
    again = world.play(**variables)
    assert (again.code, again.changed) == (0, 0), again.output

    gone = world.play(**variables | {"rehome_redirect": {"state": "absent"}})
    assert gone.code == 0, gone.output
    assert not [file for file in files if file.exists()]
    found = client.get_bucket_website(Bucket="legacy-site")
    assert {name: found[name] for name in found if name != "ResponseMetadata"} == website
