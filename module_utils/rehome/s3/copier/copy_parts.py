"""Copy objects that are too large for one CopyObject inside the service (UploadPartCopy)."""

from __future__ import annotations

from dataclasses import dataclass

from ..client.client import Client
from ..errors import read_error
from ..multipart.parts import Part, SentPart, check_size, even_parts, layout, sent_part
from ..multipart.upload import CopyContext, MultipartUpload
from ..objects.compare import head
from ..objects.job import CopyJob, CopyOutcome, SourceChanged
from ..objects.properties import properties_of, put_tags
from ..support import Support
from ..transport.sigv4 import encode_copy_source
from .copy_object import copy_timeout, explain_refused_upload, proven_outcome, source_headers

_WHOLE_CHECKSUMS = ("crc64nvme", "crc32c", "crc32")
"""Algorithms for which S3 computes the checksum of the whole from those of the parts ("Checking object integrity", S3
user guide)."""


async def copy_in_parts(context: CopyContext, job: CopyJob) -> CopyOutcome:
    """Copy one object in parts and prove the copy. Raises SourceChanged, S3Error and S3StopError.

    Unlike CopyObject, an upload carries nothing from the source by itself. Metadata and tags are read first, so that
    a right that is missing leaves no unfinished upload. If the source has a checksum of the whole content, S3 computes
    the same for the upload and refuses to complete other content.
    """
    check_size(job)
    source, target, options = context.source, context.target, context.options
    properties = await properties_of(source, job, options.capabilities, tags=options.tags)
    headers = {**properties.headers, **await context.headers.for_job(job)}
    complete_headers: dict[str, str] = {}
    algorithm = next((name for name in _WHOLE_CHECKSUMS if name in properties.checksums), None)
    if algorithm is None:
        parts = await layout(source, job, options.part_size)
    else:
        parts = even_parts(job.size, options.part_size)
        headers |= {"x-amz-checksum-algorithm": algorithm.upper(), "x-amz-checksum-type": "FULL_OBJECT"}
        complete_headers[f"x-amz-checksum-{algorithm}"] = properties.checksums[algorithm]
        complete_headers["x-amz-checksum-type"] = "FULL_OBJECT"
    able = options.capabilities
    watch = None if able.part_condition else await _SourceWatch.begin(source, job)
    send = _PartSender(source, target, job, able.part_condition, watch, whole=len(parts) == 1)
    upload = MultipartUpload(context, job, headers, parts, send, complete_headers)
    if watch is not None:
        upload.source_state = watch.state
        upload.before_complete = watch.check
    done = await upload.run()
    if done.status != 200:
        return await explain_refused_upload(source, target, job, done)
    if properties.tags:
        await put_tags(target, job.target_key, properties.tags)
    return await proven_outcome(source, target, job, done.etag, done.attempts, dict(done.checksums))


@dataclass(frozen=True, slots=True)
class _SourceWatch:
    """Proves that all parts are of one version of the source, for a service that does not.

    Each look finds the same object: its ETag, when it was last modified, and the id of its version. What is copied
    between the first look and the last is of that object, then. (A service that states times in whole seconds does not
    show that an object was replaced and put back within one.)

    state: what the first look found
    """

    source: Client
    job: CopyJob
    state: str

    @classmethod
    async def begin(cls, source: Client, job: CopyJob) -> _SourceWatch:
        """Look for the first time. Raises SourceChanged, S3Error and S3StopError, as `check` does."""
        return cls(source, job, await _state_of(source, job))

    async def check(self) -> None:
        """Look again."""
        if await _state_of(self.source, self.job) != self.state:
            raise SourceChanged("PreconditionFailed")


async def _state_of(source: Client, job: CopyJob) -> str:
    found = await head(source, job.source_key, job.etag)
    if found.status != 200:
        raise SourceChanged(read_error(found.status, found.body)[0])
    names = (b"etag", b"last-modified", b"x-amz-version-id")
    return repr([found.headers.get(name, b"") for name in names])


class _PartSender:
    """Copies the parts of one object; a `SendPart`.

    condition: whether the service honours the condition on the source's ETag
    watch: if not, the source is looked at before each part, too: then a change is found before much is copied
    whole: the only part is the whole object; S3 takes no range of an object of 5 MiB or less
    """

    def __init__(
        self,
        source: Client,
        target: Client,
        job: CopyJob,
        condition: Support,
        watch: _SourceWatch | None,
        *,
        whole: bool,
    ) -> None:
        self._target = target
        self._watch = watch
        self._key = job.target_key
        self._whole = whole
        self._headers = {
            "x-amz-copy-source": encode_copy_source(source.endpoint.bucket, job.source_key),
            **source_headers(source),
        }
        if condition.may_be_sent:
            self._headers["x-amz-copy-source-if-match"] = f'"{job.etag}"'

    async def __call__(self, upload_id: str, part: Part) -> SentPart:
        if self._watch is not None:
            await self._watch.check()
        headers = self._headers
        if not self._whole:
            headers = {**headers, "x-amz-copy-source-range": f"bytes={part.offset}-{part.offset + part.size - 1}"}
        reply = await self._target.request(
            "PUT",
            self._key,
            query=[("partNumber", str(part.number)), ("uploadId", upload_id)],
            headers=headers,
            read_timeout=copy_timeout(part.size),
        )
        return sent_part(part, reply, self._key)
