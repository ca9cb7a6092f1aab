"""Routing rules of a bucket's website, merged with what is there. Pure: configurations are those of S3's API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..config.redirect import SETTING
from ..config.settings import Settings
from ..errors import Finding, RefusedError
from .patterns import prefix_of

MOST_RULES = 50
"""Of a website ("Configuring a webpage redirect", S3 user guide)."""

Rule = dict[str, Any]
Website = dict[str, Any]


def routing_rules(settings: Settings) -> list[Rule]:
    """The rules that lead the old keys under the map to the new place.

    A rule knows no globs, only what keys begin with. With an error's status as its condition it leaves all keys alone
    that are there, whatever the globs; without, only globs of a text and a `*` can be said. Raises RefusedError.
    """
    wanted = settings.redirect
    prefixes = [prefix_of(glob) for glob in settings.include]
    if not wanted.error_codes and (settings.exclude or not all(prefix.exact for prefix in prefixes)):
        raise RefusedError(
            [
                Finding(
                    f"{SETTING}.error_codes",
                    "[]",
                    "would redirect keys that rehome_include and rehome_exclude leave out, as S3's rules know no globs",
                    "Name the errors to redirect for, such as [404], or set rehome_redirect.website to none",
                )
            ]
        )
    heads = {prefix.text for prefix in prefixes}
    # one that begins with another is led by it
    heads = {head for head in heads if not any(head != other and head.startswith(other) for other in heads)}
    conditions: list[dict[str, str]] = [{"HttpErrorCodeReturnedEquals": str(code)} for code in wanted.error_codes]
    return [
        {
            "Condition": {**condition, **_key_prefix(settings.source.prefix + head)},
            "Redirect": {
                "Protocol": wanted.scheme,
                "HostName": wanted.host,
                "HttpRedirectCode": str(wanted.code),
                "ReplaceKeyPrefixWith": wanted.path.removeprefix("/") + settings.target.prefix + head,
            },
        }
        for head in sorted(heads)
        for condition in conditions or [{}]
    ]


def _key_prefix(text: str) -> dict[str, str]:
    return {"KeyPrefixEquals": text} if text else {}


def merged(there: Website | None, ours: Sequence[Rule], before: Sequence[Rule], index: str) -> Website:
    """The website `there` with the rules `ours` and without the earlier ones of ours, `before`.

    index: the index document, where there is no website yet
    S3 takes the first rule that fits: ours come before rules for more keys, and after rules for fewer.
    Raises RefusedError where they would not work, or would take the place of somebody else's.
    """
    website: Website = {"IndexDocument": {"Suffix": index}} if there is None else dict(there)
    if "RedirectAllRequestsTo" in website:
        raise _refused("redirects all requests already (RedirectAllRequestsTo), so that no other rule applies")
    rules = _without(website.get("RoutingRules", []), [*before, *ours])
    for rule in ours:
        if any(other.get("Condition", {}) == rule["Condition"] for other in rules if other not in ours):
            raise _refused(f"has another rule for the same keys ({_text_of(rule)})")
        rules.insert(_place(rules, rule), rule)
    if len(rules) > MOST_RULES:
        raise _refused(f"would have {len(rules)} routing rules, and S3 takes {MOST_RULES}")
    return {**website, "RoutingRules": rules}


def without(there: Website | None, before: Sequence[Rule]) -> Website | None:
    """The website without our rules; None where there is none."""
    if there is None:
        return None
    rules = _without(there.get("RoutingRules", []), before)
    rest = {name: value for name, value in there.items() if name != "RoutingRules"}
    return {**rest, "RoutingRules": rules} if rules else rest


def _without(rules: Sequence[Rule], ours: Sequence[Rule]) -> list[Rule]:
    return [rule for rule in rules if rule not in ours]


def _place(rules: Sequence[Rule], rule: Rule) -> int:
    text = _prefix(rule)
    broader = (at for at, other in enumerate(rules) if _prefix(other) != text and text.startswith(_prefix(other)))
    return next(broader, len(rules))


def _prefix(rule: Mapping[str, Any]) -> str:
    return str(rule.get("Condition", {}).get("KeyPrefixEquals", ""))


def _text_of(rule: Mapping[str, Any]) -> str:
    return " and ".join(f"{name} {value}" for name, value in rule["Condition"].items())


def _refused(problem: str) -> RefusedError:
    way_out = f"Change that rule yourself, or set {SETTING}.website to none and use nginx.conf or cloudfront.js"
    return RefusedError([Finding("rehome_source.bucket", None, f"its website {problem}", way_out)])
