"""Copy one object inside the service (CopyObject), prove the copy, and find out what a refusal means."""

from __future__ import annotations

import re
from collections.abc import Awaitable
from urllib.parse import quote

from ..client.client import Client
from ..documents import fields_of, full_checksums_of, root_of
from ..errors import read_error
from ..multipart.upload import UploadResult
from ..objects.compare import Evidence, compare, etag_of, head
from ..objects.etags import same_etag
from ..objects.job import CopyJob, CopyOptions, CopyOutcome, SourceChanged, target_conflicts
from ..objects.properties import Properties, properties_of, put_tags
from ..objects.target_headers import TargetHeaders
from ..transport.connection import Response
from ..transport.sigv4 import encode_key

_SLOWEST_COPY = 10 * 1024 * 1024
"""Bytes per second of a server-side copy that is slow but works; one that takes longer is lost."""

_ETAG = re.compile(rb"<ETag>(?:&quot;|&#34;|\")?([^<&\"]+)")


def copy_timeout(size: int) -> float:
    """Return the seconds to wait for the reply to a copy of `size` bytes."""
    return 60 + size / _SLOWEST_COPY


def source_headers(source: Client) -> dict[str, str]:
    """Return the headers about the source bucket for requests that copy from it; a client sends those of its own."""
    headers = {}
    if source.endpoint.expected_owner is not None:
        headers["x-amz-source-expected-bucket-owner"] = source.endpoint.expected_owner
    if source.endpoint.requester_pays:
        headers["x-amz-request-payer"] = "requester"
    return headers


class ServerSide:
    """Copies objects one by one, each with a single CopyObject if the service supports all that Amazon's does."""

    def __init__(self, source: Client, target: Client, options: CopyOptions, target_headers: TargetHeaders) -> None:
        self._source = source
        self._target = target
        self._capabilities = able = options.capabilities
        self._target_headers = target_headers
        self._copies_acl = options.acl == "copy"
        self._keeps_class = options.storage_class == "keep"
        self._rejected: set[str] = set()
        if not able.source_condition.may_be_sent:
            self._rejected.add("x-amz-copy-source-if-match")
        if not able.target_condition.may_be_sent:
            self._rejected.add("if-none-match")
        if not able.target_match.may_be_sent:
            self._rejected.add("if-match")
        self._sends_tags = options.tags and not able.tags
        is_plain = bool(able.metadata and able.missing_source and able.source_condition)
        is_plain = is_plain and not (self._copies_acl or self._sends_tags)
        self._is_plain = is_plain and bool(able.target_condition)
        self._is_plain_replacing = is_plain and bool(able.target_match)
        # Made once: for each copy it would take a tenth of the whole.
        self._copy_source = quote(f"{source.endpoint.bucket}/", safe="/~")
        self._constant = {**source_headers(source), **target_headers.constant}
        if able.tags and not options.tags:
            self._constant["x-amz-tagging-directive"] = "REPLACE"
        if target.endpoint.is_aws:
            # Annotations would be copied by default, which needs two more permissions and is billed for each
            # (CopyObject in botocore 1.44's service model).
            self._constant["x-amz-object-annotation-directive"] = "EXCLUDE"

    def copy(self, job: CopyJob) -> Awaitable[CopyOutcome]:
        """Copy one object and prove the copy. Raises SourceChanged, S3Error and S3StopError."""
        headers = {
            "x-amz-copy-source": self._copy_source + encode_key(job.source_key),
            "x-amz-copy-source-if-match": f'"{job.etag}"',
            **self._constant,
        }
        # As `target_condition` and `storage_class`, without their calls: this runs for each of millions.
        if job.replace_etag is None:
            headers["if-none-match"] = "*"
            is_plain = self._is_plain
        else:
            headers["if-match"] = f'"{job.replace_etag}"'
            is_plain = self._is_plain_replacing
        if job.storage_class != "STANDARD" and self._keeps_class and job.storage_class:
            headers["x-amz-storage-class"] = job.storage_class
        if is_plain:
            return self._send(job, headers)
        return self._copy_in_steps(job, headers)

    async def _send(self, job: CopyJob, headers: dict[str, str], tags: str = "") -> CopyOutcome:
        reply = await self._target.request("PUT", job.target_key, headers=headers, read_timeout=copy_timeout(job.size))
        if reply.status != 200:
            return await explain_refused_reply(self._source, self._target, job, reply)
        if tags:
            await put_tags(self._target, job.target_key, tags)
        found = _ETAG.search(reply.body)
        etag = found[1].decode() if found else ""
        if same_etag(etag, job.etag):
            return CopyOutcome(job, "copied", etag, Evidence.ETAG, reply.attempts)
        checksums = full_checksums_of(fields_of(root_of(reply.body)))
        return await proven_outcome(self._source, self._target, job, etag, reply.attempts, checksums)

    async def _copy_in_steps(self, job: CopyJob, headers: dict[str, str]) -> CopyOutcome:
        """Do with separate requests what this service does not do in one, or S3 never does."""
        if self._rejected:
            headers = {name: value for name, value in headers.items() if name not in self._rejected}
        refusal = await self._check_conditions(job)
        if refusal is not None:
            return refusal
        if self._copies_acl:
            headers |= await self._target_headers.acl_headers(job)
        tags = ""
        able = self._capabilities
        if self._sends_tags or not able.metadata:
            properties = await properties_of(self._source, job, able, metadata=not able.metadata, tags=self._sends_tags)
            headers |= _directives(properties, metadata=not able.metadata)
            tags = properties.tags
        return await self._send(job, headers, tags)

    async def _check_conditions(self, job: CopyJob) -> CopyOutcome | None:
        """Check the conditions that the service ignores or rejects, and return the outcome if one fails.

        Between this check and the copy somebody may still change the source, which the proof finds, or store the
        target object, which is then overwritten: that is the price of a service without conditions.
        """
        able = self._capabilities
        if not (able.missing_source and able.source_condition):
            found = await head(self._source, job.source_key, job.etag)
            if found.status != 200:
                raise SourceChanged(read_error(found.status, found.body)[0])
        condition = job.condition(able.target_condition, able.target_match)
        if not condition and target_conflicts(await head(self._target, job.target_key), job):
            return await explain_refusal(self._source, self._target, job, "PreconditionFailed", attempts=0)
        return None


