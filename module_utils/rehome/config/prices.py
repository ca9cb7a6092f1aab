"""The operator's price table, by which the report of a plan estimates money."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from ..codes import Code
from ..errors import Finding

PRICES: Final = ("list", "copy", "put", "get", "head", "transfer_gb", "storage_gb_month")
"""The names of the prices: of 1,000 requests of a kind, or of 1,024³ bytes."""

SETTING = "rehome_prices"


@dataclass(frozen=True, slots=True)
class Prices:
    """What the operator's services take.

    as_of: the day on which the prices were looked up
    of: price by its name in `PRICES`, of those that are known
    """

    as_of: date
    currency: str
    of: Mapping[str, float]


def read_prices(given: Mapping[str, Any], findings: list[Finding]) -> Prices | None:
    """Return the price table in the option `prices`, or None if it has no price. Adds what is wrong to `findings`."""
    known = {name: given[name] for name in PRICES if given.get(name) is not None}
    for name, price in known.items():
        if not 0 <= price < math.inf:
            way_out = "Choose 0 or a positive number, or leave it unset"
            findings.append(Finding(f"{SETTING}.{name}", str(price), "is not a price", way_out, Code.UNUSABLE_VALUE))
    text = str(given.get("as_of") or "")
    if not known and not text:
        return None
    return Prices(_read_date(text, findings), _read_currency(given.get("currency") or "USD", findings), known)


def _read_date(text: str, findings: list[Finding]) -> date:
    way_out = "Write the day on which you looked the prices up as 2026-11-01"
    if not text:
        findings.append(Finding(f"{SETTING}.as_of", None, "is not set, and prices change", way_out, Code.UNSET))
        return date.min
    try:
        return date.fromisoformat(text)
    except ValueError:
        findings.append(Finding(f"{SETTING}.as_of", text, "is not a day", way_out, Code.UNUSABLE_VALUE))
        return date.min


def _read_currency(text: str, findings: list[Finding]) -> str:
    if not (text.isprintable() and 0 < len(text.strip()) <= 8):
        way_out = "Write it as it is to be shown, such as USD"
        findings.append(
            Finding(f"{SETTING}.currency", text, "is not the name of a currency", way_out, Code.UNUSABLE_VALUE)
        )
    return text.strip()
