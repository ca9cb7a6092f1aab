"""Deletion and undelete of legacy objects on real object stores, while an application changes the data."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from rehome.catalog.catalog import Catalog
from rehome.config.settings import NO_WAY_BACK, Settings
from rehome.control.controls import Controls, Door
from rehome.control.orders import Order
from rehome.db.dialect import DatabaseError
from rehome.errors import RefusedError, RehomeError
from rehome.grants.iam_principal import remove_principal
from rehome.grants.policy import Needs, principals
from rehome.grants.principal_policy import set_policy
from rehome.report.lists import RETIRE_LISTS, write_lists
from rehome.run import Run
from rehome.s3.client.client import Client
from rehome.s3.deletion.delete import DeleteJob, DeleteMethod, DeleteOutcome
from rehome.s3.errors import S3RequestError, S3StopError
from rehome.services.way_back import check_way_back
from rehome.stages import delete_objects as deleting
from rehome.stages import deletion_candidates as deletable
from rehome.stages.delete_objects import DeleteCounts
from rehome.stages.retire import inspect_source, plan_retirement, retire, undelete_retired, warnings
from rehome.state.completion import completed_at, other_end, record_completion, withdraw_completion
from rehome.state.delete_log import RETIRED, DeleteLog

from matrix.servers.moto import Moto
from sandbox.s3_server import S3Server
from sandbox.server import Login
from sandbox.sqlite import SQLite
from tests.conftest import Buckets
from tests.integration.migration import Migration
from tests.integration.s3.opening import new_buckets
from tests.integration.test_grants import grants_of, iam_of
from tests.rejecting_proxy import RejectingProxy, Rejection, Request

ROOT = Path(__file__).parents[2]


class Retirement(Migration):
    """A complete migration, and the retirement of its source objects."""

    def __init__(self, store: S3Server, buckets: Buckets, database: SQLite, folder: Path, user: str) -> None:
        super().__init__(store, buckets, database, folder)
        self._user = user
        self._keys: Login | None = None
        self._state = folder
        self.ahead = timedelta(seconds=2)

    def become(self, keys: Login) -> None:
        """Retire and bring back as another user."""
        self._keys = keys

    def keep_versions(self, status: str = "Enabled") -> None:
        self.s3.put_bucket_versioning(Bucket=self.source, VersioningConfiguration={"Status": status})

    def wanted(self, **changes: Any) -> Settings:
        """Return settings that retire immediately, with the credentials of a user who may."""
        settings = self.settings(**{"retire_after": "0d", "confirm": self.source} | changes)
        if self._keys is None:
            return self.as_user(settings, self._user)
        access = {"access_key": self._keys.name, "secret_key": self._keys.secret}
        return replace(settings, source=replace(settings.source, **access), target=replace(settings.target, **access))

    def migrate(self, *names: str) -> None:
        """Store objects and rows, migrate them, and record the completion."""
        for name in names:
            self.put(name, f"content of {name}".encode())
        settings = self.settings()
        self.plan(settings)
        self.copy(settings)
        self.rewrite(settings)
        verdict = self.verify(settings)
        assert verdict.complete, verdict.problems
        record_completion(settings, "test")

    def judge(self, settings: Settings, dry_run: bool = False) -> DeleteCounts:
        self.catalog = self._new_catalog()
        bucket_state = inspect_source(settings, dry_run=dry_run)
        # "0d" has passed right after the last object was stored, but the server's times are whole seconds
        self.bucket_state = replace(bucket_state, now=datetime.now(UTC) + self.ahead)
        return plan_retirement(Run(settings, self.catalog, self.progress), self.bucket_state)

    def carry_out(self, settings: Settings, counts: DeleteCounts) -> DeleteCounts:
        retire(Run(settings, self.catalog, self.progress), self.bucket_state, counts)
        return counts

    def retire(self, **changes: Any) -> DeleteCounts:
        settings = self.wanted(**changes)
        return self.carry_out(settings, self.judge(settings))

    def bring_back(self) -> DeleteCounts:
        counts = DeleteCounts()
        undelete_retired(Run(self.wanted(), self._new_catalog(), self.progress), counts, dry_run=False)
        return counts

    def listed(self, settings: Settings, name: str) -> list[dict[str, Any]]:
        lists = write_lists(self.catalog, settings, RETIRE_LISTS)
        return [json.loads(line) for line in Path(lists[name]["file"]).read_text().splitlines()]

    def versions(self) -> dict[str, Any]:
        found = self.s3.list_object_versions(Bucket=self.source)
        return {
            "versions": sorted((one["Key"], one["VersionId"]) for one in found.get("Versions", [])),
            "markers": sorted((one["Key"], one["VersionId"]) for one in found.get("DeleteMarkers", [])),
        }


@pytest.fixture
def plain(object_store: S3Server, buckets: Buckets, sqlite: SQLite, tmp_path: Path) -> Iterator[Retirement]:
    """A retirement from an unversioned bucket."""
    made = Retirement(object_store, buckets, sqlite, tmp_path, "retire")
    yield made
    made.close()


@pytest.fixture
def versioned(plain: Retirement) -> Retirement:
    """A retirement from a versioned bucket."""
    plain.keep_versions()
    return plain


@pytest.fixture
def at_moto(moto: Moto, sqlite: SQLite, tmp_path: Path) -> Iterator[Retirement]:
    """A retirement at a service that ignores ETags in DeleteObjects, but supports If-Match in DeleteObject."""
    made = Retirement(moto, new_buckets(moto), sqlite, tmp_path, "migrate")
    made.keep_versions()
    yield made
    made.close()


@pytest.fixture
def granted(versioned: Retirement, object_store: S3Server) -> Iterator[tuple[Retirement, Callable[[bool], None]]]:
    """A retirement by a user of `grants`, and a function that grants its rights, with the way back or without."""
    iam, name = iam_of(object_store), f"rehome-{secrets.token_hex(4)}"
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    versioned.become(Login(key["AccessKeyId"], key["SecretAccessKey"]))

    def grant(undelete: bool) -> None:
        (principal,) = [
            one for one in principals(versioned.settings(), Needs(undelete=undelete)) if one.verb == "retire"
        ]
        set_policy(iam, "user", name, principal.policy)

    yield versioned, grant
    remove_principal(grants_of(object_store, versioned.settings()).admin_target, "user", name)


NAMES = ("avatar-1.png", "avatar-2.png", "avatar-3.png")
KEYS = [f"image/{name}" for name in NAMES]


@pytest.mark.needs("rights")
def test_what_is_granted_by_default_includes_the_way_back(
    granted: tuple[Retirement, Callable[[bool], None]],
) -> None:
    one, grant = granted
    defaults = yaml.safe_load((ROOT / "roles" / "rehome" / "defaults" / "main.yml").read_text())
    grant(defaults["rehome_grants_undelete"])
    one.migrate(*NAMES)
    assert one.retire().deleted == 3
    assert warnings(one.bucket_state) == []
    assert one.bring_back().brought_back == 3
    assert one.source_keys() == KEYS


@pytest.mark.needs("rights")
def test_without_the_way_back_it_is_said_before_the_first_delete_and_what_to_grant(
    granted: tuple[Retirement, Callable[[bool], None]], tmp_path: Path
) -> None:
    one, grant = granted
    grant(False)
    one.migrate(*NAMES)
    before = one.versions()
    counts = one.judge(one.wanted())
    (warning,) = warnings(one.bucket_state)
    assert "s3:DeleteObjectVersion" in warning
    assert "rehome_grants_undelete" in warning
    (check,) = check_way_back(one.wanted(), one.wanted().source)
    assert (check.status, check.subject) == ("warn", "source bucket")
    assert one.versions() == before
    assert one.carry_out(one.wanted(), counts).deleted == 3
    with pytest.raises(RehomeError) as stopped:
        one.bring_back()
    assert "none of 3 objects is brought back" in str(stopped.value)
    assert "s3:DeleteObjectVersion" in str(stopped.value)
    assert "rehome_grants_undelete" in str(stopped.value)

    grant(True)
    (check,) = check_way_back(one.wanted(), one.wanted().source)
    assert check.status == "pass"
    assert one.bring_back().brought_back == 3
    assert one.source_keys() == KEYS


@pytest.mark.needs("rights")
def test_an_object_that_a_row_names_when_it_was_just_deleted_cannot_be_undeleted_without_the_right(
    granted: tuple[Retirement, Callable[[bool], None]],
) -> None:
    one, grant = granted
    grant(False)
    one.migrate(*NAMES)
    settings = one.wanted()
    counts = one.judge(settings)
    one.add_row(KEYS[0])
    done = one.carry_out(settings, counts)
    (problem,) = done.problems()
    assert "1 delete markers could not be removed" in problem
    assert "rehome_grants_undelete" in problem


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (Rejection(403, "AccessDenied", "Mfa Authentication must be used for this request"), "warn", "Mfa"),
        (Rejection(501, "NotImplemented", "no versions by id"), "warn", "rejects the removal"),
        (Rejection(400, "InvalidArgument", "Invalid version id specified"), "info", "unknown: whether"),
        (Rejection(500, "InternalError", "later"), "info", "unknown: whether"),
        (Rejection(404, "NoSuchVersion", "The specified version does not exist."), "pass", "may remove"),
    ],
)
def test_what_the_service_says_about_the_way_back_is_told_as_it_is(
    versioned: Retirement, object_store: S3Server, answer: Rejection, status: str, words: str
) -> None:
    def rule(request: Request) -> Rejection | None:
        return answer if "versionid" in request.query and request.method == "DELETE" else None

    with RejectingProxy(object_store.state.ports["s3"], rule) as proxy:
        source = replace(versioned.wanted().source, endpoint_url=f"http://127.0.0.1:{proxy.port}")
        (check,) = check_way_back(versioned.wanted(), source)
    assert check.status == status
    assert words in check.found
    assert not (status == "info" and "Grant" in check.advice)


@pytest.mark.parametrize(
    "answer",
    [
        Rejection(501, "NotImplemented", "POST ?delete is not implemented for objects."),
        Rejection(400, "InvalidArgument", "Invalid argument."),
        Rejection(405, "MethodNotAllowed", "not here"),
    ],
)
def test_without_deletes_of_many_objects_in_one_request_each_is_deleted_and_brought_back_alone(
    versioned: Retirement, object_store: S3Server, answer: Rejection
) -> None:
    """As at Google's XML API."""
    one = versioned
    one.migrate(*NAMES)
    with RejectingProxy(
        object_store.state.ports["s3"], lambda request: answer if "delete" in request.query else None
    ) as proxy:
        settings = one.wanted()
        source = replace(settings.source, endpoint_url=f"http://127.0.0.1:{proxy.port}")
        through = replace(settings, source=source)
        assert one.carry_out(through, one.judge(through)).deleted == 3
        assert one.source_keys() == []
        counts = DeleteCounts()
        undelete_retired(one.run_with(through), counts, dry_run=False)
        assert (counts.brought_back, counts.not_brought_back) == (3, 0)
    assert one.source_keys() == KEYS


