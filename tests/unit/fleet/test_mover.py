from __future__ import annotations

from rehome.config.settings import Side
from rehome.fleet.mover import Mover
from rehome.fleet.orders import Orders
from rehome.s3.multipart.record import Upload
from rehome.s3.objects.job import CopyOptions


def test_a_shard_that_comes_after_the_end_keeps_what_earlier_runs_have_recorded_of_its_uploads() -> None:
    source = Side("source", "legacy", "image/", profile="of-no-machine")
    target = Side("target", "production", "avatar/", profile="of-no-machine")
    mover = Mover(Orders(source, target, CopyOptions(), max_requests=4))
    mover.start()
    row = ("a.png", 10**10, "e-2", None, "STANDARD")
    assert mover.copy([row]).done.wait(30)
    known = Upload("production", "avatar/a.png", "id", "e-2", 10**10, 10**8, "", 1.0)
    late = mover.copy([row], [known])
    assert late.done.wait(30)
    assert late.report.error is not None and late.report.ended == []
    assert late.report.uploads == [known]
    mover.close()
    mover.join()
