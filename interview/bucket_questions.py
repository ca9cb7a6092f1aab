"""Ask for the source or the target: service, credentials, bucket, prefix. Each answer is tried at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from rehome.codes import Code
from rehome.config.environment_names import ENVIRONMENT_NAMES
from rehome.config.read_buckets import overlap_in_one_bucket, read_side
from rehome.config.settings import Side, SideLabel
from rehome.errors import Finding, RefusedError
from rehome.s3.probe.reachable import check_bucket

from . import bucket_listing
from .answers import Answers, Choice
from .bucket_listing import Measured
from .draft import Draft, Exported, Options, Secret, plain

_OTHER: Final = "\0other"
_WHOLE: Final = "\0whole"
_HERE: Final = "\0here"

_CREDENTIALS = ("access_key", "secret_key", "session_token")
_KEYS = (*_CREDENTIALS, "profile")


class BucketQuestions:
    """The questions about one side.

    label: source or target
    environ: the environment's variables, some of which are proposals
    before: the side in the file as it is, for proposals
    kept: the secrets of the vault's file, by their variables
    """

    def __init__(
        self,
        answers: Answers,
        draft: Draft,
        label: SideLabel,
        environ: Mapping[str, str],
        before: Mapping[str, Any],
        kept: Mapping[str, str],
    ) -> None:
        self._answers = answers
        self._draft = draft
        self._label = label
        self._environ = environ
        self._before = before
        self._kept = kept
        self._may_list = True
        self.measured: Measured | None = None

    def ask(self) -> None:
        """Ask for the whole side, and put it into the draft."""
        purpose = "The source: where the objects are now" if self._label == "source" else "The target: where they go"
        self._answers.head(purpose)
        self._endpoint()
        self._region()
        self._credentials()
        self._bucket()
        self.ask_prefix()

    def ask_again(self, setting: str) -> None:
        """Ask for what a finding is about, and for what depends on it."""
        part = setting.partition(".")[2]
        if part == "prefix":
            self.ask_prefix()
            return
        self._again(part)
        self._bucket()
        self.ask_prefix()

    @property
    def side(self) -> Side:
        """The side as far as it is answered."""
        return read_side(self._label, {**plain(self._options), "whole_bucket": True}, [])

    @property
    def _options(self) -> Options:
        return self._draft.side(self._label)

    def _set(self, name: str, value: object) -> None:
        """Set an option; the order in which they are asked for is the order in the file."""
        self._options.pop(name, None)
        if value not in (None, ""):
            self._options[name] = value

    def _again(self, part: str) -> None:
        """Ask once more for an option."""
        questions: Mapping[str, Callable[[], None]] = {
            "endpoint_url": self._endpoint,
            "region": self._region,
            "ca_bundle": self._ca_bundle,
            "bucket": self._bucket_name,
            **dict.fromkeys(_KEYS, self._credentials),
        }
        questions.get(part, self._endpoint)()

    def _until(self, works: Callable[[], list[Finding]]) -> None:
        """Explain what does not work, and ask for it again, until it works."""
        while findings := works():
            self._answers.explain(findings)
            self._again(findings[0].setting.partition(".")[2])

    def _proposal(self, part: str) -> str | None:
        """Return what the environment or the file as it is says."""
        names = ENVIRONMENT_NAMES.get(f"rehome_{self._label}.{part}", ())
        exported = next((self._environ[name] for name in names if self._environ.get(name)), None)
        before = self._before.get(part)
        return exported or (str(before) if isinstance(before, str) and "{{" not in before else None)

    # The service

    def _endpoint(self) -> None:
        other = self._draft.source.get("endpoint_url", "") if self._label == "target" else ""
        default = self._options.get("endpoint_url") or self._proposal("endpoint_url") or other or ""
        question = "Service's URL (empty: Amazon S3)"
        self._set("endpoint_url", self._answers.text(f"{self._label}_endpoint", question, default, required=False))

    def _region(self) -> None:
        other = self._draft.source.get("region") if self._label == "target" else None
        default = self._options.get("region") or self._proposal("region") or other or bucket_listing.configured_region()
        region = self._answers.text(f"{self._label}_region", "Region", default or "us-east-1")
        self._set("region", region)

    def _ca_bundle(self) -> None:
        if not self._answers.asks:
            return
        question = "File of the certificate authority that the service's certificate is of"
        self._set("ca_bundle", self._answers.text(f"{self._label}_ca_bundle", question))

    # The credentials

    def _credentials(self) -> None:
        profile = self._answers.take(f"{self._label}_profile")
        again = any(name in self._options for name in _KEYS)
        found = self._found_credentials()
        for name in _KEYS:
            self._options.pop(name, None)
        if profile is not None:
            self._set("profile", profile)
            return
        choices = [Choice(value, title) for value, title in found.items()]
        if self._answers.asks:
            choices.append(Choice("typed", "an access key that I type"))
        default = "typed" if again and self._answers.asks else next(iter(found), "chain")
        question = "Credentials"
        chosen = self._answers.choose(f"{self._label}_credentials", question, choices, default) if choices else "chain"
        self._use_credentials(chosen)

    def _found_credentials(self) -> dict[str, str]:
        """Return where credentials are found, each with its words, the first to be proposed first."""
        found = {}
        exported = self._exported_pair()
        if exported:
            found["exported"] = f"{exported['access_key'].variable} of the environment"
        if self._kept_pair():
            found["kept"] = "the access key of the file as it is"
        if self._label == "target":
            found["same"] = "the same as the source's"
        words = bucket_listing.credentials_found()
        if words:
            found["chain"] = f"{words}, which AWS's own chain finds"
        found |= {f"profile {name}": f"profile {name} of AWS's files" for name in bucket_listing.profiles()}
        return found

    def _use_credentials(self, chosen: str) -> None:
        setting = f"rehome_{self._label}"
        if chosen == "exported":
            self._options.update(self._exported_pair())
        elif chosen == "kept":
            self._options.update(self._kept_pair())
        elif chosen == "same":
            for name in _KEYS:
                value = self._draft.source.get(name)
                moved = replace(value, setting=f"{setting}.{name}") if isinstance(value, Secret | Exported) else value
                self._set(name, moved)
        elif chosen.startswith("profile "):
            self._set("profile", chosen.removeprefix("profile "))
        elif chosen == "typed":
            self._set("access_key", self._answers.text(f"{self._label}_access_key", "Access key"))
            for name, question in (
                ("secret_key", "Secret key"),
                ("session_token", "Session token (empty: none)"),
            ):
                value = self._answers.secret(question)
                self._set(name, Secret(f"{setting}.{name}", value) if value else None)

    def _exported_pair(self) -> dict[str, Exported]:
        """Return the credentials of this side that are exported; nothing unless key and secret are."""
        pair = {}
        for name in _CREDENTIALS:
            setting = f"rehome_{self._label}.{name}"
            for variable in ENVIRONMENT_NAMES[setting]:
                if self._environ.get(variable):
                    pair[name] = Exported(setting, variable, self._environ[variable])
                    break
        return pair if {"access_key", "secret_key"} <= pair.keys() else {}

    def _kept_pair(self) -> dict[str, object]:
        """Return the credentials of the file as it is, with its secrets from the vault's file."""
        setting = f"rehome_{self._label}"
        pair: dict[str, object] = {"access_key": self._before.get("access_key")}
        for name in _CREDENTIALS[1:]:
            secret = Secret(f"{setting}.{name}", "")
            if value := self._kept.get(secret.vault_variable):
                pair[name] = replace(secret, value=value)
        return pair if isinstance(pair["access_key"], str) and "secret_key" in pair else {}

    # The bucket

    def _bucket(self) -> None:
        names: list[str] | None = None

        def answers() -> list[Finding]:
            nonlocal names
            try:
                names = bucket_listing.buckets_of(self.side)
            except RefusedError as refusal:
                return list(refusal.findings)
            return []

        self._until(answers)
        self._bucket_name(names)
        self._until(self._check_bucket)

    def _bucket_name(self, names: list[str] | None = None) -> None:
        name = f"{self._label}_bucket"
        default = self._options.get("bucket") or self._proposal("bucket")
        if names and self._answers.asks and not self._answers.has(name):
            choices = [*(Choice(one, one) for one in names), Choice(_OTHER, "another, which I type")]
            chosen = self._answers.choose(name, "Bucket", choices, default if default in names else None)
            if chosen != _OTHER:
                self._set("bucket", chosen)
                return
        elif names is None and self._answers.asks and not self._answers.has(name) and "bucket" not in self._options:
            self._answers.say("These credentials may not list the buckets, which Rehome does not need either.")
        self._set("bucket", self._answers.text(name, "Bucket's name", default))

    def _check_bucket(self) -> list[Finding]:
        findings = check_bucket(replace(self.side, prefix=""))
        self._may_list = not findings
        if findings and findings[0].setting.endswith(".bucket") and bucket_listing.may_not_list(self.side):
            # a right for one prefix alone is enough, and is tried with the prefix
            note = (
                f"{self.side.bucket}: S3 denies listing it as a whole, if there is one of this name. The prefix tells."
            )
            self._answers.say(note)
            return []
        return findings

    # The prefix

    def ask_prefix(self) -> None:
        """Ask for the prefix, and measure what is there."""
        while True:
            prefix = self._prefix()
            self._options.pop("whole_bucket", None)
            self._options.pop("prefix", None)
            self._options.update({"prefix": prefix} if prefix else {"whole_bucket": True})
            problem = self._check_prefix(prefix)
            if problem is None:
                return
            self._answers.explain([problem])
            if problem.setting.endswith(".prefix") or problem.setting == "rehome_target":
                continue
            self._change(problem)

    def _change(self, problem: Finding) -> None:
        """Ask what to change about a prefix that cannot be listed."""
        choices = [
            Choice("prefix", "the prefix"),
            Choice("bucket", "the bucket"),
            Choice("access_key", "the credentials"),
        ]
        chosen = self._answers.choose("change", "What shall be another", choices, "prefix")
        if chosen != "prefix":
            self._again(chosen)
            self._until(self._check_bucket)

    def _prefix(self) -> str:
        name = f"{self._label}_prefix"
        if self._answers.take(f"{self._label}_whole_bucket"):
            return ""
        if self._answers.has(name) or not self._answers.asks:
            return self._answers.text(name, "Prefix", self._proposal("prefix"))
        chosen = self._choose_folder() if self._may_list and self._label == "source" else _OTHER
        return chosen if chosen != _OTHER else self._typed_prefix(name)

    def _choose_folder(self) -> str:
        """Return a folder of the bucket, "" for the whole, or `_OTHER`."""
        here = ""
        while True:
            try:
                folders = bucket_listing.folders_of(self.side, here)
                measured = bucket_listing.measure_all(self.side, folders.prefixes)
            except RefusedError as refusal:
                self._answers.explain(refusal.findings)
                return _OTHER
            if not folders.prefixes:
                return here if here else _OTHER
            choices = [Choice(one.prefix, f"{one.prefix}  ({one.words})") for one in measured]
            if here:
                choices.insert(0, Choice(_HERE, f"{here} with all that is in it"))
            if folders.more:
                self._answers.say(f"There are more folders than these {len(choices)}.")
            choices.append(Choice(_OTHER, "another prefix, which I type"))
            if not here:
                choices.append(Choice(_WHOLE, "the whole bucket"))
            most = _HERE if here else max(measured, key=lambda one: (one.more, one.objects)).prefix
            chosen = self._answers.choose(f"{self._label}_folder", "Prefix", choices, self._proposal("prefix") or most)
            if chosen in (_HERE, _WHOLE):
                return here
            if chosen == _OTHER:
                return _OTHER
            here = chosen

    def _typed_prefix(self, name: str) -> str:
        source = self._draft.source
        default = self._options.get("prefix") or self._proposal("prefix")
        if default is None and self._label == "target" and source.get("bucket") != self._options.get("bucket"):
            default = source.get("prefix")
        question = "Prefix (empty: the whole bucket)" if self._label == "source" else "New prefix (empty: none)"
        prefix = self._answers.text(name, question, default, required=False)
        if prefix and not prefix.endswith("/") and self._wants_slash(prefix):
            question = f"{prefix} would also be the beginning of {prefix}2/… . Is {prefix}/ meant, a folder?"
            prefix = f"{prefix}/" if self._answers.confirm(question, True) else prefix
        return prefix

    def _wants_slash(self, prefix: str) -> bool:
        if self._label == "target":
            return str(self._draft.source.get("prefix", "/")).endswith("/")
        try:
            return bucket_listing.measure(self.side, f"{prefix}/").objects > 0
        except RefusedError:
            return False

    def _check_prefix(self, prefix: str) -> Finding | None:
        """Return why this prefix will not do, and say what is under it."""
        setting = f"rehome_{self._label}.prefix"
        try:
            self.measured = bucket_listing.measure(self.side, prefix)
        except RefusedError as refusal:
            return refusal.findings[0]
        if self._label == "target":
            if problem := self._overlap():
                return problem
            if self.measured.objects:
                self._answers.say(f"There are {self.measured.words} already, which Rehome never overwrites unasked.")
        elif not self.measured.objects:
            return Finding(
                setting, prefix or None, "there is no object under it", self._other_prefixes(), Code.NOTHING_SELECTED
            )
        return None

    def _overlap(self) -> Finding | None:
        source = read_side("source", {**plain(self._draft.source), "whole_bucket": True}, [])
        target = self.side
        if (source.bucket, source.endpoint_url) != (target.bucket, target.endpoint_url):
            return None
        return next(iter(overlap_in_one_bucket(source, target)), None)

    def _other_prefixes(self) -> str:
        try:
            found = bucket_listing.folders_of(self.side, "").prefixes if self._may_list else ()
        except RefusedError:
            found = ()
        if found:
            return f"Name one under which there are objects; the bucket has {', '.join(found[:5])}"
        return "Name one under which there are objects"
