"""Routing rules of a bucket's website, merged with existing ones. No I/O: configurations are as in S3's API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..codes import Code
from ..config.redirect import SETTING
from ..config.settings import Settings
from ..errors import RefusedError
from .patterns import prefix_of

MOST_RULES = 50
"""The most routing rules of a website ("Configuring a webpage redirect", S3 user guide)."""

Rule = dict[str, Any]
Website = dict[str, Any]


def routing_rules(settings: Settings) -> list[Rule]:
    """Return the rules that redirect the source keys under the map.

    A rule selects keys by a prefix only. If it also requires the status of an error, it does not apply to keys that
    still exist, whatever the globs. If not, the globs must be a prefix and a `*`: otherwise raises RefusedError.
    """
    wanted = settings.redirect
    prefixes = [prefix_of(glob) for glob in settings.include]
    if not wanted.error_codes and (settings.exclude or not all(prefix.exact for prefix in prefixes)):
        problem = "would redirect keys that rehome_include and rehome_exclude leave out, as S3's rules have no globs"
        way_out = "Name the errors to redirect for, such as [404], or set rehome_redirect.website to none"
        raise RefusedError.of(f"{SETTING}.error_codes", "[]", problem, way_out, code=Code.REDIRECT_TOO_WIDE)
    heads = {prefix.text for prefix in prefixes}
    # the rule of a shorter prefix includes those of longer ones
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


def merged(website: Website | None, ours: Sequence[Rule], before: Sequence[Rule], index: str) -> Website:
    """Return the website's configuration with the rules `ours`, in place of our earlier ones, `before`.

    index: the index document of a new website
    S3 applies the first rule that matches: ours precede rules for more keys and follow rules for fewer.
    Raises RefusedError if our rules would not work, or if other rules are for the same keys.
    """
    website = {"IndexDocument": {"Suffix": index}} if website is None else website
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


def without(website: Website | None, ours: Sequence[Rule]) -> Website | None:
    """Return the website's configuration without our rules; None if there is no website."""
    if website is None:
        return None
    rules = _without(website.get("RoutingRules", []), ours)
    others = {name: value for name, value in website.items() if name != "RoutingRules"}
    return {**others, "RoutingRules": rules} if rules else others


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
    return RefusedError.of("rehome_source.bucket", None, f"its website {problem}", way_out, code=Code.WEBSITE)
