"""The settings of the verb grants, as typed values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ..codes import Code
from ..config.environment import NO_VARIABLES, Exported
from ..config.read_values import at_least
from ..config.settings import Database, Settings, Side, SideLabel
from ..errors import Finding, RefusedError
from .policy import Document, Needs

State = Literal["present", "absent"]
PrincipalKind = Literal["user", "role", "document", "none"]


@dataclass(frozen=True, slots=True)
class GrantSettings:
    """Who gets rights, and the administrators who grant them.

    principals: the kind of the S3 principals: IAM users, IAM roles, policy documents only, or none
    name: the start of the principals' names
    trust: the role's trust policy
    bucket_policy: whether the source bucket belongs to another account, and its policy must admit the principals
    account: ID of the principals' account; None: read from STS
    database: whether to create a database user
    host: the hosts that it may connect from (MariaDB and MySQL; PostgreSQL: for pg_hba.conf)
    tls: whether it must connect with TLS
    definitions: whether it may see all definitions of the database (MariaDB and MySQL)
    connections: how many connections it may have at once
    expire_days: the age at which its password expires; None: the server's default
    known_keys: IDs of the access keys whose secrets are known
    """

    state: State
    principals: PrincipalKind
    name: str
    trust: Document | None
    bucket_policy: bool
    account: str | None
    needs: Needs
    database: bool
    host: str
    tls: bool
    definitions: bool
    connections: int
    expire_days: int | None
    secrets_file: str | None
    hand_over: str | None
    rotate: bool
    known_keys: frozenset[str]
    admin_source: Side
    admin_target: Side
    admin_database: Database

    @property
    def kind(self) -> Literal["user", "role"]:
        """The kind of principal in IAM."""
        return "role" if self.principals == "role" else "user"

    def admin_of(self, label: Literal["source", "target"]) -> Side:
        """Return the administrator of the source's or the target's account."""
        return self.admin_source if label == "source" else self.admin_target

    def secrets(self, settings: Settings) -> Iterator[tuple[str, str]]:
        """Yield every secret among the settings, as (setting, secret)."""
        for side in (settings.source, settings.target, self.admin_source, self.admin_target):
            for part in ("secret_key", "session_token"):
                if secret := getattr(side, part):
                    yield f"{side.setting}.{part}", secret
        for setting, database in (
            ("rehome_database", settings.database),
            ("rehome_admin_database", self.admin_database),
        ):
            if database.password:
                yield f"{setting}.password", database.password


def read_grant_settings(
    given: Mapping[str, Any],
    settings: Settings,
    known_keys: Iterable[str] = (),
    variables: Mapping[str, str] = NO_VARIABLES,
) -> GrantSettings:
    """Read a module's option `grants`. Raises RefusedError with every finding.

    given: the option as Ansible passes it, types and choices already checked
    variables: the environment's, for what is unset
    """
    given = Exported(variables).add_to_grants(given)
    findings: list[Finding] = []
    keys = given.get("kms_keys") or {}
    tls = given.get("database_tls")
    made = GrantSettings(
        state=given["state"],
        principals=given["principals"],
        name=given["name"],
        trust=given.get("trust") or None,
        bucket_policy=bool(given.get("bucket_policy")),
        account=given.get("account") or None,
        needs=Needs(
            partition=_partition(settings.target),
            source_keys=tuple(keys.get("source") or ()),
            target_keys=tuple(keys.get("target") or ()),
            undelete=bool(given.get("undelete")),
        ),
        database=bool(given["database"]) and settings.database.engine != "sqlite",
        # as both servers keep it, and show it when its account is looked for
        host=(given.get("database_host") or "%").lower(),
        tls=settings.database.tls.enabled if tls is None else tls,
        definitions=bool(given.get("definitions", True)),
        connections=given["connections"],
        expire_days=given.get("expire_days"),
        secrets_file=given.get("secrets_file") or None,
        hand_over=given.get("hand_over") or None,
        rotate=bool(given.get("rotate")),
        known_keys=frozenset(known_keys),
        admin_source=_admin("admin_source", given.get("admin_source") or {}, settings.source),
        admin_target=_admin("admin_target", given.get("admin_target") or {}, settings.target),
        admin_database=_admin_database(given.get("admin_database") or {}, settings.database),
    )
    findings += _check_s3(made, settings)
    findings += _check_secrets(made)
    if made.database and not made.admin_database.user:
        findings.append(
            Finding(
                "rehome_admin_database.user",
                None,
                "is not set, and only an administrator of the database can make users",
                "Set it in a vault, or export DB_ADMIN_USER and DB_ADMIN_PASSWD; "
                "or set rehome_grants_database to false",
                Code.NOT_ADMINISTRATOR,
            )
        )
    if made.database:
        at_least(settings.connections_at_once, "rehome_grants_connections", made.connections, findings)
    if made.expire_days is not None:
        at_least(1, "rehome_grants_expire_days", made.expire_days, findings)
    if findings:
        raise RefusedError(findings)
    return made


def _check_s3(made: GrantSettings, settings: Settings) -> list[Finding]:
    findings = []
    if made.principals == "role" and made.state == "present" and not (made.trust or {}).get("Statement"):
        findings.append(
            Finding(
                "rehome_grants_trust",
                None,
                "is not set, and a role needs a policy that states who may assume it",
                'Set it to one, such as {Version: "2012-10-17", Statement: [{Effect: Allow, Principal: {AWS: '
                '"arn:aws:iam::123456789012:root"}, Action: "sts:AssumeRole"}]}',
                Code.UNSET,
            )
        )
    keys = [
        *(("rehome_grants_kms_keys.source", key) for key in made.needs.source_keys),
        *(("rehome_grants_kms_keys.target", key) for key in made.needs.target_keys),
    ]
    if settings.copy.kms_key_id:
        keys.append(("rehome_kms_key_id", settings.copy.kms_key_id))
    findings += [
        Finding(
            setting,
            key,
            "is not the ARN of a key, and policies identify keys only by ARN",
            "Write its ARN",
            Code.UNUSABLE_VALUE,
        )
        for setting, key in keys
        if made.principals != "none" and (not key.startswith("arn:") or ":key/" not in key)
    ]
    return findings


def _check_secrets(made: GrantSettings) -> list[Finding]:
    if made.state == "absent" or not (made.principals == "user" or made.database):
        return []
    if made.hand_over and not Path(made.hand_over).is_file():
        return [
            Finding(
                "rehome_grants_hand_over",
                made.hand_over,
                "is not a file",
                "Name the file with your own tasks, or unset it",
                Code.UNUSABLE_VALUE,
            )
        ]
    if made.hand_over or made.secrets_file is None:
        return []
    folder = Path(made.secrets_file).parent
    hidden = next((file for end in (".yml", ".yaml", ".json") if (file := Path(f"{folder}{end}")).exists()), None)
    if hidden:
        return [
            Finding(
                "rehome_grants_secrets_file",
                made.secrets_file,
                f"would hide {hidden}, as Ansible reads a folder of variables instead of the file of the same name",
                f"Move that file into {folder}/, or name another file",
                Code.SECRETS_FILE,
            )
        ]
    return []


def _partition(side: Side) -> str:
    region = "" if side.endpoint_url else side.region or ""
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


def _admin(label: SideLabel, given: Mapping[str, Any], side: Side) -> Side:
    """Return `side` as its administrator reaches it: at the same place, unless `given` names another."""
    return Side(
        label=label,
        bucket=side.bucket,
        prefix=side.prefix,
        endpoint_url=given.get("endpoint_url") or side.endpoint_url,
        region=given.get("region") or side.region,
        access_key=given.get("access_key") or None,
        secret_key=given.get("secret_key") or None,
        session_token=given.get("session_token") or None,
        profile=given.get("profile") or None,
        ca_bundle=side.ca_bundle,
        verify_tls=side.verify_tls,
        expected_bucket_owner=side.expected_bucket_owner,
    )


def _admin_database(given: Mapping[str, Any], database: Database) -> Database:
    """Return the same database as its administrator reaches it."""
    return replace(
        database,
        user=given.get("user") or None,
        password=given.get("password") or None,
        host=given.get("host") or database.host,
        port=given.get("port") or database.port,
        socket=given.get("socket") or database.socket,
    )
