"""The card that the verb `redirect` ends with."""

from __future__ import annotations

from typing import Final

from ..config.settings import Settings
from ..report.facts import Origin
from ..report.lines import many
from ..report.short_card import short_card

FILES: Final = "nginx.conf and cloudfront.js"


def redirect_card(
    settings: Settings, origin: Origin, *, dry_run: bool, location: str | None, rules: int, directory: str
) -> list[str]:
    """Return the card.

    location: what the old URLs are redirected to; None: the redirects are removed
    rules: how many routing rules the website of the source's bucket has
    directory: of the files for nginx and CloudFront
    """
    bucket, website = settings.source.bucket, settings.redirect.website
    of_website = f"the website of {bucket} {'would have' if dry_run else 'has'} {many(rules, 'routing rule')}"
    done = [f"the website of {bucket} is left alone (rehome_redirect.website)" if website == "none" else of_website]
    would = "would be " if dry_run else ""
    if location is None:
        sentence = "the website redirects no old URL any more"
        done.append(f"{FILES} {would}removed from {directory}")
        return short_card(settings, "redirect", None if dry_run else sentence, done, [], origin, _next(dry_run, ()))
    done.append(f"{FILES} {would}written into {directory}")
    human = [f"serve one of {FILES} where old URLs do not come to the bucket's website"]
    sentence = f"old URLs are redirected to {location} ({settings.redirect.code})"
    following = _next(dry_run, ("retire", "--check"))
    return short_card(settings, "redirect", None if dry_run else sentence, done, human, origin, following)


def _next(dry_run: bool, after: tuple[str, ...]) -> tuple[str, ...]:
    return ("redirect",) if dry_run else after
