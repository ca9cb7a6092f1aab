"""What objects cost by one machine and by movers: the arithmetic, and what is said of what was not measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cluster import WHOLE
from bench.figures import Figure
from bench.figures_kept import Kept, keep_figures, read_figures
from bench.scale_cost import CASES, MEASURED_BY_MOVERS, cost, requests, requests_usd, transfer_usd
from bench.scale_results import Result, Step
from bench.section import Section
from bench.streaming import LOADS

FIGURES = {
    Figure.LISTED: 100_000.0,
    Figure.COPIED_HTTP: 20_000.0,
    Figure.COPIED_TLS: 20_000.0,
    Figure.COPIED_PLANNED: 10_000.0,
    Figure.STREAM_CPU_256_KIB: 0.001,
    Figure.STREAM_CPU_64_MIB: 0.1,
    Figure.STREAM_BYTES_256_KIB: 250e6,
    Figure.STREAM_BYTES_64_MIB: 150e6,
    Figure.FLEET_OF_4: 3.6,
    Figure.FLEET_CONTROLLER_S: 10e-6,
    Figure.FLEET_SCHEDULER_S: 2e-6,
    Figure.FLEET_SCHEDULER_BYTES: 100e6,
    Figure.FLEET_MOVER_BYTES: 200e6,
}


def planned(objects: int) -> Result:
    steps = {"plan": Step(1.0, objects * 1e-6, 400_000_000)}
    return Result("plan", objects, objects, "2 cores", {}, "2026-01-01", 0, steps, objects * 20, complete=True)


def copied(objects: int) -> Result:
    return Result("copy", objects, 0, "2 cores", {}, "2026-01-01", 0, {}, 0, complete=True)


RESULTS = (planned(10**8), copied(10**7))


def lines(title: str) -> dict[tuple[str, str], list[str]]:
    """Return the cells of a case's lines, by objects and by who copies."""
    section = cost(FIGURES, RESULTS, "").split(f"### {title}\n")[1].strip().split("\n\n")[0]
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines()[2:]]
    return {(cells[0], cells[1]): cells[2:] for cells in found}


def test_movers_do_not_make_a_partition_faster() -> None:
    found = lines("Inside S3, one partition")
    for by in ("one machine", "4 movers", "16 movers"):
        assert found["1,000,000", by][:2] == ["4.8 min", "the service"]
    # copies, seven listed keys at 100,000/s, the plan at 1 µs
    assert found["1,000,000", "one machine"][2] == "5.9 min"


def test_over_many_partitions_processes_and_then_the_controller_are_the_limit() -> None:
    found = lines("Inside S3, 100 partitions")
    assert found["100,000,000", "one machine"][:2] == ["2.8 h", "the process"]
    # four make 3.6 times 10,000/s
    assert found["100,000,000", "4 movers"][:2] == ["46 min", "the processes"]
    assert found["100,000,000", "16 movers"][:2] == ["17 min", "the controller"]


def test_streams_end_at_the_links_of_all_movers_or_at_their_processes() -> None:
    small, large = lines("From S3 to another provider, 256 KiB each"), lines("From S3 to another provider, 64 MiB each")
    assert small["1,000,000", "one machine"][:2] == ["17 min", "the process"]
    assert small["1,000,000", "4 movers"][:2] == ["4.6 min", "the processes"]
    # 10 Gbit/s are 18.6 objects of 64 MiB a second, and one process makes 10
    assert large["1,000,000", "one machine"][:2] == ["28 h", "the process"]


def test_each_line_says_how_far_it_is_extrapolated() -> None:
    found = lines("Inside S3, one partition")
    assert found["1,000,000", "one machine"][-1] == "measured as many"
    assert found["100,000,000", "one machine"][-1] == "extrapolated: copies 10 times"
    assert found["1,000,000,000", "one machine"][-1] == "extrapolated: plan 10 times, copies 100 times"


def test_what_movers_copy_is_held_against_what_movers_have_copied() -> None:
    found = lines("Inside S3, one partition")
    assert found["1,000,000", "4 movers"][-1] == "measured as many"
    assert found["100,000,000", "4 movers"][-1] == "extrapolated: copies 100 times"
    assert found["1,000,000", "16 movers"][-1] == "extrapolated: movers 4 times"


def test_streams_are_held_against_the_few_that_were_measured() -> None:
    found = lines("From S3 to another provider, 256 KiB each")
    assert found["1,000,000", "one machine"][-1] == "extrapolated: copies 500 times"
    assert (
        found["1,000,000,000", "16 movers"][-1] == "extrapolated: plan 10 times, copies 500,000 times, movers 4 times"
    )


