from __future__ import annotations

import os

import pytest

from skinensemble import _threads
from skinensemble._threads import limit_threads, n_threads, thread_limit


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    monkeypatch.setattr(_threads, "_limit", [])
    for kind in ("INTRA", "INTER"):
        monkeypatch.setenv(f"TF_NUM_{kind}OP_THREADS", "9")
        monkeypatch.delenv(f"TF_NUM_{kind}OP_THREADS")


def test_without_a_limit_all_cores(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert n_threads() == len(os.sched_getaffinity(0))
    assert thread_limit() is None


def test_a_worker_takes_what_it_was_given_once(monkeypatch):
    for given in ("1", "7"):
        monkeypatch.setenv("OMP_NUM_THREADS", given)
        limit_threads()
        assert (n_threads(), thread_limit()) == (1, 1)
        assert os.environ["TF_NUM_INTRAOP_THREADS"] == os.environ["TF_NUM_INTEROP_THREADS"] == "1"


def test_never_more_than_the_cores(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "4096")
    limit_threads()
    assert n_threads() == len(os.sched_getaffinity(0))


def test_what_a_user_chose_stays(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "3")
    limit_threads()
    assert os.environ["TF_NUM_INTRAOP_THREADS"] == "3"


@pytest.mark.parametrize("given", ["", "0", "all", "-2", "1,2"])
def test_what_is_no_number_of_threads(monkeypatch, given):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    limit_threads()
    assert thread_limit() is None
    assert "TF_NUM_INTRAOP_THREADS" not in os.environ
