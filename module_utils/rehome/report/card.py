"""The card that every verb ends with: at most ten lines that say what happened, what is left, and what to type next.

The verbs that plan end with the whole plan instead: see `plan_text`.
"""

from __future__ import annotations

from typing import Final

from .attention import lists, needs, otherwise
from .done import done, wrote
from .facts import Origin, Report
from .fields import SummaryFields
from .lines import elapsed, labelled, many, packed, under
from .summary import UNFINISHED

MOST_LINES: Final = 10


def card(report: Report, fields: SummaryFields) -> list[str]:
    """Return the card of a run, also of one that has failed."""
    wanted = needs(report, fields)
    said = done(report, fields)
    top = [
        heading(report),
        outcome_line(report, fields, said.sentence, len(wanted)),
        *under("done", packed(said.figures, 1)),
        *under("checked", packed(said.checked, 1)),
        *under("also", packed(said.also, 1)),
        *lists_line(report),
    ]
    bottom = [report_line(report)]
    steps, again = report["next"], again_line(report)
    room = MOST_LINES - len(top) - len(bottom) - len(again) - bool(steps)
    for_human = packed(wanted or [otherwise(report)], max(1, room))
    return [
        *top,
        *under("human", for_human),
        *bottom,
        *next_lines(report, room - len(for_human) + 1),
        *again,
    ]


def heading(report: Report) -> str:
    """Return which migration it is, and what was done to it."""
    moves = report["moves"]
    source, target = (f"s3://{side['bucket']}/{side['prefix']}" for side in (moves["source"], moves["target"]))
    only, limit = moves["only_keys"], moves["limit"]
    part = f" of {many(only, 'key')} (rehome_only_keys)" if only is not None else ""
    part += f" of at most {many(limit, 'object')} (rehome_limit)" if limit is not None else ""
    return f"{report['name']}: {report['verb'].removesuffix('-check')}{part}, {source} → {target}"


def outcome_line(report: Report, fields: SummaryFields, sentence: str, needed: int) -> str:
    """Return the outcome as summary.json has it, with what it stands for, and how long the run took.

    sentence: what `complete` stands for
    needed: how many things need a human
    """
    took = elapsed(report["started_at"], report["ended_at"])
    return labelled("outcome", f"{_outcome(report, fields, sentence, needed)} ({took})")


def _outcome(report: Report, fields: SummaryFields, sentence: str, needed: int) -> str:
    kept = fields["outcome"]
    if report.get("error"):
        how = "interrupted" if str(report["error"]).startswith("interrupted") else "failed"
        return f"NOT COMPLETE: {how}{'' if wrote(fields) else ', nothing was written'}"
    if report["verb"].removesuffix("-check") == "preflight":
        stops = len(report.get("refusals", []))
        return f"NOT COMPLETE: a migration may not begin, {many(stops, 'stop')}" if stops else sentence
    if kept == "complete":
        return f"complete: {sentence}"
    if kept != "NOT COMPLETE" or not needed:
        return kept
    # a run that could not even record its end may have written
    nothing = "" if wrote(fields) or UNFINISHED in report["problems"] else "; nothing was written"
    return f"{kept}: {many(needed, 'thing needs', 'things need')} a human{nothing}"


def lists_line(report: Report) -> list[str]:
    """Return what is listed in full, and where."""
    found = lists(report)
    return [labelled("lists", f"{', '.join(found)} in {report['places']['lists']}")] if found else []


def report_line(report: Report) -> str:
    """Return where the report is; its page for a browser lies beside it."""
    page = f" ({report['places']['page'].rpartition('/')[2]} beside it)" if "page" in report["places"] else ""
    return labelled("report", report["places"]["report"] + page)


def next_lines(report: Report, most: int) -> list[str]:
    """Return what to run next in at most `most` lines: the first command always, others with what they are for."""
    found = _in_awx(report)
    for step in report["next"] if not found else []:
        commands = [step["command"]] if step["command"] else []
        whole = [f"{step['why']}{':' if commands else '.'}", *commands]
        if len(found) + len(whole) <= most:
            found += whole
        elif not found:
            found += commands or whole
    return under("next:", found)


def _in_awx(report: Report) -> list[str]:
    """Return what to launch in AWX, whose jobs have no command line; nothing outside of it."""
    if not report["who"]["job"] or not report["next"]:
        return []
    playbook = report["next"][0]["command"].split(" ", 2)[1:2]
    if f"approved_plan={report['plan_sha256']}" in report["next"][0]["command"]:
        return ["in AWX, approve the next node of the workflow, or launch migrate with this digest as approved_plan"]
    return [f"in AWX, launch the template of {''.join(playbook)}; the report has its variables"]


def again_line(report: Report) -> list[str]:
    """Return what of this run's start the next command does not repeat."""
    return not_repeated(report["origin"]) if report["next"] and not report["who"]["job"] else []


def not_repeated(origin: Origin) -> list[str]:
    """Return what was given to a run and is in no command that the engine writes, as it may be secret."""
    given = [f"-e {', '.join(names)}"] if (names := origin.get("left_out")) else []
    exported = [f"exported {', '.join(names)}"] if (names := origin.get("exported")) else []
    found = [*given, *exported]
    return [labelled("again", f"give what this run was given: {'; '.join(found)}")] if found else []
