from __future__ import annotations

from pathlib import Path

import yaml

from matrix.page import DIFFERENCES
from matrix.servers import DATABASES, STORES
from matrix.tried import all_tried

ROOT = Path(__file__).parents[3]


def test_every_server_is_tried_with_its_own_tests_and_the_whole_story() -> None:
    tried = all_tried()
    assert set(tried) == {*DATABASES, *STORES}
    for name, one in tried.items():
        names = [suite.name for suite in one.suites]
        assert names[0] == ("database tests" if name in DATABASES else "object store tests")
        assert "the whole story" in names


def test_every_path_of_the_suites_exists() -> None:
    for one in all_tried().values():
        for suite in one.suites:
            for path in suite.paths:
                file, _, test = path.partition("::")
                assert (ROOT / file).exists(), path
                assert not test or f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), path


def test_every_difference_says_what_is_there_and_what_rehome_does() -> None:
    for product in yaml.safe_load(DIFFERENCES.read_text(encoding="utf-8")).values():
        assert set(product) == {"title", "points"}
        for point in product["points"]:
            assert set(point) == {"there", "rehome"}
