"""How long a million objects take: the arithmetic, and what the page says of figures that are missing."""

from __future__ import annotations

import pytest

from bench.figures import ROWS, Figure
from bench.how_long import answers, at, client_rate, copies, everything, how_long, small_jobs, streams
from bench.scale_cost import cost

FIGURES = {
    **dict.fromkeys(Figure, 1_000.0),
    Figure.COPIED_PLANNED: 10_000.0,
    Figure.COPIED_HTTP: 20_000.0,
    Figure.COPIED_TLS: 12_500.0,
    Figure.LISTED: 100_000.0,
    Figure.SCANNED_MARIADB: 200_000.0,
    Figure.GIVING_WAY_MARIADB: 10_000.0,
    Figure.NO_OP_S: 5.0,
}


def test_a_rate_becomes_the_time_of_a_million() -> None:
    assert at(4_000) == (250.0, "1,000,000 ÷ 4,000/s")
    assert at(4_000, 7) == (1_750.0, "7,000,000 ÷ 4,000/s")


@pytest.mark.parametrize(
    ("client", "service", "seconds", "bound"),
    [(10_000.0, 3_500.0, 1_000_000 / 3_500, "S3"), (10_000.0, 35_000.0, 100.0, "the client")],
)
def test_the_slower_of_client_and_service_counts(client: float, service: float, seconds: float, bound: str) -> None:
    (term,), whose = copies(client, service)
    assert (term.seconds, whose) == (pytest.approx(seconds), bound)


def test_a_whole_migration_is_the_sum_of_its_parts() -> None:
    answer = everything(FIGURES, ROWS["mariadb"])
    # copies, seven listed keys and four reads for each, the rewrite, the tasks
    assert answer.seconds == pytest.approx(1_000_000 / 3_500 + 70 + 20 + 100 + 5)
    assert answer.cells[1:] == (
        "8.0 min",
        "S3, for 4.8 min of it",
        "worked out",
        "1,000,000 ÷ 3,500/s + 7,000,000 ÷ 100,000/s + 4,000,000 ÷ 200,000/s + 1,000,000 ÷ 10,000/s + 5 s of tasks",
    )


def test_what_was_not_measured_is_not_worked_out() -> None:
    without = {figure: value for figure, value in FIGURES.items() if figure is not Figure.COPIED_TLS}
    for answer in answers(without):
        if answer.what.startswith(("**everything", "copies inside S3")):
            assert answer.cells[1:] == ("?", "", "not measured in this run", "")
        else:
            assert answer.cells[1] != "?"


def test_a_page_without_any_figure_has_its_tables_nevertheless() -> None:
    assert how_long({}).count("not measured in this run") == len(list(answers({})))
    assert how_long({}).count("| ? |") == len(list(answers({}))) + len(small_jobs({})) + len(streams({}))


def test_tls_is_added_to_what_a_whole_queue_costs() -> None:
    # 100 µs a copy with its catalog; 80 over TLS instead of 50
    assert client_rate(FIGURES) == pytest.approx(1 / 130e-6)


def test_streams_are_held_against_the_services_rate_and_the_line() -> None:
    cells = {line[0]: line[1:] for line in streams({Figure.STREAMED_256_KIB: 500.0})}
    assert cells["256 KiB (262 GB)"] == ("33 min", "4.8 min", "35 min", "3.5 min")
    assert cells["1 GiB (1,073,742 GB)"] == ("?", "4.8 min", "99 days", "9.9 days")


def test_every_figure_is_asked_for_by_one_of_the_pages() -> None:
    def pages(figures: dict[Figure, float]) -> str:
        return how_long(figures) + cost(figures, (), "")

    assert [figure for figure in Figure if pages({**FIGURES, figure: 123e6}) == pages(FIGURES)] == []
