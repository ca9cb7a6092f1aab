"""The card of a verb that has no summary, and so no report: `grants` and `redirect`. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ..config.settings import Settings, Side
from .attention import NOTHING
from .card import not_repeated
from .commands import command
from .facts import Origin
from .lines import labelled, packed, under

DRY: str = "a dry run: nothing was written"


def short_card(
    settings: Settings,
    verb: str,
    sentence: str | None,
    done: Sequence[str],
    human: Sequence[str],
    origin: Origin,
    following: tuple[str, ...],
) -> list[str]:
    """Return the card.

    sentence: what was completed; None: it was a dry run
    done: what was done, or would be
    human: what is left for somebody
    following: the verb to run next and its further options; empty: there is none
    """
    commands = [command(following[0], origin, *following[1:])] if following else []
    return [
        f"{settings.name}: {verb}, {_place(settings.source)} → {_place(settings.target)}",
        labelled("outcome", DRY if sentence is None else f"complete: {sentence}"),
        *under("done", packed(done, 2)),
        *under("human", packed(human or [NOTHING], 3)),
        *under("next:", commands),
        *(not_repeated(origin) if following else []),
    ]


def _place(side: Side) -> str:
    return f"s3://{side.bucket}/{side.prefix}"
