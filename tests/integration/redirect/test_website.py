"""Routing rules in the website of a bucket, at a service that keeps them and at one that does not."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import pytest
from rehome.config.settings import Settings
from rehome.errors import RefusedError, RehomeError
from rehome.redirect.apply import apply_website

from matrix.servers.moto import Moto
from sandbox.s3_server import S3Server
from tests.conftest import Buckets
from tests.integration.redirect.servers import settings_of
from tests.integration.s3.opening import witness

THEIRS = {"Condition": {"KeyPrefixEquals": "docs/"}, "Redirect": {"ReplaceKeyPrefixWith": "documents/"}}
BROAD = {"Condition": {"KeyPrefixEquals": "image/"}, "Redirect": {"HostName": "elsewhere.example"}}
OURS = {
    "Condition": {"HttpErrorCodeReturnedEquals": "404", "KeyPrefixEquals": "image/avatar-"},
    "Redirect": {
        "HostName": "cdn.example",
        "HttpRedirectCode": "301",
        "Protocol": "https",
        "ReplaceKeyPrefixWith": "new/avatar/avatar-",
    },
}


class Site:
    """A bucket of moto's, and settings that redirect from it."""

    def __init__(self, moto: Moto, folder: Path) -> None:
        self.client = witness(moto)
        self.bucket = f"legacy-s3-{secrets.token_hex(4)}"
        self.client.create_bucket(Bucket=self.bucket)
        self._moto = moto
        self._folder = folder

    def wanted(self, **redirect: Any) -> Settings:
        side = {
            "bucket": self.bucket,
            "prefix": "image/",
            "endpoint_url": self._moto.endpoint_url,
            "region": self._moto.region,
            "access_key": "ADMIN",
            "secret_key": "anything",
        }
        return settings_of(redirect, source=side, state_dir=str(self._folder))

    def configure(self, *rules: Any, **more: Any) -> None:
        website = {"IndexDocument": {"Suffix": "start.html"}, "ErrorDocument": {"Key": "oh.html"}, **more}
        self.client.put_bucket_website(
            Bucket=self.bucket, WebsiteConfiguration=website | ({"RoutingRules": list(rules)} if rules else {})
        )

    @property
    def website(self) -> dict[str, Any] | None:
        try:
            found = self.client.get_bucket_website(Bucket=self.bucket)
        except self.client.exceptions.ClientError:
            return None
        return {name: value for name, value in found.items() if name != "ResponseMetadata"}

    @property
    def rules(self) -> list[Any]:
        return (self.website or {}).get("RoutingRules", [])


@pytest.fixture
def site(moto: Moto, tmp_path: Path) -> Site:
    return Site(moto, tmp_path)


def test_rules_are_merged_with_others_once_and_removed_again(site: Site) -> None:
    site.configure(THEIRS, BROAD)
    before = site.website
    assert apply_website(site.wanted(), dry_run=True).changed
    assert site.website == before
    assert apply_website(site.wanted(), dry_run=False).changed
    assert site.rules == [THEIRS, OURS, BROAD], "S3 applies the first rule that matches"
    assert {**(site.website or {}), "RoutingRules": None} == {**(before or {}), "RoutingRules": None}
    assert not apply_website(site.wanted(), dry_run=False).changed
    assert apply_website(site.wanted(state="absent"), dry_run=True).changed
    assert apply_website(site.wanted(state="absent"), dry_run=False).changed
    assert site.website == before
    assert not apply_website(site.wanted(state="absent"), dry_run=False).changed


def test_a_changed_url_takes_the_place_of_the_earlier_rule(site: Site) -> None:
    site.configure(THEIRS)
    apply_website(site.wanted(), dry_run=False)
    assert apply_website(site.wanted(base_url="http://other.example/", error_codes=[404, 403]), dry_run=False).changed
    assert [rule["Redirect"].get("HostName") for rule in site.rules] == [None, "other.example", "other.example"]
    apply_website(site.wanted(state="absent", base_url=None), dry_run=False)
    assert site.rules == [THEIRS]


def test_a_bucket_without_a_website_gets_one_only_with_create(site: Site) -> None:
    result = apply_website(site.wanted(), dry_run=False)
    assert (result.changed, result.note is not None, site.website) == (False, True, None)
    assert apply_website(site.wanted(website="create"), dry_run=False).changed
    assert site.rules == [OURS]
    assert not apply_website(site.wanted(website="create"), dry_run=False).changed
    apply_website(site.wanted(state="absent"), dry_run=False)
    assert site.website is None


def test_somebody_elses_rule_for_the_same_keys_is_never_replaced(site: Site) -> None:
    other = {"Condition": OURS["Condition"], "Redirect": {"HostName": "elsewhere.example"}}
    site.configure(other)
    with pytest.raises(RefusedError, match=r"another rule for the same keys .*image/avatar-"):
        apply_website(site.wanted(), dry_run=False)
    assert site.rules == [other]


def test_a_website_that_redirects_everything_and_one_that_is_full_are_refused(site: Site) -> None:
    site.client.put_bucket_website(
        Bucket=site.bucket, WebsiteConfiguration={"RedirectAllRequestsTo": {"HostName": "all.example"}}
    )
    with pytest.raises(RefusedError, match="RedirectAllRequestsTo"):
        apply_website(site.wanted(), dry_run=False)
    site.configure(*({**THEIRS, "Condition": {"KeyPrefixEquals": f"docs/{number}"}} for number in range(50)))
    with pytest.raises(RefusedError, match="would have 51 routing rules, and S3 takes 50"):
        apply_website(site.wanted(), dry_run=False)


def test_unconditional_rules_need_globs_that_are_prefixes(site: Site) -> None:
    site.configure()
    with pytest.raises(RefusedError, match="S3's rules have no globs"):
        apply_website(site.wanted(error_codes=[]), dry_run=False)


def test_a_service_without_websites_is_refused(object_store: S3Server, buckets: Buckets, tmp_path: Path) -> None:
    keys = object_store.users["admin"]
    side = {
        "bucket": buckets.source,
        "prefix": "image/",
        "endpoint_url": object_store.endpoint_url,
        "region": object_store.region,
        "access_key": keys.access_key,
        "secret_key": keys.secret_key,
    }
    wanted = settings_of({"website": "create"}, source=side, state_dir=str(tmp_path))
    with pytest.raises(RehomeError, match=r"rehome_redirect\.website to none"):
        apply_website(wanted, dry_run=False)
