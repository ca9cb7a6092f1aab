"""The policies that settings call for: what is in them, and what is not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rehome.config.read import read_settings
from rehome.config.settings import Settings
from rehome.grants.bucket_policy import is_equivalent, merge_policy, sid_prefix, statements_of
from rehome.grants.policy import Document, Needs, Principal, actions, principals


def settings_with(source: dict[str, Any] | None = None, target: dict[str, Any] | None = None, **more: Any) -> Settings:
    return read_settings(
        {
            "name": "avatars",
            "source": {"bucket": "legacy", "prefix": "image/", **(source or {})},
            "target": {"bucket": "production", "prefix": "avatar/", **(target or {})},
            "include": ["*"],
            "exclude": [],
            "database": {"engine": "sqlite", "path": "app.db"},
            "references": [{"table": "avatars", "column": "path", "form": "key"}],
            "on_conflict": "fail",
            "on_dangling": "fail",
            "journal_schema": "rehome",
            "state_dir": "state",
            **more,
        }
    )


def migrate(settings: Settings, **needs: Any) -> Document:
    return principals(settings, Needs(**needs))[0].policy


def allowed(policy: Document) -> set[str]:
    return {action for _, action in actions(policy)}


def statement(policy: Document, sid: str) -> dict[str, Any]:
    (found,) = [one for one in policy["Statement"] if one["Sid"] == sid]
    return found  # type: ignore[no-any-return]


PLAIN = {
    "s3:ListBucket",
    "s3:GetObject",
    "s3:GetObjectTagging",
    "s3:ListBucketMultipartUploads",
    "s3:PutObject",
    "s3:PutObjectTagging",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
    "s3:DeleteObject",
    "s3:DeleteObjectVersion",
    # read by the preflight, so that it can warn
    "s3:GetBucketVersioning",
    "s3:GetLifecycleConfiguration",
    "s3:GetBucketOwnershipControls",
    "s3:GetBucketObjectLockConfiguration",
    "s3:GetEncryptionConfiguration",
    "s3:GetReplicationConfiguration",
    "s3:GetBucketNotification",
}


def test_a_migration_with_defaults_needs_these_and_no_more() -> None:
    assert allowed(migrate(settings_with())) == PLAIN


@pytest.mark.parametrize(
    ("chosen", "more"),
    [
        ({"acl": "copy"}, {"s3:GetObjectAcl", "s3:PutObjectAcl", "s3:GetBucketAcl"}),
        ({"acl": "bucket-owner-full-control"}, {"s3:PutObjectAcl"}),
        ({"restore": {"days": 7}}, {"s3:RestoreObject"}),
        (
            {"encryption": "SSE-KMS", "kms_key_id": "arn:aws:kms:eu-central-1:123456789012:key/k"},
            {"kms:GenerateDataKey", "kms:Decrypt"},
        ),
        ({"verify_sample": 100}, set()),
        ({"state_uri": "s3://states/runs/"}, set()),
    ],
)
def test_each_option_adds_what_it_takes_and_no_more(chosen: dict[str, Any], more: set[str]) -> None:
    assert allowed(migrate(settings_with(**chosen))) - PLAIN == more


def test_a_bucket_is_listed_under_its_prefix_only() -> None:
    policy = migrate(settings_with())
    assert statement(policy, "RehomeListSource")["Condition"] == {"StringLike": {"s3:prefix": "image/*"}}
    assert statement(policy, "RehomeListTarget")["Condition"] == {"StringLike": {"s3:prefix": "avatar/*"}}
    whole = migrate(settings_with(source={"prefix": "", "whole_bucket": True}, include=["image/*"]))
    assert "Condition" not in statement(whole, "RehomeListSource")


def test_nothing_but_scratch_objects_may_be_deleted_by_migrate() -> None:
    for one in migrate(settings_with())["Statement"]:
        if any("Delete" in action for action in one["Action"]):
            assert one["Resource"] == ["arn:aws:s3:::production/avatar/.rehome-probe-*"]


def test_without_tags_no_right_on_tags_is_granted_but_on_scratch_objects() -> None:
    plain = allowed(migrate(settings_with()))
    without = migrate(settings_with(tags="none"))
    assert plain - allowed(without) == {"s3:PutObjectTagging"}
    for one in without["Statement"]:
        if "s3:GetObjectTagging" in one["Action"]:
            assert one["Resource"] == ["arn:aws:s3:::production/avatar/.rehome-probe-*"]


def test_nothing_is_written_by_retire_and_versions_are_deleted_only_where_that_is_wanted() -> None:
    (retire,) = [one.policy for one in principals(settings_with(), Needs()) if one.verb == "retire"]
    assert allowed(retire) == {
        "s3:ListBucket",
        "s3:ListBucketVersions",
        "s3:GetBucketVersioning",
        "s3:GetBucketObjectLockConfiguration",
        "s3:GetLifecycleConfiguration",
        "s3:GetObject",
        "s3:GetObjectRetention",
        "s3:GetObjectLegalHold",
        "s3:DeleteObject",
    }
    (undelete,) = [one.policy for one in principals(settings_with(), Needs(undelete=True)) if one.verb == "retire"]
    assert allowed(undelete) - allowed(retire) == {"s3:DeleteObjectVersion"}
    for one in undelete["Statement"]:
        if any("Delete" in action for action in one["Action"]):
            assert one["Resource"] == ["arn:aws:s3:::legacy/image/*"]
    elsewhere = settings_with(source={"endpoint_url": "https://s3.example.com"})
    tried = [one.policy for one in principals(elsewhere, Needs()) if (one.verb, one.place) == ("retire", "source")]
    assert statement(tried[0], "RehomeTrySource")["Resource"] == ["arn:aws:s3:::legacy/image/.rehome-probe-*"]


def test_copies_are_removed_only_by_who_may_retire_and_only_where_a_rollback_may() -> None:
    def retire(**chosen: Any) -> Document:
        (policy,) = [one.policy for one in principals(settings_with(**chosen), Needs()) if one.verb == "retire"]
        return policy

    removing = retire(rollback_copies="remove")
    assert statement(removing, "RehomeRemoveTarget")["Resource"] == ["arn:aws:s3:::production/avatar/*"]
    assert "s3:DeleteObject" in statement(removing, "RehomeRemoveTarget")["Action"]
    assert statement(removing, "RehomeListTargetVersions")["Resource"] == ["arn:aws:s3:::production"]
    assert allowed(removing) == allowed(retire()), "the same, in another place"
    assert migrate(settings_with(rollback_copies="remove")) == migrate(settings_with())


def test_retire_may_redirect_by_the_sources_website_once_it_is_known_where_to_and_keep_the_state() -> None:
    redirected = {"base_url": "https://cdn.example.com/"}

    def retire(**chosen: Any) -> Document:
        (policy,) = [one.policy for one in principals(settings_with(**chosen), Needs()) if one.verb == "retire"]
        return policy

    more = retire(redirect=redirected)
    website = {"s3:GetBucketWebsite", "s3:PutBucketWebsite", "s3:DeleteBucketWebsite"}
    assert allowed(more) - allowed(retire()) == website
    assert statement(more, "RehomeRedirectSource")["Resource"] == ["arn:aws:s3:::legacy"]
    assert retire(redirect={**redirected, "website": "none"}) == retire()
    assert statement(retire(state_uri="s3://states/runs/"), "RehomeKeepState")["Resource"] == [
        "arn:aws:s3:::states/runs/*"
    ]


def test_an_inventory_is_read_with_the_files_that_it_names() -> None:
    url = "s3://reports/legacy/daily/2026-01-01T00-00Z/manifest.json"
    policy = migrate(settings_with(source={"inventory": url}))
    assert statement(policy, "RehomeReadInventory")["Resource"] == ["arn:aws:s3:::reports/legacy/daily/*"]


def test_two_services_get_principals_of_their_own() -> None:
    settings = settings_with(source={"endpoint_url": "https://s3.example.com"})
    made = {(one.verb, one.place): allowed(one.policy) for one in principals(settings, Needs())}
    assert made.keys() == {(verb, place) for verb in ("migrate", "retire") for place in ("source", "target")}
    looking = {"s3:GetBucketVersioning", "s3:GetLifecycleConfiguration"}
    assert made["migrate", "source"] == {"s3:ListBucket", "s3:GetObject", "s3:GetObjectTagging", *looking}
    assert made["retire", "target"] == {"s3:ListBucket", "s3:GetObject"}


def test_keys_are_used_through_s3_of_their_region_only() -> None:
    key = "arn:aws-cn:kms:cn-north-1:123456789012:key/k"
    policy = migrate(settings_with(), partition="aws-cn", source_keys=(key,))
    assert statement(policy, "RehomeDecryptSource") == {
        "Sid": "RehomeDecryptSource",
        "Effect": "Allow",
        "Action": ["kms:Decrypt"],
        "Resource": [key],
        "Condition": {"StringEquals": {"kms:ViaService": "s3.cn-north-1.amazonaws.com.cn"}},
    }
    assert statement(policy, "RehomeReadSource")["Resource"] == ["arn:aws-cn:s3:::legacy/image/*"]


@given(st.text(alphabet="xy*?${}/", min_size=1, max_size=8))
def test_no_character_of_a_prefix_is_a_wildcard(prefix: str) -> None:
    """As IAM reads it: `${*}`, `${?}` and `${$}` are those characters, and a bare star is anything."""
    policy = migrate(settings_with(source={"prefix": prefix}))
    (resource,) = statement(policy, "RehomeReadSource")["Resource"]
    pattern = resource.removeprefix("arn:aws:s3:::legacy/")
    assert pattern.endswith("*")
    literal = pattern[:-1]
    for character in "$*?":
        assert literal.count(f"${{{character}}}") == prefix.count(character)
    assert literal.replace("${*}", "*").replace("${?}", "?").replace("${$}", "$") == prefix


def test_a_policy_fits_into_what_iam_takes() -> None:
    """6,144 characters without white space (IAM and AWS STS quotas)."""
    longest = "x/" * 400
    settings = settings_with(source={"prefix": f"{longest}a/"}, target={"prefix": f"{longest}b/"}, acl="copy")
    for principal in principals(settings, Needs(undelete=True)):
        assert len(str(principal.policy).replace(" ", "")) <= 6144


# The policy of somebody else's bucket


THEIRS = {"Sid": "Theirs", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::legacy"}


def grants(settings: Settings) -> dict[Any, tuple[str, Document]]:
    made: list[Principal] = principals(settings, Needs())
    return {one.verb: (f"arn:aws:iam::123456789012:user/x-{one.verb}", one.policy) for one in made}


def test_statements_of_others_stay_as_they_are_and_in_their_order() -> None:
    others = [THEIRS, {**THEIRS, "Sid": "RehomeOfSomebodyElse"}, {key: THEIRS[key] for key in THEIRS if key != "Sid"}]
    before: Document = {"Version": "2008-10-17", "Id": "theirs", "Statement": others}
    after = merge_policy(before, "rehome-avatars", grants(settings_with()))
    assert after is not None
    assert after["Statement"][:3] == others
    assert (after["Version"], after["Id"]) == ("2008-10-17", "theirs")
    assert len(after["Statement"]) > 3
    assert merge_policy(after, "rehome-avatars", grants(settings_with())) == after
    assert merge_policy(after, "rehome-avatars", {}) == before


def test_what_is_no_longer_wanted_of_ours_goes_and_another_migrations_stays() -> None:
    one = merge_policy(None, "rehome-avatars", grants(settings_with(acl="copy")))
    both = merge_policy(one, "rehome-banners", grants(settings_with()))
    again = merge_policy(both, "rehome-avatars", grants(settings_with()))
    mine = [one for one in statements_of(again) if one["Sid"].startswith(sid_prefix("rehome-avatars"))]
    assert "s3:GetObjectAcl" not in str(mine)
    assert len([one for one in statements_of(again) if one["Sid"].startswith(sid_prefix("rehome-banners"))]) == len(
        mine
    )


def test_an_empty_policy_is_none() -> None:
    assert merge_policy(merge_policy(None, "x", grants(settings_with())), "x", {}) is None


def test_sids_are_unique_and_of_letters_and_digits() -> None:
    after = merge_policy(None, "rehome-a.b_c", grants(settings_with()))
    sids = [one["Sid"] for one in statements_of(after)]
    assert len(set(sids)) == len(sids)
    assert all(sid.isalnum() and sid.isascii() for sid in sids)
    assert sid_prefix("rehome-ab") != sid_prefix("rehome-a-b")


def test_policies_are_the_same_however_a_service_writes_them() -> None:
    one = {"Statement": [{"Action": ["s3:GetObject"], "Resource": ["b", "a"]}]}
    other = {"Statement": {"Action": "s3:GetObject", "Resource": ["a", "b"]}}
    assert is_equivalent(one, other)
    assert not is_equivalent(one, {"Statement": [{"Action": ["s3:GetObject"], "Resource": ["a"]}]})
    assert not is_equivalent(None, one)
