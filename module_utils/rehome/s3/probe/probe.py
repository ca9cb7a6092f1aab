"""Find out, before a run and by trying, what the target supports and which rights are missing."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from ...codes import Code
from ...config.settings import CopyMethod
from ...errors import Finding
from ...mapping.key_shapes import LONGEST_SEGMENT, MAX_KEY_BYTES, UNTRIED_SHAPES, KeyShape
from ..capabilities import Capabilities, about_content_md5
from ..client.client import Client
from ..concurrency import run_all
from ..errors import DIGEST_CODES
from ..listing.page import Listed
from ..support import Support
from ..transport.sigv4 import encode_copy_source
from .scratch import Scratch, TrialResponse, list_first, try_request
from .source_rights import SAMPLE, check_reading_of, has_tags, list_source, no_acls

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_METADATA: Mapping[str, str] = MappingProxyType(
    {"content-type": "text/x-rehome", "cache-control": "max-age=61", "x-amz-meta-rehome-carried": "yes"}
)
_TAGS: Mapping[str, str] = MappingProxyType({"x-amz-tagging": "rehome-probe=yes"})
_TAG_SET = (
    b'<Tagging xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><TagSet><Tag><Key>rehome-probe</Key><Value>yes</Value>'
    b"</Tag></TagSet></Tagging>"
)
_TAG = re.compile(rb"<Key>rehome-probe</Key>\s*<Value>yes</Value>")
_ETAG = re.compile(rb"<ETag>(?:&quot;|&#34;|\")?([^<&\"]+)")
_OTHER_CONTENT = b"Content that is refused, as it is not what its Content-MD5 says.\n"
_WRONG_ETAG = f'"{"0" * 32}"'
_IF_NONE: Mapping[str, str] = MappingProxyType({"if-none-match": "*"})
_IF_ANOTHER: Mapping[str, str] = MappingProxyType({"if-match": _WRONG_ETAG})
"""Conditions that an object that exists does not meet."""
_CLASSES_OF = 1_000
"""Of so many of the source's first objects, the storage classes are tried."""

_BADNESS = (Support.HAS, Support.IGNORES, Support.DENIED, Support.UNKNOWN, Support.REJECTS)
"""A header that one request rejects is sent with none."""

_SETTINGS = (
    ("rehome_encryption", "Set it to bucket", "x-amz-server-side-encryption"),
    ("rehome_acl", "Set it to none", "x-amz-acl"),
)
"""Settings that add headers to every object: the way out, and how the headers begin."""

_CONTROLS = "".join(chr(code) for code in (*range(1, 32), 127) if chr(code) not in "\n\r")

_SPECIMENS: Mapping[KeyShape, tuple[str, ...]] = {
    # The first one creates the folder; some services then report that its marker exists already.
    # `..` never leads out of the scratch folder, not even on a service that resolves it.
    KeyShape.DOT_SEGMENT: ("a/./b", "a/../c", "a/.."),
    KeyShape.EMPTY_SEGMENT: ("/a", "a//b"),
    KeyShape.FOLDER: ("a/b", "a/"),
    KeyShape.BACKSLASH: ("a\\b",),
    KeyShape.NUL: ("a\0b",),
    KeyShape.LINE_BREAK: ("a\nb\rc",),
    KeyShape.CONTROL: (f"a{_CONTROLS}b",),
}
_ALL = "all"
_EVERYTHING = ("f/a", "f/", f"a/.././/b\\c\0d\ne\r{_CONTROLS}/{'L' * (LONGEST_SEGMENT + 1)}/..")
"""Every shape in few keys: if a target takes these unchanged, no shape need be tried alone."""


class ProbeResult(NamedTuple):
    """The result of a probe.

    capabilities: what the target supports
    findings: missing rights, and whatever else makes every copy fail
    notes: what the operator should know although the run can go on; sentences without full stops
    """

    capabilities: Capabilities
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()


