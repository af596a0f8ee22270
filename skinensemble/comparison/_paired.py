"""Tests of one committee against each of its members, on the same lesions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from skinensemble.exceptions import InputError, message


@dataclass(frozen=True)
class PairedTest:
    """McNemar's exact test of the vote against one member, by lesion.

    Attributes
    ----------
    member : str
    only_vote, only_member : int
        Lesions that only the vote, or only the member, gets right: every image of them.
    p : float
        Two-sided p-value.
    p_holm : float
        The same after Holm's adjustment over the members.
    """

    member: str
    only_vote: int
    only_member: int
    p: float
    p_holm: float

    @property
    def direction(self) -> int:
        """1 when the vote is shown to get more lesions right, -1 when fewer, else 0 (5 %)."""
        return int(np.sign(self.only_vote - self.only_member)) if self.p_holm < 0.05 else 0


def mcnemar_exact(only_a: int, only_b: int) -> float:
    """Two-sided p-value of McNemar's exact test of two classifiers being right equally often.

    Cases that both get right or both wrong say nothing of it. Under the null hypothesis each of
    the others is a fair coin [1]_.

    Parameters
    ----------
    only_a, only_b : int
        Cases that only the one, and only the other, gets right.

    Returns
    -------
    float
        1 when there are no such cases.

    References
    ----------
    .. [1] Q. McNemar, "Note on the sampling error of the difference between correlated proportions
       or percentages", Psychometrika 12(2), 1947. doi:10.1007/BF02295996

    Examples
    --------
    >>> mcnemar_exact(2, 10)
    0.03857421875
    """
    discordant = only_a + only_b
    return float(stats.binomtest(only_a, discordant).pvalue) if discordant else 1.0


def holm(p_values: Iterable[float]) -> np.ndarray:
    """Adjust p-values for their number, by Holm's step-down procedure.

    The probability that any true null hypothesis is rejected stays below the level, however the
    tests depend on each other [1]_.

    Parameters
    ----------
    p_values : iterable of float
        Between 0 and 1.

    Returns
    -------
    ndarray of float
        Adjusted p-values in the same order, to be compared with the level itself.

    Raises
    ------
    InputError
        When a value is not between 0 and 1.

    References
    ----------
    .. [1] S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal
       of Statistics 6(2), 1979. https://www.jstor.org/stable/4615733

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    array([0.03, 0.06, 0.06])
    """
    p = np.asarray(list(p_values), dtype=float)
    if not ((p >= 0) & (p <= 1)).all():
        why = "not all between 0 and 1"
        raise InputError(message("p-values", p.tolist(), why, "pass p-values of finished tests"))
    order = np.argsort(p)
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1)
    return adjusted


def paired_tests(
    vote_right: np.ndarray, members_right: dict[str, np.ndarray], lesions: np.ndarray
) -> list[PairedTest]:
    """Test the vote against each member, lesion by lesion.

    Parameters
    ----------
    vote_right : ndarray of bool of shape (n_images,)
    members_right : dict of str to ndarray of bool of shape (n_images,)
    lesions : ndarray of int of shape (n_images,)
        Lesion of each image, numbered from 0.

    Returns
    -------
    list of PairedTest
        In the order of the members.
    """
    vote = _whole(vote_right, lesions)
    whole = [_whole(right, lesions) for right in members_right.values()]
    counts = [(int((vote & ~own).sum()), int((own & ~vote).sum())) for own in whole]
    p = [mcnemar_exact(*pair) for pair in counts]
    results = zip(members_right, counts, p, holm(p).tolist(), strict=True)
    return [PairedTest(name, *pair, p, adjusted) for name, pair, p, adjusted in results]


def _whole(right: np.ndarray, lesions: np.ndarray) -> np.ndarray:
    return np.bincount(lesions, ~right) == 0
