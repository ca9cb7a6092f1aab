"""Configures the website of the source bucket. A file in the state folder records which of its rules are ours."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from ..codes import Code, marked
from ..config.settings import Settings
from ..errors import Finding, RefusedError, RehomeError
from ..files import read_json, write_json
from ..s3.endpoint.botocore import botocore_client
from ..s3.errors import DENIED_CODES
from .website import Rule, Website, merged, routing_rules, without

FILE = "redirect.json"

_NO_WEBSITE_CODES = frozenset({"NoSuchWebsiteConfiguration", "404"})


@dataclass(frozen=True, slots=True)
class Applied:
    """The result of configuring the website.

    before, after: its configuration (PutBucketWebsite, S3 API reference); None if there is no website
    note: what the operator should know, as a sentence
    """

    before: Website | None
    after: Website | None
    note: str | None = None

    @property
    def changed(self) -> bool:
        """Whether the configuration differs from what it was."""
        return self.before != self.after


@dataclass(frozen=True, slots=True)
class _Ours:
    """rules: those that we have added; made: whether we have created the website"""

    rules: list[Rule]
    made: bool


def apply_website(settings: Settings, dry_run: bool) -> Applied:
    """Merge our routing rules into the source bucket's website, or remove them.

    Needs s3:GetBucketWebsite and s3:PutBucketWebsite, and s3:DeleteBucketWebsite to delete a website that was created
    here. Raises RefusedError if the settings, the website or the permissions do not allow it, and RehomeError if the
    service does not keep the rules.
    """
    wanted = settings.redirect
    bucket, ours = settings.source.bucket, _load(settings)
    if wanted.website == "none" and (wanted.present or not ours.rules):
        return Applied(None, None)
    client = botocore_client(settings.source)
    try:
        before = _read(client, bucket)
        after, note = _wanted(settings, before, ours)
        if after == before or dry_run:
            return Applied(before, after, note)
        if wanted.present:
            # before the rules are written: if the run is killed in between, they are still known to be ours
            _save(settings, _Ours([*ours.rules, *routing_rules(settings)], ours.made or before is None))
        _write(client, bucket, after)
        if _rules(now := _read(client, bucket)) != _rules(after):
            raise RehomeError(
                f"rehome_source.bucket ({bucket}): the service does not keep the website's routing rules as they were "
                f"sent (it shows {json.dumps(now)}). Set rehome_redirect.website to none, and use the files for nginx "
                "or CloudFront.",
                code=Code.WEBSITE,
            )
    except (ClientError, BotoCoreError) as error:
        finding = Finding(
            "rehome_source.bucket",
            bucket,
            f"its website cannot be configured: {error}",
            (
                "Grant s3:GetBucketWebsite and s3:PutBucketWebsite, or"
                if _is_denied(error)
                else "This is no missing right:"
            )
            + " set rehome_redirect.website to none, and use the files for nginx or CloudFront",
            Code.WEBSITE,
        )
        raise RefusedError([finding]) from error
    if wanted.present:
        _save(settings, _Ours(routing_rules(settings), ours.made or before is None))
    else:
        (settings.state_dir / FILE).unlink(missing_ok=True)
    return Applied(before, after, note)


def _is_denied(error: ClientError | BotoCoreError) -> bool:
    return isinstance(error, ClientError) and error.response.get("Error", {}).get("Code") in DENIED_CODES


def _wanted(settings: Settings, before: Website | None, ours: _Ours) -> tuple[Website | None, str | None]:
    """Return the configuration that the website should have, and a note."""
    wanted = settings.redirect
    if not wanted.present:
        others = without(before, ours.rules or routing_rules(settings))
        only_ours = ours.made and others is not None and others == {"IndexDocument": others.get("IndexDocument")}
        return (None if only_ours else others), None
    if before is None and wanted.website == "merge":
        note = "the source bucket has no website that could redirect; rehome_redirect.website: create makes one"
        return None, marked(note, Code.WEBSITE)
    return merged(before, routing_rules(settings), ours.rules, wanted.index), None


def _rules(website: Website | None) -> list[Rule]:
    return [] if website is None else website.get("RoutingRules", [])


def _read(client: Any, bucket: str) -> Website | None:
    try:
        found = client.get_bucket_website(Bucket=bucket)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in _NO_WEBSITE_CODES:
            return None
        raise
    return {name: value for name, value in found.items() if name != "ResponseMetadata"}


def _write(client: Any, bucket: str, website: Website | None) -> None:
    if website is None:
        client.delete_bucket_website(Bucket=bucket)
    else:
        client.put_bucket_website(Bucket=bucket, WebsiteConfiguration=website)


def _load(settings: Settings) -> _Ours:
    def parse(kept: Any) -> _Ours | None:
        of_this_bucket = kept["bucket"] == settings.source.bucket
        return _Ours(list(kept["rules"]), bool(kept["made"])) if of_this_bucket else None

    way_out = "Delete it, and remove by hand the routing rules of earlier settings that the website still has, if any"
    return read_json(settings.state_dir / FILE, parse, way_out) or _Ours([], made=False)


def _save(settings: Settings, ours: _Ours) -> None:
    kept = {"bucket": settings.source.bucket, "made": ours.made, "rules": ours.rules}
    write_json(settings.state_dir / FILE, kept)
