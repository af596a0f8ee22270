from __future__ import annotations

import pickle
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skinensemble._deadline import (
    check_deadline,
    check_seconds,
    remaining,
    time_limit,
    with_deadline,
)
from skinensemble.exceptions import InputError, MemberError, TimeLimitError


def test_without_a_limit_nothing_ends():
    assert remaining() is None
    check_deadline("anything")
    with time_limit(None, "nobody"):
        assert remaining() is None


@given(st.lists(st.none() | st.floats(1, 1e6), max_size=4))
def test_of_nested_limits_the_earliest_counts(limits):
    def inside(rest):
        if rest:
            with time_limit(rest[0], "one"):
                return inside(rest[1:])
        return remaining()

    given_limits = [limit for limit in limits if limit is not None]
    if given_limits:
        assert inside(limits) == pytest.approx(min(given_limits), abs=0.5)
    else:
        assert inside(limits) is None
    assert remaining() is None


@pytest.mark.parametrize(("seconds", "shown"), [(0.001, "0.001"), (1e-9, "1e-09")])
def test_the_error_says_the_limit_and_what_was_under_way(seconds, shown):
    text = rf"^time limit: {shown} s for the stage – over at fold 2 of 5 – allow more time, or pass"
    with time_limit(1000, "the cascade"), time_limit(seconds, "the stage"):
        time.sleep(0.01)
        assert remaining() == 0
        with pytest.raises(TimeLimitError, match=text) as caught:
            check_deadline("fold 2 of 5")
    assert caught.value.reason == f"the {shown} s for the stage were over at fold 2 of 5"
    assert isinstance(caught.value, MemberError)


def test_a_long_limit_is_readable():
    with time_limit(5400, "the stage"):
        assert with_deadline(print).args[0].limit == "5,400 s for the stage"


def test_other_threads_and_processes_get_the_limit_that_was_in_force():
    with time_limit(100, "the stage"):
        bound = with_deadline(remaining)
    found: list = []
    thread = threading.Thread(target=lambda: found.extend([remaining(), bound()]))
    thread.start()
    thread.join()
    assert found[0] is None and found[1] == pytest.approx(100, abs=1)
    assert pickle.loads(pickle.dumps(bound))() == pytest.approx(100, abs=1)
    assert remaining() is None


@pytest.mark.parametrize("seconds", [np.int64(60), np.float32(0.5), 3, None])
def test_seconds_are_numbers_of_any_kind(seconds):
    check_seconds(time_limit=seconds)


@pytest.mark.parametrize("seconds", [0, -1, np.inf, np.nan, True, "60"])
def test_what_are_no_seconds_is_refused(seconds):
    with pytest.raises(InputError, match=r"time_limit: .* – not a positive number of seconds"):
        check_seconds(time_limit=seconds)
