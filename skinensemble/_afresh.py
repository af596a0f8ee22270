"""Fitting that leaves nothing of an earlier fit, nor of one that failed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["afresh"]


@contextmanager
def afresh(estimator) -> Iterator[None]:
    """Forget what an estimator has learnt; and what a ``with`` block taught it, if that fails.

    Half of one fit and half of another would answer, and wrongly.

    Parameters
    ----------
    estimator : BaseEstimator
    """
    _forget(estimator)
    try:
        yield
    except BaseException:
        _forget(estimator)
        raise


def _forget(estimator) -> None:
    # By what check_is_fitted goes by.
    for name in [one for one in vars(estimator) if one.endswith("_") and one[:2] != "__"]:
        delattr(estimator, name)
