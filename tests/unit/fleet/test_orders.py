"""Workers get no secret, and a rate is shared among them."""

from __future__ import annotations

import pickle
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from rehome.config.settings import Side
from rehome.fleet.engine import this_engine
from rehome.fleet.orders import WAIT, Pace, orders_of, share
from rehome.s3.objects.job import CopyOptions

SECRETS = {"access_key": "AKIAHUSH", "secret_key": "hush-hush", "session_token": "hush-token"}


def test_no_secret_is_in_what_workers_are_sent() -> None:
    source = Side("source", "legacy-s3", "image/", profile="mover", **SECRETS)
    target = Side("target", "production-s3", "avatar/", **SECRETS)
    orders = orders_of(source, target, CopyOptions(), 256)
    sent = pickle.dumps(orders)
    assert not any(secret.encode() in sent for secret in SECRETS.values())
    assert (orders.source.bucket, orders.source.prefix, orders.source.profile) == ("legacy-s3", "image/", "mover")


@given(st.floats(0.1, 1e6), st.integers(1, 500))
def test_the_shares_are_the_whole_rate(rate: float, movers: int) -> None:
    pace = share(256, rate, movers)
    assert pace.per_second is not None
    assert abs(pace.per_second * movers - rate) <= 1e-9 * rate
    assert pace.requests == 256


def test_without_a_rate_there_is_none_and_a_worker_begins_paused() -> None:
    assert share(256, None, 4) == Pace(256)
    assert (WAIT.requests, share(1, 5.0, 0).per_second) == (0, 5.0)


def test_the_digest_is_of_the_whole_engine() -> None:
    engine = this_engine()
    assert engine == this_engine()
    assert len(engine.digest) == 64
    assert str(engine).startswith(f"Rehome {engine.version} ({engine.digest[:8]}) on Python {engine.python}")
    assert (Path(__file__).parents[3] / "module_utils" / "rehome" / "fleet" / "engine.py").exists()