def test_how_many_were_measured_is_what_the_suites_copy() -> None:
    assert {case.cpu: case.measured for case in CASES if case.cpu} == {
        load.more.cpu: load.count for load in LOADS if load.more
    }
    assert WHOLE.many == MEASURED_BY_MOVERS


def test_a_process_that_streams_takes_the_memory_that_streams_were_found_to_take() -> None:
    assert lines("Inside S3, one partition")["1,000,000", "4 movers"][4] == "400 MB + 100 MB + 200 MB"
    assert lines("From S3 to another provider, 256 KiB each")["1,000,000", "4 movers"][4] == "400 MB + 100 MB + 250 MB"
    assert lines("From S3 to another provider, 64 MiB each")["1,000,000", "4 movers"][4] == "400 MB + 100 MB + 200 MB"


def test_requests_are_one_write_of_each_object_its_reads_and_the_pages_of_the_listings() -> None:
    inside, streamed = CASES[0], CASES[2]
    assert requests(inside, 1_000_000) == 1_007_000
    assert requests(streamed, 1_000_000) == 3_007_000


def test_what_another_provider_is_asked_for_is_not_counted_at_amazon_s_price() -> None:
    inside, *_, streamed = CASES
    # a million writes, and 1,000 pages seven times, at 5 USD a million
    assert requests_usd(inside, 1_000_000) == pytest.approx(5.00 + 0.035)
    # the source's pages four times; the content and the tags of each at 0.40 USD a million
    assert requests_usd(streamed, 1_000_000) == pytest.approx(0.02 + 0.80)
    # 67,108.864 GB of 10⁹ bytes: 900 + 3,400 + 17,108.864 * 0.07
    cells = lines("From S3 to another provider, 64 MiB each")["1,000,000", "one machine"]
    assert cells[6].startswith("0.82 + 5,498 + ")


@pytest.mark.parametrize(("gigabytes", "usd"), [(1_000, 90), (10_000, 900), (60_000, 900 + 3_400 + 700)])
def test_a_month_s_transfer_becomes_cheaper_step_by_step(gigabytes: float, usd: float) -> None:
    assert transfer_usd(gigabytes) == pytest.approx(usd)


def test_a_transfer_of_months_begins_each_with_the_dearest_gb() -> None:
    assert transfer_usd(120_000, 2) == pytest.approx(2 * (900 + 3_400 + 700))
    # 10 a second are 116 days; 6,710,886.4 GB in four months
    cells = lines("From S3 to another provider, 64 MiB each")["100,000,000", "one machine"]
    assert cells[6].split(" + ")[1] == f"{transfer_usd(100_000_000 * 64 * 1024**2 / 1e9, 4):,.0f}"


def test_when_more_machines_do_not_help_is_said_first() -> None:
    first, second, third = cost(FIGURES, RESULTS, "").split("\n\n")[:3]
    assert first.startswith("## ")
    assert "10,000 copies a second over TLS" in second
    assert "up to 2 partitions" in second
    assert "Listing and plan are 20% of a migration inside one partition" in second.replace("\n", " ")
    assert "nothing of it was run on AWS" in third


def test_what_was_not_measured_is_not_worked_out() -> None:
    text = cost({}, (), "")
    assert "nan" not in text
    assert text.count("not measured yet |") >= len(CASES) * 9


def section(figures: dict[Figure, float], title: str, commit: str) -> Section:
    return Section(title, "about", versions={"Rehome": commit}, figures=figures)


def test_the_figures_of_each_suite_are_kept_until_it_is_measured_again(tmp_path: Path) -> None:
    assert read_figures(tmp_path) == Kept()
    streams, cluster = {Figure.STREAM_CPU_256_KIB: 0.1}, {Figure.FLEET_OF_4: 3.0}
    found = {"streaming": section(streams, "S", "abc"), "cluster": section(cluster, "C", "abc")}
    keep_figures(found | {"throttling": section({}, "T", "abc")}, "2 cores", tmp_path)
    keep_figures({"cluster": section({Figure.FLEET_OF_4: 3.5}, "D", "def")}, "2 cores", tmp_path)
    kept = read_figures(tmp_path)
    assert kept.figures == streams | {Figure.FLEET_OF_4: 3.5}
    assert kept.cluster == section({Figure.FLEET_OF_4: 3.5}, "D", "def")
    lines = kept.said.splitlines()[2:]
    assert [line.split(":")[0] for line in lines] == ["- `streaming`", "- `cluster`"]
    assert ["2 cores. Rehome abc." in lines[0], "2 cores. Rehome def." in lines[1]] == [True, True]
