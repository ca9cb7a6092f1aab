"""report.md and report.json as a whole."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path

import pytest
from rehome.checks import Check, unknown
from rehome.config.prices import Prices
from rehome.report.checks import preflight_facts
from rehome.report.document import (
    FACTS_FILE,
    last_migration,
    measured,
    of_verb,
    read_kept,
    remove_texts,
    write_report,
    write_texts,
)
from rehome.report.estimate import Measured, Work, estimate
from rehome.report.facts import KeptFacts, Origin, Sample, Samples, StageFact
from rehome.report.markdown import MOST_BYTES, render
from rehome.report.summary import TEXT_FILE, UNFINISHED

from tests.unit.report.facts_of_runs import DIGEST, ORIGIN, report_of, settings_in

WORK = Work(1_000, 1024**3, streamed=False, rows=1_000, reading_s=1.0, readings=2, most_per_second=None)


def samples(count: int, text: str, classes: int = 1) -> list[Samples]:
    one = Sample(where="avatars.path 1", before=text, after=text, note=text)
    return [Samples(kind="rows", name=f"class_{number}", count=count, shown=[one] * count) for number in range(classes)]


def test_a_ticket_says_what_moves_what_it_costs_what_to_run_and_how_to_go_back(tmp_path: Path) -> None:
    prices = Prices(date(2026, 11, 1), "EUR", {"transfer_gb": 0.02})
    kept = KeptFacts(
        estimate=estimate(WORK, [], Measured(), prices),
        samples=samples(2, "image/a.png"),
        preflight=preflight_facts([Check("database", "version", "pass", "MariaDB 11.8; at least 10.6 is needed")]),
    )
    text = render(report_of(settings_in(tmp_path), kept=kept, objects_to_copy=1_000, bytes_to_copy=1024**3))
    for line in (
        "A run would copy **1,000 objects** (1.0 GiB) and rewrite **0 rows** in 1 column",
        "| from | `legacy-s3` | `image/` | Amazon S3 |",
        "| `avatars.path` | `image/<key>` | `avatar/<key>` |",
        "| database server | MariaDB 11.8 |",
        "| money, by prices of 2026-11-01 | quantity | price | EUR |",
        "| transfer | 1.000 GB | 0.02 for 1 GB | 0.0200 |",
        f"ansible-playbook playbooks/migrate.yml -e env=prod -i ../ops/inventory -e approved_plan={DIGEST}",
        "ansible-playbook playbooks/rollback.yml -e env=prod -i ../ops/inventory",
        "## What is not taken back",
    ):
        assert line in text


def test_the_share_of_each_mover_is_told(tmp_path: Path) -> None:
    movers = {"mover-0": 1_600, "mover-1": 400}
    text = render(report_of(settings_in(tmp_path), "migrate", copy_method="server_side", movers=movers))
    assert "\n- copies are made by the service itself; `mover-0` 1,600, `mover-1` 400\n- policies" in text
    alone = render(report_of(settings_in(tmp_path), "migrate", copy_method="stream"))
    assert "\n- copies are made through this machine, which reads and writes each object\n- policies" in alone


def test_without_prices_money_is_unknown(tmp_path: Path) -> None:
    kept = KeptFacts(estimate=estimate(WORK, [], Measured(), None))
    assert "Money: unknown" in render(report_of(settings_in(tmp_path), kept=kept))


def test_a_refused_plan_says_so_first_and_gives_no_way_to_carry_it_out(tmp_path: Path) -> None:
    text = render(report_of(settings_in(tmp_path), kept=KeptFacts(refusals=["rehome_on_conflict (fail): 3 | taken"])))
    assert text.splitlines()[2].startswith("**Refused.**")
    assert r"- `rehome_on_conflict` (fail): 3 `\x7c` taken" in text
    assert "approved_plan=" not in text


def test_a_failed_run_says_why_and_not_that_it_has_not_come_to_its_end(tmp_path: Path) -> None:
    kept = KeptFacts(error="the service is gone")
    text = render(report_of(settings_in(tmp_path), "migrate", kept, problems=[UNFINISHED], complete=False))
    assert "**Failed**: the service is gone" in text
    assert UNFINISHED not in text


def test_in_awx_the_workflow_is_named_and_not_a_command_line(tmp_path: Path) -> None:
    who = {"user": "awx", "host": "pod", "job": {"id": "42", "user": "carol"}}
    text = render(report_of(settings_in(tmp_path), who=who, objects_to_copy=1))  # type: ignore[arg-type]
    assert "run by | id `42`, user `carol` (AWX), on `pod`" in text
    assert "In AWX: approve the next node of the workflow" in text
    assert "ansible-playbook playbooks/migrate.yml" not in text


@pytest.mark.parametrize(
    ("kept", "playbook"),
    [
        (KeptFacts(refusals=["rehome_on_conflict (fail): 3 objects"]), "plan"),
        (KeptFacts(error="the service is gone"), "plan"),
        (KeptFacts(), "verify"),  # nothing is to be moved
    ],
)
def test_in_awx_a_plan_that_nobody_can_approve_names_what_to_launch(
    tmp_path: Path, kept: KeptFacts, playbook: str
) -> None:
    who = {"user": "awx", "host": "pod", "job": {"id": "42", "user": "carol"}}
    text = render(report_of(settings_in(tmp_path), kept=kept, who=who))  # type: ignore[arg-type]
    assert "approve the next node" not in text
    following = text.partition("## What to do next")[2].partition("\n## ")[0]
    assert "In AWX, launch the job template" in following
    assert f"ansible-playbook playbooks/{playbook}.yml -e env=prod" in following


def test_what_could_not_be_looked_at_is_unknown(tmp_path: Path) -> None:
    checks = [
        Check("a", "x", "pass", "fine"),
        unknown("a", "y", "no right", "Grant it"),
        Check("a", "z", "warn", "odd"),
    ]
    facts = preflight_facts(checks)
    assert facts["counts"] == {"pass": 1, "unknown": 1, "warn": 1}
    assert [(check["status"], check["found"]) for check in facts["checks"]] == [
        ("warn", "odd"),
        ("unknown", "no right"),
    ]
    text = render(report_of(settings_in(tmp_path), kept=KeptFacts(preflight=facts)))
    assert "1 warn, 1 unknown, 1 pass." in text
    assert "| unknown | a | y | no right. Grant it |" in text


@pytest.mark.parametrize("character", ["x", "|", "\u202e", "`", "日"])
def test_the_text_stays_small_whatever_is_in_it(tmp_path: Path, character: str) -> None:
    settings = settings_in(tmp_path, report_samples=50)
    text = render(report_of(settings, kept=KeptFacts(samples=samples(50, character * 1_024, classes=30))))
    assert len(text.encode()) < MOST_BYTES
    assert "## Samples" in text


def test_the_same_facts_give_the_same_text(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    first, second = (report_of(settings, kept=KeptFacts(samples=samples(2, "a"))) for _ in range(2))
    first["started_at"] = second["started_at"]
    assert json.dumps(first) == json.dumps(second)
    assert render(first) == render(second)


def test_samples_can_be_left_out_and_the_text_says_so(tmp_path: Path) -> None:
    assert "`rehome_report_samples`" in render(report_of(settings_in(tmp_path, report_samples=0)))
    assert "`rehome_report_samples`" not in render(report_of(settings_in(tmp_path)))


def test_a_url_of_the_settings_shows_no_password(tmp_path: Path) -> None:
    settings = settings_in(
        tmp_path, references=[{"table": "a", "column": "b", "form": {"prefix": "https://u:hush@cdn/"}}]
    )
    report = report_of(settings)
    assert "hush" not in json.dumps(report) + render(report)


def test_what_stages_contribute_is_kept_for_the_rest_of_their_run_alone(tmp_path: Path) -> None:
    kept = KeptFacts(refusals=["no"], samples=samples(1, "a"))
    report = report_of(settings_in(tmp_path), kept=kept)
    write_report(tmp_path, report)
    assert read_kept(tmp_path, report["run"]) == kept
    assert read_kept(tmp_path, "run:1:2") == {}
    (tmp_path / FACTS_FILE).write_text("{")
    assert read_kept(tmp_path, report["run"]) == {}


def test_a_new_run_leaves_no_text_of_an_earlier_one(tmp_path: Path) -> None:
    for verb in ("plan", "verify"):
        assert write_texts(tmp_path, report_of(settings_in(tmp_path), verb)) == []
    remove_texts(tmp_path, "plan")
    assert {path.name for path in tmp_path.glob("report*") if path.suffix != ".json"} == {
        "report-verify.html",
        "report-verify.md",
    }


def test_the_last_migration_gives_its_rates_and_its_digest_to_what_follows(tmp_path: Path) -> None:
    assert (measured(tmp_path), last_migration(tmp_path)) == (Measured(), None)
    stages = [
        StageFact(stage="copy", number=1, began="", seconds=4.0, changed={"objects_copied": 2_000}),
        StageFact(stage="copy", number=2, began="", seconds=1.0, changed={"objects_copied": 500}),
        StageFact(stage="rewrite", number=0, began="", seconds=0.1, changed={"rows_rewritten": 2_500}),
    ]
    write_report(tmp_path, report_of(settings_in(tmp_path), "migrate", KeptFacts(stages=stages)))
    assert measured(tmp_path) == Measured(copies_per_second=500.0, rows_per_second=None)
    assert (last_migration(tmp_path) or {})["plan_sha256"] == DIGEST
    (tmp_path / of_verb(FACTS_FILE, "migrate")).write_text("[]")
    assert (measured(tmp_path), last_migration(tmp_path)) == (Measured(), None)


def test_a_verification_lists_each_kind_of_proof_with_its_strength(tmp_path: Path) -> None:
    kept = KeptFacts(proofs={"verified": [{"evidence": "size", "objects": 3, "bytes": 30}]})
    text = render(report_of(settings_in(tmp_path), "verify", kept, objects_compared=3, objects_verified=3))
    assert re.search(r"\| 3 \| 30 bytes \| equal sizes only: .*\(when both sides were listed again\) \|", text)
    assert "3 of 3 objects are in the target" in text


def test_the_text_beside_the_facts_has_the_name_of_its_verb(tmp_path: Path) -> None:
    assert of_verb(TEXT_FILE, "migrate-check") == "report-migrate-check.md"


def test_what_the_next_run_has_to_be_given_again_is_named(tmp_path: Path) -> None:
    origin: Origin = {**ORIGIN, "left_out": ["rehome_source"], "exported": ["DB_PASSWD", "S3_SOURCE_ACCESS_KEY"]}
    text = render(report_of(settings_in(tmp_path), "plan", rows_to_rewrite=1, origin=origin))
    assert "give those again that the next run needs: `rehome_source`." in text
    assert "have to be exported again: `DB_PASSWD`, `S3_SOURCE_ACCESS_KEY`." in text