async def probe(
    source: Client,
    target: Client,
    prefix: str,
    *,
    source_prefix: str = "",
    method: CopyMethod = "server_side",
    storage_headers: Mapping[str, str] = _NO_HEADERS,
    storage_class: str = "keep",
    acl: bool = False,
    tags: bool = True,
) -> ProbeResult:
    """Try what a copy needs on scratch objects under `prefix` in the target bucket, with the target's credentials.

    source, target: clients, best with `scratch.RETRY`. The source is only read: its bucket gets no object
    prefix: of the target; scratch keys begin with it and `scratch.SCRATCH_NAME`, and must not be listed as objects
        of the migration
    source_prefix: the first object under it is read as the copy will read it: if the service copies, with the target's
        credentials
    method: if the content is streamed, copies inside the service are not tried
    storage_headers: of each copy, for encryption and access
    storage_class: of each copy, or `keep`: then the classes of the first objects under `source_prefix` are tried. They
        are tried by multipart uploads that are aborted: some classes bill weeks of storage for an object
    acl: whether each copy gets the ACL of its source
    tags: whether each copy gets the tags of its source. If not, `tags` says whether a copy can be told to leave them

    The scratch objects are removed even if this fails or is cancelled, each version by its id (without the right
    s3:DeleteObjectVersion they stay hidden under delete markers), and so are those that killed probes left. Each write
    sends the bucket's event notifications.

    `migrate` must work without the right to delete, so its lack is no finding. With s3:DeleteObject (and
    s3:DeleteObjectVersion) on `<prefix>.rehome-probe-*` alone everything can be tried. Without it:
    - on Amazon's S3 only the rights are tried, by multipart uploads that are created and aborted, which leave
      nothing; the capabilities are the documented ones;
    - elsewhere the trials use fixed names (`<prefix>.rehome-probe-kept/…`), so that at most seven objects of a hundred
      bytes stay, whatever the number of probes; keys of odd shapes are not tried, and count as refused.

    What does not depend on another reply is asked at the same time: on a far service, the waits are what a probe costs.
    Sends about 60 requests if the target takes all keys, 95 if it refuses most shapes, as many at once as the client
    allows: a tenth of a second on a near server.
    Raises S3Error if the service does not reply, S3StopError if no request can succeed.
    """
    needs = _Needs(method, storage_class, acl, tags)
    trials = _Trials(source, target, source_prefix, prefix, needs, Scratch(target, prefix, storage_headers))
    try:
        await trials.look_around()
        await run_all(trials.run(), trials.read_source())
        await trials.look_for_tags()
    finally:
        await trials.scratch.clean()
    return trials.result()


class Rights(NamedTuple):
    """Which rights of a copy the credentials lack, or why that is not known.

    findings: missing rights
    unread: why it is not known whether the source's objects can be read; None if it is
    unwritten: why it is not known whether objects can be stored in the target; None if it is
    """

    findings: tuple[Finding, ...] = ()
    unread: str | None = None
    unwritten: str | None = None


async def probe_rights(
    source: Client,
    target: Client,
    prefix: str,
    *,
    source_prefix: str,
    method: CopyMethod,
    storage_headers: Mapping[str, str],
    acl: bool,
    tags: bool,
    writes: bool,
) -> Rights:
    """Find out which rights of a copy the credentials lack, and nothing else of `probe`, whose parameters these are.

    writes: begin an upload in the target and abort it, for which S3 asks all rights that storing an object takes.
        Nothing is stored, and nothing deleted

    Raises S3Error if the service does not reply, S3StopError if no request can succeed.
    """
    needs = _Needs(method, "keep", acl, tags)
    trials = _Trials(source, target, source_prefix, prefix, needs, Scratch(target, prefix, storage_headers))
    trials.scratch.may_delete = False
    unwritten = None if writes else "not tried"
    try:
        trials.first = await list_source(source, source_prefix, 1)
        await trials.read_source()
        if writes and (unclear := await trials.begin_upload()) is not None:
            unwritten = f"the service does not begin an upload, which is no missing right ({unclear.answer})"
    finally:
        await trials.scratch.clean()
    unread = None
    if not trials.was_read:
        place = f"s3://{source.endpoint.bucket}/{source_prefix}"
        unread = f"the first object under {place} was not sent" if trials.first else f"no object is under {place}"
    return Rights(trials.result().findings, unread, unwritten)