def stored_outcome(job: CopyJob, etag: str, evidence: Evidence | None, attempts: int) -> CopyOutcome:
    """Return the outcome of an object that the target has stored: copied if something proves its content.

    etag: of the new object; "" if it is not known
    evidence: None if the content differs
    attempts: for the outcome
    """
    if evidence is not None:
        return CopyOutcome(job, "copied", etag, evidence, attempts)
    return CopyOutcome(
        job,
        "failed",
        etag or None,
        attempts=attempts,
        error="ContentDiffers",
        message="the target reports the object as stored, but its content is not the source's",
    )


async def proven_outcome(
    source: Client, target: Client, job: CopyJob, etag: str, attempts: int, checksums: dict[str, str] | None = None
) -> CopyOutcome:
    """Compare an object that we made under the condition of the source's ETag with its source; return the outcome.

    etag: of the new object as the service replied; "" if the reply has none
    attempts: for the outcome
    checksums: of the whole new object, as the service replied

    Raises SourceChanged, S3Error and S3StopError.
    """
    if not etag:
        etag = etag_of(await head(target, job.target_key))
    evidence = await compare(
        source, job.source_key, job.etag, target, job.target_key, etag, is_own_copy=True, own_checksums=checksums or {}
    )
    if evidence is None and not await is_unchanged(source, job):
        raise SourceChanged("PreconditionFailed")
    return stored_outcome(job, etag, evidence, attempts)


async def explain_refused_reply(source: Client, target: Client, job: CopyJob, reply: Response) -> CopyOutcome:
    """Return the outcome of a single request that was refused; as `explain_refusal`."""
    code = read_error(reply.status, reply.body)[0]
    return await explain_refusal(source, target, job, code, attempts=reply.attempts, repeated=reply.repeated)


async def explain_refused_upload(source: Client, target: Client, job: CopyJob, done: UploadResult) -> CopyOutcome:
    """Return the outcome of a multipart upload that was not completed; as `explain_refusal`."""
    code = "PreconditionFailed" if done.status == 412 else "NoSuchUpload"
    return await explain_refusal(
        source, target, job, code, attempts=done.attempts, repeated=done.repeated, own_etag=done.etag
    )


async def explain_refusal(
    source: Client,
    target: Client,
    job: CopyJob,
    code: str,
    *,
    attempts: int,
    repeated: bool = False,
    own_etag: str = "",
) -> CopyOutcome:
    """Return the outcome of a job whose condition failed: 412 and 404 do not say on which of the two objects.

    code: S3's error code
    attempts: for the outcome
    repeated: an earlier attempt may have made the object although its reply was lost
    own_etag: that this object would have, if known

    Raises SourceChanged, S3Error and S3StopError.
    """
    if not await is_unchanged(source, job):
        raise SourceChanged(code)
    existing = await head(target, job.target_key)
    if existing.status != 200:
        return CopyOutcome(
            job,
            "failed",
            attempts=attempts,
            error="TargetGone" if job.replace_etag else code,
            message="the source is as listed, and the target object that blocked the copy is gone; run again",
        )
    etag = etag_of(existing)
    if repeated and own_etag and etag == own_etag:
        return await proven_outcome(source, target, job, etag, attempts)
    same_size = existing.headers.get(b"content-length") == b"%d" % job.size
    evidence = await compare(source, job.source_key, job.etag, target, job.target_key, etag) if same_size else None
    if evidence is not None:
        # If the reply to an earlier attempt of ours was lost, the object that blocks this one is ours.
        return CopyOutcome(job, "copied" if repeated else "present", etag, evidence, attempts)
    if same_size and not await is_unchanged(source, job):
        raise SourceChanged("PreconditionFailed")
    return CopyOutcome(
        job,
        "conflict",
        etag,
        attempts=attempts,
        error="PreconditionFailed",
        message="the target key is taken by other content",
    )


async def is_unchanged(source: Client, job: CopyJob) -> bool:
    """Return whether the source object exists with the ETag that was listed."""
    return (await head(source, job.source_key, job.etag)).status == 200


def _directives(properties: Properties, *, metadata: bool) -> dict[str, str]:
    headers = dict(properties.headers)
    if metadata:
        headers["x-amz-metadata-directive"] = "REPLACE"
    # only with tags: a service that carries none loses none, and some reject the directive
    if "x-amz-tagging" in headers:
        headers["x-amz-tagging-directive"] = "REPLACE"
    return headers
