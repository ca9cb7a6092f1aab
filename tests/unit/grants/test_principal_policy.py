"""A principal's policy at services with and without managed policies, and what is said about what they refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from rehome.config.settings import Side
from rehome.errors import RefusedError
from rehome.grants.managed_policy import policy_name
from rehome.grants.policy import Document
from rehome.grants.principal_policy import KeptPolicies, delete_policies, read_policies, set_policy
from rehome.grants.service_errors import refuse_service_errors

NAME = "rehome-avatars-migrate"
Answer = tuple[int, str, str]
METHOD_NOT_ALLOWED: Answer = (405, "Unknown", "Unknown")
"""As Ceph 20.2 says that it has no such operation."""
DENIED: Answer = (403, "AccessDenied", "no")


def refusal(operation: str, answer: Answer) -> ClientError:
    status, code, message = answer
    error = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(error, operation)  # type: ignore[arg-type] # as botocore makes it


@dataclass
class Iam:
    """A service with one user. What it refuses is by operation; the actions that it does not know by name."""

    refuses: dict[str, Answer] = field(default_factory=dict)
    unknown: frozenset[str] = frozenset()
    managed: dict[str, str] = field(default_factory=dict)
    attached: set[str] = field(default_factory=set)
    inline: dict[str, Document] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def __getattr__(self, method: str) -> Callable[..., Any]:
        operation = "".join(word.capitalize() for word in method.split("_"))

        def request(**params: Any) -> Any:
            self.asked.append(operation)
            if operation in self.refuses:
                raise refusal(operation, self.refuses[operation])
            return getattr(self, f"do_{method}")(SimpleNamespace(**params)) or {}

        return request

    def do_list_policies(self, given: Any) -> Any:
        return {"Policies": [{"PolicyName": name, "Arn": f"arn:{name}"} for name in self.managed]}

    def do_create_policy(self, given: Any) -> Any:
        self.managed[given.PolicyName] = given.PolicyDocument
        return {"Policy": {"Arn": f"arn:{given.PolicyName}"}}

    def do_delete_policy(self, given: Any) -> None:
        del self.managed[given.PolicyArn.removeprefix("arn:")]

    def do_attach_user_policy(self, given: Any) -> None:
        self.attached.add(given.PolicyArn)

    def do_detach_user_policy(self, given: Any) -> None:
        self.attached.remove(given.PolicyArn)

    def do_list_attached_user_policies(self, given: Any) -> Any:
        return {"AttachedPolicies": [{"PolicyArn": arn} for arn in sorted(self.attached)]}

    def do_get_policy(self, given: Any) -> Any:
        return {"Policy": {"DefaultVersionId": "v1"}}

    def do_get_policy_version(self, given: Any) -> Any:
        return {"PolicyVersion": {"Document": self.managed[given.PolicyArn.removeprefix("arn:")]}}

    def do_list_user_policies(self, given: Any) -> Any:
        return {"PolicyNames": list(self.inline)}

    def do_get_user_policy(self, given: Any) -> Any:
        return {"PolicyDocument": self.inline[given.PolicyName]}

    def do_put_user_policy(self, given: Any) -> None:
        document = json.loads(given.PolicyDocument)
        for statement in document["Statement"]:
            for action in statement["Action"]:
                if action in self.unknown:
                    message = f"At character offset 94, `{action}` is not a valid action."
                    raise refusal("PutUserPolicy", (400, "MalformedPolicyDocument", message))
        self.inline[given.PolicyName] = document

    def do_delete_user_policy(self, given: Any) -> None:
        del self.inline[given.PolicyName]


def document_of(*actions: str, sid: str = "RehomeReadSource") -> Document:
    statement = {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": ["arn:aws:s3:::b/*"]}
    return {"Version": "2012-10-17", "Statement": [statement]}


OLD, NEW = document_of("s3:GetObject"), document_of("s3:GetObject", "s3:GetObjectTagging")

WITHOUT_MANAGED = {
    "Ceph": {"ListPolicies": METHOD_NOT_ALLOWED, "CreatePolicy": METHOD_NOT_ALLOWED},
    "no list": {"ListPolicies": (501, "NotImplemented", "")},
    "lists, and creates none": {"CreatePolicy": (400, "MethodNotAllowed", "")},
}


def test_a_service_with_managed_policies_gets_no_inline_one() -> None:
    iam = Iam()
    for document in (OLD, NEW):
        assert set_policy(iam, "user", NAME, document) == []
        kept = read_policies(iam, "user", NAME)
        assert kept == KeptPolicies("managed", (policy_name(NAME, document),), document)
    delete_policies(iam, "user", NAME)
    assert (iam.managed, iam.attached, iam.inline) == ({}, set(), {})


@pytest.mark.parametrize("refuses", WITHOUT_MANAGED.values(), ids=WITHOUT_MANAGED)
def test_a_service_without_managed_policies_gets_an_inline_one_that_replaces_the_last_and_goes_again(
    refuses: dict[str, Answer],
) -> None:
    iam = Iam(dict(refuses), inline={"of somebody else": OLD})
    for document in (OLD, NEW):
        assert set_policy(iam, "user", NAME, document) == []
        kept = read_policies(iam, "user", NAME)
        assert kept == KeptPolicies("inline", (policy_name(NAME, document),), document)
    assert not iam.managed
    delete_policies(iam, "user", NAME)
    assert iam.inline == {"of somebody else": OLD}
    assert read_policies(iam, "user", NAME).names == ()


def test_that_there_are_no_managed_policies_is_found_by_reading_alone() -> None:
    iam = Iam(WITHOUT_MANAGED["Ceph"])
    assert read_policies(iam, "user", NAME).how == "inline"
    assert all(operation.startswith(("List", "Get")) for operation in iam.asked)


def test_a_denied_right_is_not_taken_for_a_service_without_managed_policies() -> None:
    for act in (
        lambda iam: read_policies(iam, "user", NAME),
        lambda iam: set_policy(iam, "user", NAME, NEW),
        lambda iam: delete_policies(iam, "user", NAME),
    ):
        iam = Iam({"ListPolicies": DENIED})
        with pytest.raises(ClientError, match="AccessDenied"):
            act(iam)
        assert iam.inline == {}


def test_an_administrator_who_may_not_see_inline_policies_needs_no_right_to() -> None:
    iam = Iam({"ListUserPolicies": DENIED})
    assert read_policies(iam, "user", NAME) == KeptPolicies("managed")
    set_policy(iam, "user", NAME, NEW)
    delete_policies(iam, "user", NAME)
    assert iam.managed == {}


def test_an_action_that_the_service_does_not_know_is_left_out_if_only_the_view_of_a_bucket_depends_on_it() -> None:
    unknown = frozenset({"s3:GetEncryptionConfiguration", "s3:GetBucketOwnershipControls"})
    iam = Iam(WITHOUT_MANAGED["Ceph"], unknown)
    document = document_of(
        "s3:GetBucketVersioning",
        "s3:GetEncryptionConfiguration",
        "s3:GetBucketOwnershipControls",
        sid="RehomeSeeTarget",
    )
    assert set_policy(iam, "user", NAME, document) == ["s3:GetBucketOwnershipControls"]
    (stored,) = iam.inline.values()
    # which is Ceph's name for the one
    assert stored["Statement"][0]["Action"] == ["s3:GetBucketVersioning", "s3:GetBucketEncryption"]
    assert read_policies(iam, "user", NAME).names == (policy_name(NAME, document),), "the next run changes nothing"


def test_an_action_that_a_migration_needs_is_never_left_out() -> None:
    iam = Iam(WITHOUT_MANAGED["Ceph"], frozenset({"s3:GetObjectTagging"}))
    with pytest.raises(ClientError, match="MalformedPolicyDocument"):
        set_policy(iam, "user", NAME, NEW)


ADMIN = Side("target", "bucket", "", endpoint_url="http://ceph.example")


@pytest.mark.parametrize(
    ("error", "way_out", "words"),
    [
        (refusal("GetUser", DENIED), "the credentials", "GetUser was refused (403 AccessDenied: no)"),
        (refusal("GetUser", (403, "InvalidAccessKeyId", "")), "the credentials", "(403 InvalidAccessKeyId)"),
        (refusal("GetUser", (400, "ExpiredToken", "")), "the credentials", "(400 ExpiredToken)"),
        (NoCredentialsError(), "the credentials", "Unable to locate credentials"),
        (refusal("GetUser", METHOD_NOT_ALLOWED), "principals to document", "has no GetUser, which is no missing right"),
        (refusal("PutUserPolicy", (400, "LimitExceeded", "too long")), "Correct what", "too long"),
        (refusal("DeleteUser", (409, "DeleteConflict", "")), "that Rehome did not make", "(409 DeleteConflict)"),
        (EndpointConnectionError(endpoint_url="x"), "Correct the endpoint", "cannot be reached"),
    ],
)
def test_only_where_the_credentials_are_the_trouble_others_are_asked_for(
    error: Exception, way_out: str, words: str
) -> None:
    with pytest.raises(RefusedError) as refused, refuse_service_errors(ADMIN, "Change the credentials"):
        raise error
    (finding,) = refused.value.findings
    assert finding.setting == ADMIN.setting
    assert way_out in finding.way_out
    assert words in finding.problem