def test_a_service_that_does_not_know_versions_keeps_none(plain: Retirement, object_store: S3Server) -> None:
    plain.migrate(*NAMES)

    def rule(request: Request) -> Rejection | None:
        asked = {"versioning", "object-lock"} & set(request.query)
        return Rejection(501, "NotImplemented", "GetBucketVersioning not implemented") if asked else None

    with RejectingProxy(object_store.state.ports["s3"], rule) as proxy:
        settings = plain.wanted()
        source = replace(settings.source, endpoint_url=f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(RefusedError, match="keeps no versions") as refused:
            inspect_source(replace(settings, source=source), dry_run=False)
    assert "Grant" not in str(refused.value)


def test_a_rejected_condition_on_deletes_is_told_as_that_and_nothing_is_deleted(
    versioned: Retirement, object_store: S3Server
) -> None:
    versioned.migrate(*NAMES)

    def rule(request: Request) -> Rejection | None:
        rejects = "delete" in request.query or (request.method == "DELETE" and "if-match" in request.headers)
        return Rejection(501, "NotImplemented", "no conditions") if rejects else None

    with RejectingProxy(object_store.state.ports["s3"], rule) as proxy:
        settings = versioned.wanted()
        through = replace(settings, source=replace(settings.source, endpoint_url=f"http://127.0.0.1:{proxy.port}"))
        with pytest.raises(RefusedError, match="ignores or rejects the condition on a delete"):
            versioned.carry_out(through, versioned.judge(through))
    assert versioned.source_keys() == KEYS


def test_retires_by_markers_then_nothing_and_brings_back_exactly_those(versioned: Retirement) -> None:
    one = versioned
    one.migrate(*NAMES)
    one.s3.put_object(Bucket=one.source, Key="other/kept.txt", Body=b"not under the map")
    one.s3.put_object(Bucket=one.source, Key="image/gone-before.png", Body=b"deleted by the application")
    one.s3.delete_object(Bucket=one.source, Key="image/gone-before.png")
    before = one.versions()

    done = one.retire()
    assert (done.deleted, done.changed, done.refused, done.problems()) == (3, 0, 0, [])
    assert done.bytes_deleted == sum(len(f"content of {name}") for name in NAMES)
    assert one.source_keys() == ["other/kept.txt"]
    after = one.versions()
    assert after["versions"] == before["versions"], "no version is gone, nor any scratch object left"
    assert len(after["markers"]) == len(before["markers"]) + 3

    again = one.retire()
    assert (again.classes["to_delete"], again.deleted) == (0, 0)
    assert one.versions() == after

    back = one.bring_back()
    assert (back.brought_back, back.not_brought_back) == (3, 0)
    assert one.versions() == before, "the application's own marker stays"
    assert one.source_keys() == [*KEYS, "other/kept.txt"]
    assert one.bring_back().brought_back == 0


def test_an_object_retired_twice_has_two_markers_on_record_and_both_come_off(versioned: Retirement) -> None:
    one = versioned
    one.migrate("avatar-1.png")
    before = one.versions()
    for _ in range(2):
        assert one.retire().deleted == 1
        assert one.bring_back().brought_back == 1
    assert one.versions() == before


def test_a_check_writes_nothing_and_lists_what_a_run_would_delete(versioned: Retirement) -> None:
    one = versioned
    one.migrate(*NAMES)
    before = one.versions()
    settings = one.wanted(confirm=None)
    assert one.judge(settings, dry_run=True).classes["to_delete"] == 3
    assert [line["key"] for line in one.listed(settings, "objects-to-retire")] == KEYS
    assert one.versions() == before
    assert not (one._state / "retired").exists()


def test_whatever_is_not_proven_or_still_named_is_kept_in_its_class(versioned: Retirement) -> None:
    one = versioned
    names = [f"avatar-{number}.png" for number in range(1, 9)]
    one.migrate(*names)
    client = one.s3
    client.delete_object(Bucket=one.target, Key="avatar/avatar-1.png")
    client.put_object(Bucket=one.target, Key="avatar/avatar-2.png", Body=b"other content")
    one.add_row("image/avatar-3.png")
    one.add_row("https://old.example/image/avatar-4.png?width=20")
    one.add_row('{"big": "image\\/avatar-5.png", "small": "image%2Favatar-6.png"}')
    one.add_row("not/named/image/elsewhere.png")
    settings = one.wanted()
    counts = one.carry_out(settings, one.judge(settings))
    assert counts.classes == {
        "to_delete": 2,
        "unverified": 2,
        "by_policy": 0,
        "referenced": 4,
        "too_young": 0,
        "locked": 0,
    }
    assert counts.deleted == 2
    assert one.source_keys() == [f"image/avatar-{number}.png" for number in range(1, 7)]
    named = one.listed(settings, "objects-kept-referenced")
    assert [line["key"] for line in sorted(named, key=lambda line: line["key"])] == one.source_keys()[2:]
    assert {line["named_by"] for line in named} == {"avatars.path"}
    assert {line["plan_class"] for line in one.listed(settings, "objects-kept-unverified")} == {"to_copy", "conflict"}


def test_a_row_beyond_a_references_own_condition_keeps_its_object(versioned: Retirement) -> None:
    one = versioned
    one.migrate(*NAMES)
    one.sql("INSERT INTO avatars (user_id, path) VALUES (2, 'image/avatar-1.png')")
    narrow = {"table": "avatars", "column": "path", "form": "key", "where": "t.user_id = 1"}
    settings = one.wanted(references=[narrow])
    record_completion(settings, "test")
    assert one.plan(settings).rows["to_rewrite"] == 0, "that row is not the migration's"
    counts = one.carry_out(settings, one.judge(settings))
    assert (counts.deleted, counts.classes["referenced"]) == (2, 1)
    assert one.source_keys() == ["image/avatar-1.png"]


def test_conflicts_that_are_skipped_on_purpose_are_kept_by_policy(versioned: Retirement) -> None:
    one = versioned
    one.migrate("avatar-1.png")
    one.s3.put_object(Bucket=one.target, Key="avatar/avatar-1.png", Body=b"other content")
    assert one.retire(on_conflict="skip").classes["by_policy"] == 1
    assert one.source_keys() == ["image/avatar-1.png"]


def test_objects_and_migrations_that_are_too_young_are_kept(versioned: Retirement) -> None:
    one = versioned
    one.migrate(*NAMES)
    assert one.retire(retire_after="1h").classes["too_young"] == 3
    file = one._state / "completion.json"
    record = json.loads(file.read_text())
    file.write_text(json.dumps(record | {"completed_at": "2020-01-01T00:00:00+00:00"}))
    assert one.retire(retire_after="1h").classes["too_young"] == 3, "the migration is old, its objects are not"
    one.ahead = timedelta(hours=2)
    ended_at = datetime.now(UTC) + timedelta(minutes=90)
    file.write_text(json.dumps(record | {"completed_at": ended_at.isoformat()}))
    assert one.retire(retire_after="1h").classes["too_young"] == 3, "the objects are old, the migration is not"
    assert one.source_keys() == KEYS
    file.write_text(json.dumps(record))
    assert one.retire(retire_after="1h").deleted == 3


def test_the_end_is_known_from_the_first_verification_and_forgotten_when_something_moves(
    versioned: Retirement,
) -> None:
    one = versioned
    settings = one.wanted()
    with pytest.raises(RefusedError, match=r"completion\.json has none under .* Run migrate\.yml or playbooks/verify"):
        inspect_source(settings, dry_run=True)
    one.migrate("avatar-1.png")
    first = completed_at(settings)
    assert first is not None
    record_completion(settings, "later")
    assert completed_at(settings) == first
    other = replace(settings, name="other")
    assert completed_at(other) is None
    assert f"that of {settings.place}, at {first.isoformat()} (run " in (other_end(other) or "")
    assert other_end(settings) is None
    withdraw_completion(settings, "later")
    assert completed_at(settings) is None


@pytest.mark.parametrize("confirm", [None, "production-s3"])
def test_needs_the_buckets_name_as_confirmation(versioned: Retirement, confirm: str | None) -> None:
    versioned.migrate("avatar-1.png")
    with pytest.raises(RefusedError, match=f"Say -e confirm={versioned.source} if it is that one"):
        versioned.retire(confirm=confirm)
    assert versioned.source_keys() == ["image/avatar-1.png"]


@pytest.mark.parametrize("versioning", [None, "Suspended"])
def test_a_bucket_without_a_way_back_is_refused_unless_set_explicitly(
    plain: Retirement, versioning: str | None
) -> None:
    if versioning:
        plain.keep_versions()
        plain.keep_versions(versioning)
    plain.migrate("avatar-1.png", "avatar-2.png")
    with pytest.raises(RefusedError, match="cannot be brought back"):
        plain.retire()
    with pytest.raises(RefusedError, match="does not say what it takes"):
        plain.retire(retire_unversioned="yes")
    assert plain.source_keys() == KEYS[:2]
    assert plain.retire(retire_unversioned=NO_WAY_BACK).deleted == 2
    assert plain.source_keys() == []
    assert plain.retire(retire_unversioned=NO_WAY_BACK).deleted == 0
    assert plain.bring_back().brought_back == 0


def test_an_object_that_is_replaced_after_it_was_judged_is_kept(versioned: Retirement) -> None:
    one = versioned
    one.migrate(*NAMES)
    settings = one.wanted()
    counts = one.judge(settings)
    one.s3.put_object(Bucket=one.source, Key="image/avatar-2.png", Body=b"newer")
    one.s3.delete_object(Bucket=one.source, Key="image/avatar-3.png")
    before = one.versions()
    one.carry_out(settings, counts)
    assert (counts.deleted, counts.changed, counts.problems()) == (1, 2, [])
    assert sorted(line["key"] for line in one.listed(settings, "objects-kept-changed")) == KEYS[1:]
    assert one.source_keys() == ["image/avatar-2.png"]
    one.bring_back()
    assert one.versions() == before, "what the application deleted stays deleted"


def test_a_row_that_is_written_while_objects_are_deleted_gets_its_object_back(
    versioned: Retirement, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = versioned
    one.migrate(*NAMES)
    before = one.versions()

    def racing(*arguments: Any) -> None:
        one.add_row("image/avatar-2.png")
        original(*arguments)

    original = deleting.read_named_keys
    monkeypatch.setattr(deleting, "read_named_keys", racing)
    done = one.retire()
    assert (done.deleted, done.brought_back, done.problems()) == (3, 1, [])
    assert one.source_keys() == ["image/avatar-2.png"]
    monkeypatch.undo()
    assert one.retire().classes["referenced"] == 1
    one.bring_back()
    assert one.versions() == before


def test_a_row_written_meanwhile_is_reported_if_there_is_no_way_back(
    plain: Retirement, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain.migrate("avatar-1.png")
    original = deleting.read_named_keys

    def racing(*arguments: Any) -> None:
        plain.add_row("image/avatar-1.png")
        original(*arguments)

    monkeypatch.setattr(deleting, "read_named_keys", racing)
    assert plain.retire(retire_unversioned=NO_WAY_BACK).problems() == [
        "1 objects that were deleted without a way back are named by rows that were written meanwhile [RH-617]"
    ]


def _raise(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    ("module", "name", "error"),
    [
        (deletable, "scan_buckets", S3RequestError(200, "ListingDisordered", "keys in no order", None)),
        (deletable, "scan_buckets", S3RequestError(200, "InvalidListing", "half a page", None)),
        (deletable, "read_named_keys", DatabaseError("the server went away")),
    ],
)
def test_an_incomplete_scan_never_leads_to_a_delete(
    versioned: Retirement, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, error: RehomeError
) -> None:
    versioned.migrate(*NAMES)
    monkeypatch.setattr(module, name, _raise(error))
    with pytest.raises(type(error)):
        versioned.retire()
    assert versioned.source_keys() == KEYS


def _die_after(count: int, deletes: bool) -> Callable[..., Any]:
    """Return a deletion that ends the run at the batch `count`, which it carries out if `deletes`, without a reply."""
    original = deleting.delete_objects
    seen: list[int] = []

    async def delete(client: Client, jobs: Sequence[DeleteJob], method: DeleteMethod) -> list[DeleteOutcome]:
        seen.append(1)
        if len(seen) < count:
            return await original(client, jobs, method)
        if len(seen) == count and deletes:
            await original(client, jobs, method)
        raise S3StopError(0, "Killed", "as kill -9 would", None)

    return delete


@pytest.mark.parametrize("deletes", [True, False])
def test_a_run_that_dies_between_delete_and_record_is_settled_by_the_next(
    versioned: Retirement, monkeypatch: pytest.MonkeyPatch, deletes: bool
) -> None:
    one = versioned
    one.migrate(*(f"avatar-{number}.png" for number in range(10)))
    before = one.versions()
    monkeypatch.setattr(deleting, "MAX_KEYS_PER_REQUEST", 2)
    monkeypatch.setattr(deleting, "BATCHES_IN_FLIGHT", 1)
    with monkeypatch.context() as dying:
        dying.setattr(deleting, "delete_objects", _die_after(3, deletes))
        with pytest.raises(RehomeError, match="after 4 objects"):
            one.retire()
    assert len(one.source_keys()) == (4 if deletes else 6)

    assert one.retire().deleted == (4 if deletes else 6)
    assert one.source_keys() == []
    assert one.bring_back().brought_back == 10
    assert one.versions() == before


def test_bringing_back_settles_what_a_dead_run_left(versioned: Retirement, monkeypatch: pytest.MonkeyPatch) -> None:
    one = versioned
    one.migrate(*NAMES)
    before = one.versions()
    with monkeypatch.context() as dying:
        dying.setattr(deleting, "delete_objects", _die_after(1, deletes=True))
        with pytest.raises(RehomeError):
            one.retire()
    assert one.source_keys() == []
    assert one.bring_back().brought_back == 3
    assert one.versions() == before


def test_a_marker_of_another_hour_is_not_taken_for_ours(versioned: Retirement) -> None:
    one = versioned
    one.migrate("avatar-1.png")
    etag = one.s3.head_object(Bucket=one.source, Key="image/avatar-1.png")["ETag"].strip('"')
    folder = one._state / "retired"
    folder.mkdir()
    lines = [{"bucket": one.source}, {"event": "intended", "key": KEYS[0], "etag": etag, "at": "2026-01-01T00:00:00Z"}]
    (folder / "1.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    one.s3.delete_object(Bucket=one.source, Key="image/avatar-1.png")
    assert one.bring_back().brought_back == 0
    assert one.source_keys() == []


def test_a_line_that_was_cut_off_and_other_buckets_records_mean_nothing(tmp_path: Path) -> None:
    folder = tmp_path / RETIRED
    folder.mkdir()
    intended = json.dumps({"event": "intended", "key": "a", "etag": "e", "at": "2026-01-01T00:00:00+00:00"})
    (folder / "1.jsonl").write_text(f'{{"bucket": "ours"}}\n{intended}\n{{"event": "deleted", "key": "a", "mar')
    (folder / "2.jsonl").write_text(f'{{"bucket": "other"}}\n{intended}\n')
    (folder / "3.jsonl").write_text('{"buck')
    with (
        Catalog.create(tmp_path / "c.duckdb", {}) as catalog,
        DeleteLog(folder, "ours", catalog) as records,
    ):
        assert [one.key for one in records.unresolved()] == ["a"]
        records.record("deleted", [("a", "e", "v1"), ("b", "e", None)])
        assert (records.unresolved(), records.live_markers()) == ([], 1)
    with (
        Catalog.create(tmp_path / "d.duckdb", {}) as catalog,
        DeleteLog(folder, "ours", catalog) as records,
    ):
        assert (records.unresolved(), records.live_markers()) == ([], 1)


def test_contents_that_only_their_size_speaks_for_are_read_before_they_are_deleted(
    versioned: Retirement, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = versioned
    one.migrate(*NAMES)
    original = deletable.make_plan

    def weakly(catalog: Catalog, settings: Settings) -> Any:
        plan = original(catalog, settings)
        verdict = "UPDATE object_verdicts SET {} WHERE rowid IN (SELECT place FROM objects WHERE suffix {})"
        catalog.run(verdict.format("weak = true", "<> 'avatar-1.png'"))
        catalog.run(verdict.format("other_etag = 'another-1'", "= 'avatar-3.png'"))
        return plan

    monkeypatch.setattr(deletable, "make_plan", weakly)
    counts = one.retire()
    assert (counts.deleted, counts.classes["unverified"]) == (2, 1)
    assert one.source_keys() == ["image/avatar-3.png"]


def test_if_deletes_by_the_thousand_ignore_etags_each_object_is_deleted_on_its_own(at_moto: Retirement) -> None:
    one = at_moto
    one.migrate("avatar-1.png", "avatar-2.png", "avatar-a&b <c>.png")
    before = one.versions()
    settings = one.wanted()
    counts = one.judge(settings)
    one.s3.put_object(Bucket=one.source, Key="image/avatar-2.png", Body=b"newer")
    one.carry_out(settings, counts)
    assert (counts.deleted, counts.changed) == (2, 1)
    assert one.source_keys() == ["image/avatar-2.png"]
    one.bring_back()
    assert one.versions()["markers"] == before["markers"]
    assert len(one.source_keys()) == 3


def test_odd_keys_are_retired_and_come_back(at_moto: Retirement) -> None:
    one = at_moto
    names = ("avatar-ü😀.png", "avatar-a%2Fb+c.png", "avatar-//.png", "avatar-'\"&<>.png")
    one.migrate(*names)
    keys = one.source_keys()
    assert one.retire().deleted == len(names)
    assert one.source_keys() == []
    assert one.bring_back().brought_back == len(names)
    assert one.source_keys() == keys


def test_objects_under_legal_hold_or_retention_are_kept_as_locked(moto: Moto, sqlite: SQLite, tmp_path: Path) -> None:
    buckets = Buckets("legacy-s3-locked", "production-s3-locked")
    client = moto.client()
    client.create_bucket(Bucket=buckets.source, ObjectLockEnabledForBucket=True)
    client.create_bucket(Bucket=buckets.target)
    one = Retirement(moto, buckets, sqlite, tmp_path, "migrate")
    one.migrate(*NAMES)
    client.put_object_legal_hold(Bucket=one.source, Key=KEYS[0], LegalHold={"Status": "ON"})
    retention = {"Mode": "GOVERNANCE", "RetainUntilDate": "2999-01-01T00:00:00Z"}
    client.put_object_retention(Bucket=one.source, Key=KEYS[1], Retention=retention)
    settings = one.wanted()
    counts = one.carry_out(settings, one.judge(settings))
    assert (counts.deleted, counts.classes["locked"]) == (1, 2)
    assert {line["key"]: line["reason"][:9] for line in one.listed(settings, "objects-kept-locked")} == {
        KEYS[0]: "legal hol",
        KEYS[1]: "retention",
    }
    assert one.source_keys() == KEYS[:2]
    one.close()


@pytest.mark.parametrize("versions", [True, False])
def test_one_place_under_two_names_is_refused_before_the_only_copy_is_gone(plain: Retirement, versions: bool) -> None:
    one = plain
    if versions:
        one.keep_versions()
    one.migrate(*NAMES)
    settings = one.wanted(retire_unversioned=NO_WAY_BACK)
    alias = replace(settings, target=replace(settings.target, bucket=one.source, prefix="image/"))
    withdraw_completion(alias, "test")
    record_completion(alias, "test")
    one.sql("DELETE FROM avatars")
    with pytest.raises(RefusedError, match="shows the very objects of rehome_source under another name"):
        one.carry_out(alias, one.judge(alias))
    assert one.source_keys() == KEYS


@pytest.mark.needs("rights")
def test_the_user_who_migrates_may_not_retire(versioned: Retirement) -> None:
    one = versioned
    one.migrate(*NAMES)
    one._user = "migrate"
    with pytest.raises(RefusedError, match="AccessDenied"):
        one.retire()
    assert one.source_keys() == KEYS


def test_a_retirement_that_is_paused_deletes_nothing_until_it_is_resumed(versioned: Retirement) -> None:
    versioned.migrate("avatar-1.png", "avatar-2.png")
    settings = versioned.wanted()
    counts = versioned.judge(settings)
    controls, door = Controls(), Door("a test", "wait")
    controls.hear(door, Order(paused=True))
    seen: list[int] = []

    def resume() -> None:
        seen.append(len(versioned.source_keys()))
        controls.hear(door, Order())

    timer = threading.Timer(2.0, resume)
    timer.start()
    retire(Run(settings, versioned.catalog, versioned.progress, controls=controls), versioned.bucket_state, counts)
    timer.join()
    assert seen == [2]
    assert (counts.deleted, versioned.source_keys()) == (2, [])
    assert controls.take_paused() > 1
