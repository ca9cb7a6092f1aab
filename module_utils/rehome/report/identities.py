"""How the figures of a summary add up. `docs/summary.md` shows these equations; tests hold them over random runs."""

from __future__ import annotations

from typing import NamedTuple

from .fields import SummaryFields, counts_in

LEFT = "left."
"""What the names of counts in `left` begin with, in an equation."""


class Identity(NamedTuple):
    """An equation between figures of one summary; it holds at any moment of a run at which the summary is written.

    whole: the figure that is the sum
    parts: the figures that add up to it; one with a `-` before it is taken away
    says: what the equation means
    needs: the field that a summary must have for it to apply
    """

    whole: str
    parts: tuple[str, ...]
    says: str
    needs: str = "objects_seen"

    def __str__(self) -> str:
        text = " ".join(part if part.startswith("-") else f"+ {part}" for part in self.parts)
        return f"{self.whole} = {text.removeprefix('+ ').replace('-', '- ')}"


IDENTITIES = (
    Identity(
        "objects_seen",
        (
            "objects_copied",
            "-objects_copied_unseen",
            "objects_present",
            "objects_conflict",
            "-objects_to_overwrite",
            "objects_archived",
            "objects_unroutable",
            "objects_deferred",
            "objects_changed",
            "objects_found_archived",
            "objects_failed",
            "objects_not_reached",
        ),
        "each object under the map is in one class",
        needs="migration",
    ),
    Identity(
        "objects_to_copy",
        (
            "objects_copied",
            "objects_found_present",
            "objects_changed",
            "objects_found_archived",
            "objects_failed",
            "objects_not_reached",
        ),
        "each object to copy has one outcome; one that is copied twice counts twice on both sides",
        needs="migration",
    ),
    Identity(
        "rows_seen",
        (
            "rows_rewritten",
            "rows_found_done",
            "-rows_rewritten_unseen",
            "rows_done",
            "rows_dangling",
            "-rows_dangling_to_rewrite",
            "rows_blocked",
            "rows_overflowing",
            "rows_deferred",
            "rows_changed_by_app",
            "-rows_changed_earlier",
            "rows_refused",
            "rows_waiting",
            "rows_not_reached",
        ),
        "each row under the map is in one class",
        needs="migration",
    ),
    Identity(
        "rows_to_rewrite",
        (
            "rows_rewritten",
            "rows_found_done",
            "rows_changed_by_app",
            "rows_refused",
            "rows_waiting",
            "rows_not_reached",
            "-rows_appeared",
        ),
        "each row to rewrite has one outcome",
        needs="migration",
    ),
    Identity(
        "objects_compared",
        (
            "objects_verified",
            "left.objects_conflict",
            "left.objects_archived",
            "left.objects_unroutable",
            "left.objects_to_copy",
            "left.objects_outdated",
        ),
        "the verification finds each object in the target, or says that it is left",
        needs="objects_compared",
    ),
    Identity(
        "rows_compared",
        ("rows_verified", "rows_remaining", "left.rows_without_object"),
        "the verification finds that each row holds the new value, holds the old one, or names nothing",
        needs="rows_compared",
    ),
    Identity(
        "rows_rewritten_ever",
        (
            "rows_to_restore",
            "rows_restored",
            "rows_restored_before",
            "rows_changed_since",
            "rows_gone",
            "rows_kept",
            "rows_refused",
            "rows_not_reached",
        ),
        "each row that a migration has rewritten is rolled back, or there is a reason why not",
        needs="rollback",
    ),
    Identity(
        "objects_seen",
        (
            "objects_to_retire",
            "objects_kept_unverified",
            "objects_kept_by_policy",
            "objects_kept_referenced",
            "objects_kept_too_young",
            "objects_kept_locked",
        ),
        "a retirement deletes each object of the source, or there is a reason why not",
        needs="objects_to_retire",
    ),
    Identity(
        "objects_to_retire",
        ("objects_retired", "objects_kept_changed", "objects_kept_refused", "objects_not_reached"),
        "each object to retire has one outcome",
        needs="objects_to_retire",
    ),
    Identity(
        "copies_seen",
        (
            "copies_to_remove",
            "copies_kept_not_ours",
            "copies_kept_uncertain",
            "copies_kept_unverified",
            "copies_kept_referenced",
            "copies_kept_locked",
        ),
        "a removal deletes each copy, or there is a reason why not",
        needs="copies_to_remove",
    ),
    Identity(
        "copies_to_remove",
        ("copies_removed", "copies_kept_changed", "copies_kept_refused", "copies_not_reached"),
        "each copy to remove has one outcome",
        needs="copies_to_remove",
    ),
)

_PARTS_OF = (
    ("objects_copied_unseen", "objects_copied"),
    ("objects_to_overwrite", "objects_conflict"),
    ("bytes_copied", "bytes_to_copy"),
    ("rows_dangling_to_rewrite", "rows_dangling"),
    ("rows_changed_earlier", "rows_changed_by_app"),
    ("rows_in_other_forms", "rows_foreign"),
    ("rows_journalled", "rows_rewritten_ever"),
    ("objects_verified", "objects_compared"),
    ("objects_differing", "objects_sampled"),
    ("ranges_differing", "ranges_checked"),
    ("bytes_retired", "bytes_to_retire"),
    ("bytes_removed", "bytes_to_remove"),
)
"""Pairs of which the first counts some of what the second counts."""


def broken(fields: SummaryFields) -> list[str]:
    """Return each equation that does not hold in a summary, with its figures. Empty: everything adds up."""
    counts = {**counts_in(fields), **{f"{LEFT}{name}": count for name, count in fields["left"].items()}}
    wrong = []
    for identity in IDENTITIES:
        if not _applies(identity, fields):
            continue
        value = sum(_signed(part, counts) for part in identity.parts)
        if value != counts[identity.whole]:
            figures = ", ".join(f"{part}: {counts.get(part.lstrip('-'), 0)}" for part in identity.parts)
            wrong.append(f"{identity.whole} is {counts[identity.whole]}, and its parts add up to {value} ({figures})")
    wrong += [
        f"{part} is {counts[part]}, more than {whole}, which is {counts[whole]}"
        for part, whole in _PARTS_OF
        if counts.get(part, 0) > counts.get(whole, 0)
    ]
    wrong += [f"{name} is {count}" for name, count in counts.items() if isinstance(count, int | float) and count < 0]
    if sum(fields["failures"].values()) != counts["objects_failed"]:
        wrong.append(f"objects_failed is {counts['objects_failed']}, and failures are {fields['failures']}")
    return wrong


def _applies(identity: Identity, fields: SummaryFields) -> bool:
    if identity.needs in ("migration", "rollback"):
        return fields["kind"] == identity.needs and "objects_to_retire" not in fields
    return identity.needs in fields


def _signed(part: str, counts: dict[str, int]) -> int:
    return -counts.get(part[1:], 0) if part.startswith("-") else counts.get(part, 0)