class _Needs(NamedTuple):
    """What the copies ask for; the parameters of `probe`."""

    method: CopyMethod
    storage_class: str
    acl: bool
    tags: bool


@dataclass
class _Trials:
    """The trials of one probe, and what they have found so far.

    first: the first objects of the source
    was_read: the first of them can be read
    found: capabilities that differ from their defaults
    keys: the fields about keys of Capabilities
    """

    source: Client
    target: Client
    source_prefix: str
    prefix: str
    needs: _Needs
    scratch: Scratch
    first: Sequence[Listed] = ()
    was_read: bool = False
    found: dict[str, Support] = field(default_factory=dict)
    keys: dict[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def result(self) -> ProbeResult:
        if self.scratch.hides_versions:
            self.notes.append(
                "the credentials of rehome_target may not delete versions, which a migration does not need; the "
                "scratch objects stay, hidden by delete markers. Grant s3:DeleteObjectVersion on "
                f"{self._scratch_arn}, and nothing else, to have them removed"
            )
        if self.scratch.unaborted is not None:
            self._add_refusal(self.scratch.unaborted, "s3:AbortMultipartUpload", "abort multipart uploads")
        # Several trials may miss the same right.
        return ProbeResult(self.able, tuple(dict.fromkeys(self.findings)), tuple(self.notes))

    @property
    def able(self) -> Capabilities:
        """What was found so far."""
        found: dict[str, Any] = {**self.found, **self.keys}
        return Capabilities(**found)

    async def look_around(self) -> None:
        """List the first objects of the source, and find out whether the target's credentials may delete."""
        limit = SAMPLE if self.needs.storage_class != "keep" else _CLASSES_OF
        self.first, _ = await run_all(
            list_source(self.source, self.source_prefix, limit), self.scratch.check_delete_right()
        )

    async def read_source(self) -> None:
        """Find out whether the source can be read as the copies will read it."""
        streams = self.needs.method == "stream"
        reading = await check_reading_of(
            self.source,
            self.first,
            self.source_prefix,
            None if streams else self.target,
            acl=self.needs.acl,
            tags=self.needs.tags,
        )
        self.findings += reading.findings
        self.was_read = reading.was_read
        self._note("source_tags", reading.tags)
        if streams:
            self._note("source_condition", reading.condition)

    async def look_for_tags(self) -> None:
        """Refuse a target that keeps no tags, if an object is found that has some."""
        able = self.able
        if self.findings or not self.needs.tags or able.keep_tags or not able.source_tags:
            return
        key = await has_tags(self.source, self.first)
        if key is not None:
            self.findings.append(
                Finding(
                    "rehome_tags",
                    "copy",
                    "the target's service keeps no tags, which is no missing right, and source objects such as "
                    f"{key!r} have some",
                    "Set it to none to copy the objects without their tags",
                    Code.S3_LACKS,
                )
            )

    async def run(self) -> None:
        """Try the target."""
        if not self.scratch.may_delete and self.target.endpoint.is_aws:
            if (unclear := await self.begin_upload()) is not None:
                self._add_refusal(unclear, "s3:PutObject", "store objects")
            self._note_no_deleting("nothing was stored to try the service, which is assumed to be as documented")
            return
        # Alone, so that nothing else is sent if it is refused. And SeaweedFS 4.48 makes room for a new bucket: what is
        # sent beside its first object waits a second for that.
        plain = await self.scratch.put("plain", _METADATA)
        if not await self._may_store(plain):
            return
        first = await self._store_more()
        if self._rejects_acls(first) or not await self._is_taken(first["taken"]):
            return
        server_side = self.needs.method == "server_side"
        if server_side and not await self._try_good_copy(plain.etag()):
            return
        copying = [self._try_missing_source(), self._try_wrong_etag()] if server_side else []
        tags = (
            [self._try_tags(first["tagged"])] if self.needs.tags else [self._try_leaving_tags()] if server_side else []
        )
        await run_all(
            *copying,
            *tags,
            self._try_put("put_condition", _IF_NONE),
            self._try_put("put_match", _IF_ANOTHER),
            self._try_content_md5(),
            self._try_uploads(),
            self._try_shapes(),
            self.scratch.clean_stale(),
        )
        if not self.scratch.may_delete:
            kept = ", ".join(self.scratch.written)
            self._note_no_deleting(f"the scratch objects stay, and the next probe writes the same ones ({kept})")

    # Trials

    async def _store_more(self) -> dict[str, TrialResponse]:
        """Store the other objects that the trials begin with: name → response.

        `taken` under the condition that none exists, `tagged` with a tag, `with-acl` with an ACL, and one that makes
        the folder of all shapes.
        """
        headers_of: dict[str, Mapping[str, str]] = {"taken": {**_METADATA, **self._if_absent("put_condition")}}
        if self.needs.tags:
            headers_of["tagged"] = _TAGS
        if self.needs.acl:
            headers_of["with-acl"] = {**_METADATA, "x-amz-acl": "private"}
        if self.scratch.may_delete:
            headers_of[f"{_ALL}/{_EVERYTHING[0]}"] = _NO_HEADERS
        responses = await run_all(*(self.scratch.put(name, headers) for name, headers in headers_of.items()))
        return dict(zip(headers_of, responses, strict=True))

    async def _may_store(self, stored: TrialResponse) -> bool:
        """Return whether `plain` is stored, with the headers of a copy; if not, that is a finding."""
        if not stored.ok and stored.support() is Support.REJECTS and (finding := await self._rejected_setting(stored)):
            self.findings.append(finding)
            return False
        if not stored.ok:
            self._add_refusal(stored, "s3:PutObject", "store objects")
            return False
        return True

    def _rejects_acls(self, first: Mapping[str, TrialResponse]) -> bool:
        """Return whether objects are not stored with an ACL although the copies are to have one, which is a finding."""
        private = first.get("with-acl")
        if private is None or private.support() is not Support.REJECTS:
            return False
        self.findings.append(no_acls("target", private))
        return True

    async def _rejected_setting(self, refused: TrialResponse) -> Finding | None:
        """Return which setting's headers the service rejects, by leaving them out; None if it is none of them."""
        for setting, way_out, begin in _SETTINGS:
            headers = self.scratch.storage_headers
            self.scratch.storage_headers = {
                name: value for name, value in headers.items() if not name.startswith(begin)
            }
            if len(self.scratch.storage_headers) < len(headers) and (await self.scratch.put("plain", _METADATA)).ok:
                problem = f"the target's service rejects what it asks for, which is no missing right ({refused.answer})"
                return Finding(setting, None, problem, way_out, Code.S3_LACKS)
            self.scratch.storage_headers = headers
        return None

    async def _is_taken(self, taken: TrialResponse) -> bool:
        """Return whether `taken` is stored: under the condition that none exists, or without where that is rejected."""
        if taken.ok or taken.status == 412:  # if a reply was lost, the existing object is ours
            return True
        if taken.denied:
            self._add_refusal(taken, "s3:PutObject", "store objects under the condition that none exists")
            return False
        self._note("put_condition", taken.support())
        plain = await self.scratch.put("taken", _METADATA)
        if not plain.ok:
            self._add_refusal(plain, "s3:PutObject", "store objects")
        return plain.ok

    async def _try_good_copy(self, etag: str) -> bool:
        """Try a copy that must succeed and what it carries, and that a second one to the same key fails.

        Returns whether the service copies.
        """
        condition = {"x-amz-copy-source-if-match": etag}
        copied = await self._copy("copy", condition | self._if_absent("target_condition"))
        if copied.status == 412:  # if a reply was lost, the existing copy is ours
            copied = await self._copy("copy", condition)
        if not copied.ok and not copied.denied:
            copied = await self._find_rejected_conditions(condition)
        if not copied.ok:
            if copied.support() is Support.REJECTS:
                self._note("copy", Support.REJECTS)
            elif copied.status == 200 and await self._is_empty("copy"):
                self._note("copy", Support.IGNORES)  # it stored what the request holds: nothing
            else:
                self._add_refusal(copied, "s3:GetObject and s3:PutObject", "copy objects inside the target")
            return False
        self._note("etag", Support.IGNORES if _ETAG.search(copied.body) is None else Support.HAS)
        wrong = {"target_condition": _IF_NONE, "target_match": _IF_ANOTHER}
        stored, *second = await run_all(
            try_request(self.target, "GET", self.scratch.folder + "copy"),
            *(self._copy("copy", condition) for condition in wrong.values()),
        )
        if not stored.ok:
            self._add_refusal(stored, "s3:GetObject", "read what it stored")
            return True
        self._note("metadata", stored.support(kept=_has(stored, _METADATA)))
        if stored.body != self.scratch.body:
            self._add_finding(
                "the content of a copy is not its source's",
                "Report this to the service; no copy can be proven",
                Code.S3_ANSWERED,
            )
        for name, response in zip(wrong, second, strict=True):
            self._note(name, response.support(kept=False))
        return True

    async def _is_empty(self, name: str) -> bool:
        stored = await try_request(self.target, "GET", self.scratch.folder + name)
        return stored.ok and not stored.body

    async def _find_rejected_conditions(self, condition: Mapping[str, str]) -> TrialResponse:
        """Find out which condition makes a copy fail; return the response to a copy without any."""
        plain = await self._copy("copy", {})
        if plain.ok:
            alone = {
                "source_condition": await self._copy("copy", condition),
                "target_condition": await self._copy("copy-absent", self._if_absent("target_condition")),
            }
            rejected = [name for name, response in alone.items() if not response.ok] or list(alone)
            for name in rejected:
                support = alone[name].support()
                self._note(name, Support.REJECTS if support in (Support.HAS, Support.IGNORES) else support)
        return plain

    async def _try_missing_source(self) -> None:
        refused = await self.scratch.copy("from-nothing", self._copy_source("nothing"))
        self._note("missing_source", Support.IGNORES if refused.ok else Support.HAS)

    async def _try_wrong_etag(self) -> None:
        refused = await self._copy("from-another", {"x-amz-copy-source-if-match": _WRONG_ETAG})
        self._note("source_condition", refused.support(kept=False))

    async def _try_tags(self, stored: TrialResponse) -> None:
        """Try the ways in which tags reach an object: in a header, by a request of their own, and along with a copy.

        stored: the response to `tagged`
        """
        if stored.denied:
            self._add_refusal(stored, "s3:PutObjectTagging", "store tags")
            return
        if not stored.ok and not (await self.scratch.put("tagged", {})).ok:
            self._note("tag_header", stored.support())
            return
        self._note("tag_header", await self._kept_tags(stored, "tagged"))
        # Some services check the right to store tags only here.
        alone = await self.scratch.write("PUT", "tagged", query=[("tagging", "")], headers={}, body=_TAG_SET)
        if alone.denied:
            self._add_refusal(alone, "s3:PutObjectTagging", "store tags")
            return
        self._note("tag_request", await self._kept_tags(alone, "tagged"))
        if self.needs.method == "stream" or not (self.able.tag_header or self.able.tag_request):
            self._note("tags", self.able.tag_header)
            return
        copied = await self._copy("tagged-copy", {})
        self._note("tags", await self._kept_tags(copied, "tagged-copy"))
        if not self.able.tags and self.able.tag_header:
            replaced = await self._copy("tagged-copy", {**_TAGS, "x-amz-tagging-directive": "REPLACE"})
            self._note("tag_header", await self._kept_tags(replaced, "tagged-copy"))

    async def _try_leaving_tags(self) -> None:
        copied = await self._copy("without-tags", {"x-amz-tagging-directive": "REPLACE"})
        self._note("tags", copied.support())

    async def _kept_tags(self, stored: TrialResponse, name: str) -> Support:
        """Return whether what was stored has tags. If they cannot be read, it is assumed to (s3:GetObjectTagging)."""
        if not stored.ok:
            return stored.support()
        tags = await try_request(self.target, "GET", self.scratch.folder + name, query=[("tagging", "")])
        if tags.denied:
            note = (
                "the credentials of rehome_target may not read tags, which a migration does not need; whether copies "
                f"carry them is not tried. Grant s3:GetObjectTagging on {self._scratch_arn}, and nothing else, to "
                "have it tried"
            )
            if note not in self.notes:
                self.notes.append(note)
            return Support.HAS
        return Support.HAS if _TAG.search(tags.body) else Support.IGNORES

    async def _try_put(self, name: str, wrong: Mapping[str, str]) -> None:
        self._note(name, (await self.scratch.put("taken", {**_METADATA, **wrong})).support(kept=False))

    async def _try_content_md5(self) -> None:
        """Try whether content is compared with its Content-MD5, in requests whose payload is not signed."""
        if self.needs.method != "stream":
            return
        self.found["content_md5"] = found = await self._content_md5()
        if not found:
            self.notes.append(about_content_md5(found))

    async def _content_md5(self) -> Support:
        right = await self.scratch.put("taken", _METADATA, proven=True)
        if not right.ok:
            return right.support()
        wrong = await self.scratch.put(
            "taken", _METADATA, proven=True, body=_OTHER_CONTENT, digest_of=self.scratch.body
        )
        if wrong.ok:
            return Support.IGNORES
        # That it is refused is half of the proof: nothing may be stored of it either.
        stored = await try_request(self.target, "GET", self.scratch.folder + "taken")
        checks = wrong.code in DIGEST_CODES and stored.ok and stored.body == self.scratch.body
        return Support.HAS if checks else Support.UNKNOWN

    async def _try_classes(self) -> None:
        """Try the storage classes that the copies will have, without storing an object in them."""
        given = self.needs.storage_class
        wanted = {one.storage_class for one in self.first} if given == "keep" else {given}
        await run_all(*(self._try_class(name) for name in sorted(wanted - {"", "STANDARD"})))

    async def _try_class(self, name: str) -> None:
        # to a key that is taken: removing one that is not would leave a delete marker
        created, _ = await self.scratch.create_upload("taken", {"x-amz-storage-class": name})
        if created.support() is Support.REJECTS:
            problem = (
                f"the target's service rejects the storage class {name}, which is no missing right ({created.answer})"
            )
            way_out = "Set it to STANDARD, or to a class that the target has"
            finding = Finding("rehome_storage_class", self.needs.storage_class, problem, way_out, Code.S3_LACKS)
            self.findings.append(finding)

    async def _try_uploads(self) -> None:
        """Try multipart uploads of one tiny part to keys that are taken, each trial in an upload of its own."""
        trials: list[tuple[str, Callable[[str, str], Coroutine[Any, Any, None]]]] = [
            ("taken", partial(self._try_completion, "complete_match", _IF_ANOTHER)),
            ("plain", partial(self._try_completion, "complete_condition", _IF_NONE)),
        ]
        if self.needs.method == "server_side":
            # Ceph completes an upload only with all of its parts, and rclone replaces none.
            trials.append(("taken", self._try_part_copy))
        begun = await run_all(*(self.scratch.create_upload(name, _METADATA) for name, _ in trials))
        uploads = [upload for created, upload in begun if created.ok and upload is not None]
        if len(uploads) < len(trials):
            refused = next((created for created, _ in begun if not created.ok), begun[0][0])
            if refused.denied:
                self._add_refusal(refused, "s3:PutObject", "begin multipart uploads")
            else:
                self._note("uploads", refused.support(kept=False))
            return
        await run_all(
            *(trial(name, upload) for (name, trial), upload in zip(trials, uploads, strict=True)),
            self._try_listing_uploads("taken", uploads[0]),
            self._try_classes(),
        )

    async def _try_completion(self, name: str, condition: Mapping[str, str], key: str, upload: str) -> None:
        """Try whether a condition that does not hold keeps the upload from being completed."""
        completed = await self._complete(key, upload, condition)
        support = completed.support(kept=False)
        if support is Support.REJECTS and not (await self._complete(key, upload, _NO_HEADERS)).ok:
            # if the service does not complete it without the condition either, the answer is about something else
            support = Support.UNKNOWN
        self._note(name, support)

    async def _complete(self, name: str, upload: str, condition: Mapping[str, str]) -> TrialResponse:
        query = [("uploadId", upload)]
        part = await self.scratch.write("PUT", name, query=[("partNumber", "1"), *query], headers={})
        parts = f"<Part><PartNumber>1</PartNumber><ETag>{part.etag()}</ETag></Part>"
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        return await self.scratch.write("POST", name, query=query, headers=condition, body=body)

    async def _try_part_copy(self, name: str, upload: str) -> None:
        """Try a part that is copied, in an upload that is not to be completed."""
        query = [("partNumber", "1"), ("uploadId", upload)]
        source = {"x-amz-copy-source": self._copy_source("plain")["x-amz-copy-source"]}

        async def copied(condition: Mapping[str, str]) -> TrialResponse:
            return await self.scratch.write("PUT", name, query=query, headers={**source, **condition}, body=b"")

        part, refused = await run_all(copied(_NO_HEADERS), copied({"x-amz-copy-source-if-match": _WRONG_ETAG}))
        # rclone takes it for a part without content
        self._note("part_copy", part.support(kept=_ETAG.search(part.body) is not None))
        if self.able.part_copy:
            self._note("part_condition", refused.support(kept=False))

    async def _try_listing_uploads(self, name: str, upload: str) -> None:
        """Try what a run that resumes lists: the open uploads, and the parts of one."""
        query = [("uploads", ""), ("prefix", self.scratch.folder)]
        uploads, parts = await run_all(
            try_request(self.target, "GET", None, query=query),
            try_request(self.target, "GET", self.scratch.folder + name, query=[("uploadId", upload)]),
        )
        if uploads.denied:
            bucket = f"arn:aws:s3:::{self.target.endpoint.bucket}"
            self._add_refusal(uploads, "s3:ListBucketMultipartUploads", "list open multipart uploads", bucket)
        if parts.denied:
            self._add_refusal(parts, "s3:ListMultipartUploadParts", "list the parts of an upload")

    async def begin_upload(self) -> TrialResponse | None:
        """Find missing rights without storing an object: creating an upload needs all rights that storing does.

        Return the response that leaves open whether objects can be stored; None if that is known.
        """
        created, upload = await self.scratch.create_upload(
            "upload", {**_METADATA, **(_TAGS if self.needs.tags else {})}
        )
        if created.denied:
            untagged, upload = await self.scratch.create_upload("upload", _METADATA)
            if untagged.ok:
                self._add_refusal(created, "s3:PutObjectTagging", "store tags")
            created = untagged
        if created.denied:
            self._add_refusal(created, "s3:PutObject", "store objects")
        elif not created.ok:
            return created
        elif upload is not None:
            await self._try_listing_uploads("upload", upload)
        return None

    async def _try_shapes(self) -> None:
        """Find out which shapes of keys the target does not take unchanged."""
        if not self.scratch.may_delete:
            self.keys = {"refused_keys": UNTRIED_SHAPES, "keys_tried": False}
            return
        if await self._accepts(_ALL, _EVERYTHING, made=1):
            return
        refused: set[KeyShape] = set()
        room = MAX_KEY_BYTES - len(f"{self.scratch.folder}{KeyShape.LONG_SEGMENT}/copy/".encode())
        specimens = {**_SPECIMENS, KeyShape.LONG_SEGMENT: ("L" * (LONGEST_SEGMENT + 1), "L" * room)}

        async def try_shape(shape: KeyShape) -> None:
            if not await self._accepts(shape, specimens[shape], made=shape is KeyShape.FOLDER):
                refused.add(shape)

        await run_all(*(try_shape(shape) for shape in specimens))
        self.keys = {"refused_keys": frozenset(refused)}

    async def _accepts(self, folder: str, names: tuple[str, ...], *, made: int) -> bool:
        """Return whether keys in `folder` are stored, copied, listed and found unchanged. No others are in it.

        made: so many of the names only make the folder that the others are in; they are written first
        """
        for step in (names[:made], names[made:]):
            if not all(await run_all(*(self._stores(folder, name) for name in step))):
                return False
        place = f"{self.scratch.folder}{folder}/"
        places = (place, f"{place}copy/") if self.needs.method == "server_side" else (place,)
        heads = (try_request(self.target, "HEAD", start + name) for start in places for name in names[made:])
        try:
            listed, replies = await run_all(list_first(self.target, place), run_all(*heads))
        except ValueError:
            return False  # such a key makes the listing unreadable
        is_listed = sorted(one.key for one in listed) == sorted(start + name for start in places for name in names)
        return is_listed and all(reply.ok for reply in replies)

    async def _stores(self, folder: str, name: str) -> bool:
        """Return whether an object is stored under a name, unless it is already, and copied beside it."""
        stored, copied = f"{folder}/{name}", f"{folder}/copy/{name}"
        if not self.scratch.has(stored) and not (await self.scratch.put(stored, self._if_absent("put_condition"))).ok:
            return False
        if self.needs.method != "server_side":
            return True
        headers = {**self._copy_source(stored), **self._if_absent("target_condition")}
        return (await self.scratch.copy(copied, headers)).ok

    # Helpers

    @property
    def _scratch_arn(self) -> str:
        return f"arn:aws:s3:::{self.target.endpoint.bucket}/{self.scratch.pattern}"

    def _if_absent(self, condition: str) -> dict[str, str]:
        """Return the condition of every write; none if it is rejected, or if objects of the last probe may exist."""
        return (
            {"if-none-match": "*"}
            if self.scratch.may_delete and self.found.get(condition, Support.HAS).may_be_sent
            else {}
        )

    async def _copy(self, name: str, headers: Mapping[str, str]) -> TrialResponse:
        """Copy the plain object, or the tagged one for the trials of tags."""
        source = "tagged" if name.startswith("tagged") else "plain"
        return await self.scratch.copy(name, {**self._copy_source(source), **headers})

    def _copy_source(self, name: str) -> dict[str, str]:
        headers = {"x-amz-copy-source": encode_copy_source(self.target.endpoint.bucket, self.scratch.folder + name)}
        if self.target.endpoint.is_aws:
            # As for the copies: annotations would need two more rights.
            headers["x-amz-object-annotation-directive"] = "EXCLUDE"
        return headers

    def _note(self, name: str, support: Support) -> None:
        """Keep what was found out about a capability: of several trials, the worst."""
        if _BADNESS.index(support) > _BADNESS.index(self.found.get(name, Support.HAS)):
            self.found[name] = support

    def _add_refusal(self, response: TrialResponse, action: str, doing: str, resource: str | None = None) -> None:
        if response.denied:
            objects = f"arn:aws:s3:::{self.target.endpoint.bucket}/{self.prefix}*"
            problem = f"S3 does not let its credentials {doing} there ({response.answer})"
            self._add_finding(problem, f"Grant {action} on {resource or objects}", Code.S3_DENIED)
        elif response.support() is Support.UNKNOWN:
            problem = f"it could not be found out whether the service can {doing} there ({response.answer})"
            self._add_finding(problem, "See what the service reports, and run it again", Code.S3_ANSWERED)
        else:
            problem = f"the service refuses to {doing} there, which is no missing right ({response.answer})"
            self._add_finding(problem, "Correct what S3 names", Code.S3_ANSWERED)

    def _add_finding(self, problem: str, way_out: str, code: Code) -> None:
        place = f"s3://{self.target.endpoint.bucket}/{self.prefix}"
        self.findings.append(Finding("rehome_target", place, problem, way_out, code))

    def _note_no_deleting(self, consequence: str) -> None:
        self.notes.append(
            f"the credentials of rehome_target may not delete, which a migration does not need; {consequence}. "
            f"Grant s3:DeleteObject on {self._scratch_arn}, and nothing else, to have everything tried"
        )


def _has(response: TrialResponse, headers: Mapping[str, str]) -> bool:
    return all(response.headers.get(name.encode()) == value.encode() for name, value in headers.items())
