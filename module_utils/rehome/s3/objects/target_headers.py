"""Storage class, encryption and access of target objects, which S3 does not copy from the source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..client.client import Client
from ..client.replies import document_of
from ..documents import fields_of, local_name
from ..errors import S3RequestError
from .job import CopyJob, CopyOptions, SourceChanged

_GROUPS = "http://acs.amazonaws.com/groups/global/"
_ALL_USERS = f'uri="{_GROUPS}AllUsers"'
_ALL_ACCOUNTS = f'uri="{_GROUPS}AuthenticatedUsers"'
_OWNER = "owner"
_TO_OWNER = ("FULL_CONTROL", _OWNER)

_CANNED: Mapping[frozenset[tuple[str, str]], str | None] = {
    frozenset({_TO_OWNER}): None,
    frozenset({_TO_OWNER, ("READ", _ALL_USERS)}): "public-read",
    frozenset({_TO_OWNER, ("READ", _ALL_USERS), ("WRITE", _ALL_USERS)}): "public-read-write",
    frozenset({_TO_OWNER, ("READ", _ALL_ACCOUNTS)}): "authenticated-read",
}
"""The canned ACL for a set of grants ("Canned ACL", S3 user guide); None: an object gets these without any."""

_GRANT_HEADERS = {
    "FULL_CONTROL": "x-amz-grant-full-control",
    "READ": "x-amz-grant-read",
    "READ_ACP": "x-amz-grant-read-acp",
    "WRITE_ACP": "x-amz-grant-write-acp",
}


class _Acl(NamedTuple):
    """An access control list.

    grants: pairs of a permission and a grantee; the grantee as in a header, or `owner`
    """

    owner: str
    grants: frozenset[tuple[str, str]]


class TargetHeaders:
    """Headers that set the class, encryption and access of target objects.

    constant: those that every target object of the run gets
    """

    def __init__(self, source: Client, target: Client, options: CopyOptions) -> None:
        self._source = source
        self._target = target
        self._keeps_class = options.storage_class == "keep"
        self._copies_acl = options.acl == "copy"
        self._target_owner: str | None = None
        self.constant: dict[str, str] = {}
        # What S3 stores in without a name; some services have this class alone, and reject every name.
        if options.storage_class not in ("keep", "STANDARD"):
            self.constant["x-amz-storage-class"] = options.storage_class
        if options.encryption == "SSE-S3":
            self.constant["x-amz-server-side-encryption"] = "AES256"
        if options.encryption == "SSE-KMS":
            self.constant["x-amz-server-side-encryption"] = "aws:kms"
            if options.kms_key_id:
                self.constant["x-amz-server-side-encryption-aws-kms-key-id"] = options.kms_key_id
        if options.acl == "bucket-owner-full-control":
            self.constant["x-amz-acl"] = options.acl

    def storage_class(self, job: CopyJob) -> str | None:
        """Return the source's class if the request has to name it: S3 stores a copy as STANDARD otherwise."""
        return job.storage_class if self._keeps_class and job.storage_class not in ("STANDARD", "") else None

    async def for_job(self, job: CopyJob) -> dict[str, str]:
        """Return all headers for one job. Raises SourceChanged, S3Error and S3StopError."""
        headers = dict(self.constant)
        if (storage_class := self.storage_class(job)) is not None:
            headers["x-amz-storage-class"] = storage_class
        if self._copies_acl:
            headers |= await self.acl_headers(job)
        return headers

    async def acl_headers(self, job: CopyJob) -> dict[str, str]:
        """Return the source's grants (GetObjectAcl) as headers, so that the target never exists without them.

        A canned ACL that says the same is sent instead, as it names no account. The source owner's own grant goes to
        the owner of the target bucket, who could not read the object otherwise.
        Raises SourceChanged, S3Error and S3StopError.
        """
        acl = await self._acl(self._source, job.source_key)
        if acl is None:
            raise SourceChanged("NoSuchKey")
        if acl.grants in _CANNED:
            canned = _CANNED[acl.grants]
            return {} if canned is None else {"x-amz-acl": canned}
        owner = await self._owner_of_target()
        grantees: dict[str, list[str]] = {}
        for permission, grantee in sorted(acl.grants):
            # WRITE on an object grants nothing ("Access control list (ACL) overview", S3 user guide).
            if permission in _GRANT_HEADERS:
                grantees.setdefault(_GRANT_HEADERS[permission], []).append(
                    f'id="{owner}"' if grantee == _OWNER else grantee
                )
        return {header: ", ".join(names) for header, names in grantees.items()}

    async def _owner_of_target(self) -> str:
        if self._target_owner is None:
            acl = await self._acl(self._target, None)
            self._target_owner = "" if acl is None else acl.owner
        return self._target_owner

    async def _acl(self, client: Client, key: str | None) -> _Acl | None:
        """Return GetObjectAcl, or GetBucketAcl if `key` is None; None if the object does not exist."""
        reply = await client.request("GET", key, query=[("acl", "")])
        if reply.status == 404:
            return None
        owner = ""
        grants = set()
        for element in document_of(reply, "AccessControlPolicy", key).iter():
            if local_name(element) == "Owner":
                owner = fields_of(element).get("ID", "")
            if local_name(element) == "Grant":
                grantee = next((child for child in element if local_name(child) == "Grantee"), None)
                named = fields_of(grantee)
                permission = fields_of(element).get("Permission", "")
                if "URI" in named:
                    grants.add((permission, f'uri="{named["URI"]}"'))
                elif "ID" in named:
                    grants.add((permission, _OWNER if named["ID"] == owner else f'id="{named["ID"]}"'))
                else:
                    raise S3RequestError(
                        200, "InvalidReply", "a grant names neither a group nor an account", key, verb="GET"
                    )
        return _Acl(owner, frozenset(grants))
