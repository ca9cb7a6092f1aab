"""Find out, before a run and by trying, what the target supports and which rights are missing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from ...config.settings import CopyMethod
from ...errors import Finding
from ...mapping.key_shapes import LONGEST_SEGMENT, MAX_KEY_BYTES, UNTRIED_SHAPES, KeyShape
from ..capabilities import Capabilities
from ..client.client import Client
from ..concurrency import run_all
from ..transport.sigv4 import encode_copy_source
from .scratch import Scratch, TrialResponse, list_first, try_request
from .source_rights import check_reading

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
_WRONG_ETAG = f'"{"0" * 32}"'

_CONTROLS = "".join(chr(code) for code in (*range(1, 32), 127) if chr(code) not in "\n\r")

_SPECIMENS: Mapping[KeyShape, tuple[str, ...]] = {
    # `..` never leads out of the scratch folder, not even on a service that resolves it.
    KeyShape.DOT_SEGMENT: ("a/./b", "a/../c", "a/.."),
    KeyShape.EMPTY_SEGMENT: ("/a", "a//b"),
    # The first one creates the folder; some services then report that its marker exists already.
    KeyShape.FOLDER: ("a/b", "a/"),
    KeyShape.BACKSLASH: ("a\\b",),
    KeyShape.NUL: ("a\0b",),
    KeyShape.LINE_BREAK: ("a\nb\rc",),
    KeyShape.CONTROL: (f"a{_CONTROLS}b",),
}
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
    acl: bool = False,
) -> ProbeResult:
    """Try what a copy needs on scratch objects under `prefix` in the target bucket, with the target's credentials.

    source, target: clients, best with `scratch.RETRY`. The source is only read: its bucket gets no object
    prefix: of the target; scratch keys begin with it and `scratch.SCRATCH_NAME`, and must not be listed as objects
        of the migration
    source_prefix: the first object under it is read as the copy will read it: if the service copies, with the target's
        credentials
    method: if the content is streamed, copies inside the service are not tried
    storage_headers: of each copy, for encryption and access (the storage class would be billed)
    acl: whether each copy gets the ACL of its source

    The scratch objects are removed even if this fails or is cancelled, each version by its id (without the right
    s3:DeleteObjectVersion they stay hidden under delete markers), and so are those that killed probes left. Each write
    sends the bucket's event notifications.

    `migrate` must work without the right to delete, so its lack is no finding. With s3:DeleteObject (and
    s3:DeleteObjectVersion) on `<prefix>.rehome-probe-*` alone everything can be tried. Without it:
    - on Amazon's S3 only the rights are tried, by multipart uploads that are created and aborted, which leave
      nothing; the capabilities are the documented ones;
    - elsewhere the trials use fixed names (`<prefix>.rehome-probe-kept/…`), so that at most seven objects of a hundred
      bytes stay, whatever the number of probes; keys of odd shapes are not tried, and count as refused.

    Sends about 50 requests if the target takes all keys, 85 if it refuses most shapes, as many at once as the client
    allows: a tenth of a second on a near server.
    Raises S3Error if the service does not reply, S3StopError if no request can succeed.
    """
    trials = _Trials(target, Scratch(target, prefix, storage_headers), prefix)
    try:
        await run_all(trials.run(method), trials.read_source(source, source_prefix, method, acl))
    finally:
        await trials.scratch.clean()
    return trials.result()


@dataclass
class _Trials:
    """The trials of one probe, and what they have found so far.

    found: fields of Capabilities that differ from their defaults
    """

    target: Client
    scratch: Scratch
    prefix: str
    found: dict[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def result(self) -> ProbeResult:
        if self.scratch.hides_versions:
            self.notes.append(
                "the credentials of rehome_target may not delete versions, which a migration does not need; the "
                "scratch objects stay, hidden by delete markers. Grant s3:DeleteObjectVersion on "
                f"{self._scratch_arn}, and nothing else, to have them removed"
            )
        # Several trials may miss the same right.
        return ProbeResult(Capabilities(**self.found), tuple(dict.fromkeys(self.findings)), tuple(self.notes))

    async def read_source(self, source: Client, prefix: str, method: CopyMethod, acl: bool) -> None:
        reading = await check_reading(source, prefix, None if method == "stream" else self.target, acl)
        self.findings += reading.findings
        if method == "stream":
            self._note_unsupported("source_condition", not reading.condition)

    async def run(self, method: CopyMethod) -> None:
        await self.scratch.check_delete_right()
        if not self.scratch.may_delete and self.target.endpoint.is_aws:
            await self._try_rights()
            self._note_no_deleting("nothing was stored to try the service, which is assumed to be as documented")
            return
        stored = await self.scratch.put("plain", _METADATA)
        if not stored.ok:
            self._add_refusal(stored, "s3:PutObject", "store objects")
            return
        taken = await self.scratch.put("taken", {**_METADATA, **self._if_absent()})
        if not taken.ok and taken.status != 412:  # if a reply was lost, the existing object is ours
            self._add_refusal(taken, "s3:PutObject", "store objects under the condition that none exists")
            return
        copying = [self._try_copies(stored), self._try_tags()] if method == "server_side" else [self._try_stored_tags()]
        await run_all(
            *copying, self._try_put(), self._try_upload(), self._try_shapes(method), self.scratch.clean_stale()
        )
        if not self.scratch.may_delete:
            kept = ", ".join(self.scratch.written)
            self._note_no_deleting(f"the scratch objects stay, and the next probe writes the same ones ({kept})")

    # Trials

    async def _try_copies(self, stored: TrialResponse) -> None:
        await run_all(self._try_good_copy(stored.etag()), self._try_missing_source(), self._try_wrong_etag())

    async def _try_good_copy(self, etag: str) -> None:
        """Try a copy that must succeed and what it carries, and that a second one to the same key fails."""
        headers = {**self._copy_source("plain"), "x-amz-copy-source-if-match": etag}
        copied = await self.scratch.copy("copy", {**headers, **self._if_absent()})
        if copied.status == 412:  # if a reply was lost, the existing copy is ours
            copied = await self.scratch.copy("copy", headers)
        if not copied.ok:
            self._add_refusal(copied, "s3:GetObject and s3:PutObject", "copy objects inside the target")
            return
        self._note_unsupported("etag", _ETAG.search(copied.body) is None)
        stored = await try_request(self.target, "GET", self.scratch.folder + "copy")
        if not stored.ok:
            self._add_refusal(stored, "s3:GetObject", "read what it stored")
            return
        self._note_unsupported("metadata", not _has(stored, _METADATA))
        if stored.body != self.scratch.body:
            self._add_finding(
                "the content of a copy is not its source's", "Report this to the service; no copy can be proven"
            )
        again = await self.scratch.copy("copy", {**self._copy_source("plain"), "if-none-match": "*"})
        self._note_unsupported("target_condition", again.status != 412)
        other = await self.scratch.copy("copy", {**self._copy_source("plain"), "if-match": _WRONG_ETAG})
        self._note_unsupported("target_condition", other.status != 412)

    async def _try_missing_source(self) -> None:
        refused = await self.scratch.copy("from-nothing", self._copy_source("nothing"))
        self._note_unsupported("missing_source", refused.ok)

    async def _try_wrong_etag(self) -> None:
        refused = await self.scratch.copy(
            "from-another", {**self._copy_source("plain"), "x-amz-copy-source-if-match": _WRONG_ETAG}
        )
        self._note_unsupported("source_condition", refused.status != 412)

    async def _try_tags(self) -> None:
        """Try whether a copy carries tags; it is assumed to if they cannot be read (s3:GetObjectTagging)."""
        if await self._put_tagged():
            copied = await self.scratch.copy("tagged-copy", self._copy_source("tagged"))
            if copied.ok:
                await self._read_tags("tagged-copy")

    async def _try_stored_tags(self) -> None:
        if await self._put_tagged():
            await self._read_tags("tagged")

    async def _put_tagged(self) -> bool:
        """Store an object with tags in both ways that a copy uses: in a header, and separately if they are too long."""
        tagged = await self.scratch.put("tagged", _TAGS)
        if tagged.ok:
            # Some services check the right to store tags only here.
            alone = await self.scratch.write("PUT", "tagged", query=[("tagging", "")], headers={}, body=_TAG_SET)
            tagged = alone if alone.denied else tagged
        if tagged.denied:
            self._add_refusal(tagged, "s3:PutObjectTagging", "store tags")
        elif not tagged.ok:
            self.found["tags"] = False
        return tagged.ok

    async def _read_tags(self, name: str) -> None:
        tags = await try_request(self.target, "GET", self.scratch.folder + name, query=[("tagging", "")])
        if tags.denied:
            self.notes.append(
                "the credentials of rehome_target may not read tags, which a migration does not need; whether copies "
                f"carry them is not tried. Grant s3:GetObjectTagging on {self._scratch_arn}, and nothing else, to "
                "have it tried"
            )
        self._note_unsupported("tags", not tags.denied and _TAG.search(tags.body) is None)

    async def _try_put(self) -> None:
        again = await self.scratch.put("taken", {**_METADATA, "if-none-match": "*"})
        self._note_unsupported("put_condition", again.status != 412)

    async def _try_upload(self) -> None:
        """Try a multipart upload of one tiny part to a key that is taken."""
        created = await self.scratch.create_upload("taken", _METADATA)
        if not created.ok:
            self._add_refusal(created, "s3:PutObject", "begin multipart uploads")
            return
        upload = self.scratch.uploads.get("taken")
        if upload is None:
            self.found["complete_condition"] = False
            return
        part = await self.scratch.write("PUT", "taken", query=[("partNumber", "1"), ("uploadId", upload)], headers={})
        parts = f"<Part><PartNumber>1</PartNumber><ETag>{part.etag()}</ETag></Part>"
        completed = await self.scratch.write(
            "POST",
            "taken",
            query=[("uploadId", upload)],
            headers={"if-none-match": "*"},
            body=f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode(),
        )
        self._note_unsupported("complete_condition", completed.status != 412)
        await self._try_listing_uploads("taken", upload)
        # If it was completed there is nothing left to abort, but a missing right shows nevertheless.
        await self._try_abort("taken")

    async def _try_listing_uploads(self, name: str, upload: str) -> None:
        """Try what a run that resumes lists: the open uploads, and the parts of one."""
        query = [("uploads", ""), ("prefix", self.scratch.folder)]
        uploads = await try_request(self.target, "GET", None, query=query)
        if uploads.denied:
            bucket = f"arn:aws:s3:::{self.target.endpoint.bucket}"
            self._add_refusal(uploads, "s3:ListBucketMultipartUploads", "list open multipart uploads", bucket)
        parts = await try_request(self.target, "GET", self.scratch.folder + name, query=[("uploadId", upload)])
        if parts.denied:
            self._add_refusal(parts, "s3:ListMultipartUploadParts", "list the parts of an upload")

    async def _try_abort(self, name: str) -> None:
        aborted = await self.scratch.abort_upload(name)
        if aborted.denied:
            self._add_refusal(aborted, "s3:AbortMultipartUpload", "abort multipart uploads")

    async def _try_rights(self) -> None:
        """Find missing rights without storing an object: creating an upload needs all rights that storing does."""
        created = await self.scratch.create_upload("upload", {**_METADATA, **_TAGS})
        if created.denied:
            untagged = await self.scratch.create_upload("upload", _METADATA)
            if untagged.ok:
                self._add_refusal(created, "s3:PutObjectTagging", "store tags")
            created = untagged
        if not created.ok:
            self._add_refusal(created, "s3:PutObject", "store objects")
            return
        if upload := self.scratch.uploads.get("upload"):
            await self._try_listing_uploads("upload", upload)
            await self._try_abort("upload")

    async def _try_shapes(self, method: CopyMethod) -> None:
        """Find out which shapes of keys the target does not take unchanged."""
        if not self.scratch.may_delete:
            self.found |= {"refused_keys": UNTRIED_SHAPES, "keys_tried": False}
            return
        if await self._accepts("all", _EVERYTHING, method):
            return
        refused: set[KeyShape] = set()
        room = MAX_KEY_BYTES - len(f"{self.scratch.folder}{KeyShape.LONG_SEGMENT}/copy/".encode())
        specimens = {**_SPECIMENS, KeyShape.LONG_SEGMENT: ("L" * (LONGEST_SEGMENT + 1), "L" * room)}

        async def try_shape(shape: KeyShape) -> None:
            if not await self._accepts(shape, specimens[shape], method):
                refused.add(shape)

        await run_all(*(try_shape(shape) for shape in specimens))
        self.found["refused_keys"] = frozenset(refused)

    async def _accepts(self, folder: str, names: tuple[str, ...], method: CopyMethod) -> bool:
        """Return whether keys in `folder`, which is empty, are stored, copied, listed and found unchanged."""
        written = []
        for name in names:
            written.append(f"{folder}/{name}")
            if not (await self.scratch.put(written[-1], self._if_absent())).ok:
                return False
            if method == "server_side":
                written.append(f"{folder}/copy/{name}")
                headers = {**self._copy_source(written[-2]), **self._if_absent()}
                if not (await self.scratch.copy(written[-1], headers)).ok:
                    return False
        keys = [self.scratch.folder + name for name in written]
        try:
            found = [one.key for one in await list_first(self.target, f"{self.scratch.folder}{folder}/")]
        except ValueError:
            return False  # such a key makes the listing unreadable
        if sorted(found) != sorted(keys):
            return False
        return all([(await try_request(self.target, "HEAD", key)).ok for key in keys])

    # Helpers

    @property
    def _scratch_arn(self) -> str:
        return f"arn:aws:s3:::{self.target.endpoint.bucket}/{self.scratch.pattern}"

    def _if_absent(self) -> dict[str, str]:
        """Return the condition of every copy; none if objects of the last probe may exist."""
        return {"if-none-match": "*"} if self.scratch.may_delete else {}

    def _copy_source(self, name: str) -> dict[str, str]:
        headers = {"x-amz-copy-source": encode_copy_source(self.target.endpoint.bucket, self.scratch.folder + name)}
        if self.target.endpoint.is_aws:
            # As for the copies: annotations would need two more rights.
            headers["x-amz-object-annotation-directive"] = "EXCLUDE"
        return headers

    def _note_unsupported(self, name: str, unsupported: bool) -> None:
        if unsupported:
            self.found[name] = False

    def _add_refusal(self, response: TrialResponse, action: str, doing: str, resource: str | None = None) -> None:
        problem = f"S3 does not let its credentials {doing} there ({response.code}: {response.message.rstrip('.')})"
        if response.denied:
            objects = f"arn:aws:s3:::{self.target.endpoint.bucket}/{self.prefix}*"
            self._add_finding(problem, f"Grant {action} on {resource or objects}")
        else:
            self._add_finding(problem, "Correct what S3 names")

    def _add_finding(self, problem: str, way_out: str) -> None:
        place = f"s3://{self.target.endpoint.bucket}/{self.prefix}"
        self.findings.append(Finding("rehome_target", place, problem, way_out))

    def _note_no_deleting(self, consequence: str) -> None:
        self.notes.append(
            f"the credentials of rehome_target may not delete, which a migration does not need; {consequence}. "
            f"Grant s3:DeleteObject on {self._scratch_arn}, and nothing else, to have everything tried"
        )


def _has(response: TrialResponse, headers: Mapping[str, str]) -> bool:
    return all(response.headers.get(name.encode()) == value.encode() for name, value in headers.items())
