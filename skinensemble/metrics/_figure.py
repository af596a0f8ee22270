"""A figure with its interval, and the bootstrap of lesions behind it."""

from __future__ import annotations

import numbers
from dataclasses import dataclass

import numpy as np

from skinensemble.exceptions import InputError, message
from skinensemble.validation import as_lesions


@dataclass(frozen=True)
class Figure:
    """A figure with its 95 % interval.

    Attributes
    ----------
    value, low, high : float
        NaN where the figure is not defined, as the AUC of a constant class. An interval from
        resamples that are all alike, or of which many lack a class, says nothing: it is not
        printed.

    Examples
    --------
    >>> print(Figure(0.853, 0.841, 0.865))
    0.853 (0.841–0.865)
    """

    value: float
    low: float
    high: float

    @classmethod
    def from_resamples(cls, values: np.ndarray) -> Figure:
        """First entry: the figure itself; the rest: its resamples (percentile interval).

        Where more than a tenth of the resamples have no figure there is no interval.
        """
        defined = values[1:][np.isfinite(values[1:])]
        enough = len(defined) >= 0.9 * len(values[1:]) > 0
        low, high = np.percentile(defined, [2.5, 97.5]) if enough else (np.nan, np.nan)
        return cls(float(values[0]), float(low), float(high))

    def __str__(self):
        interval = f" ({self.low:.3f}–{self.high:.3f})" if self.low < self.high else ""
        return f"{self.value:.3f}{interval}"


def lesion_weights(groups: np.ndarray, n_resamples: int, random_state=None) -> np.ndarray:
    """Weights of each image in each bootstrap resample of the lesions.

    Parameters
    ----------
    groups : array-like of shape (n_images,)
        Lesion of each image.
    n_resamples : int
    random_state : int, default=None

    Returns
    -------
    ndarray of shape (1 + n_resamples, n_images)
        Row 0 is all ones: the sample itself.

    Raises
    ------
    InputError
        When `n_resamples` is no number of them.

    Examples
    --------
    >>> lesion_weights(["a", "a", "b"], 1, random_state=4)
    array([[1., 1., 1.],
           [2., 2., 0.]])
    """
    if not isinstance(n_resamples, numbers.Integral) or n_resamples < 0:
        why, remedy = "not a whole number from 0", "pass one such as 1000"
        raise InputError(message("n_resamples", f"{n_resamples!r:.60}", why, remedy))
    names, lesion = np.unique(as_lesions(groups), return_inverse=True)
    draws = np.random.default_rng(random_state).multinomial(
        len(names), np.full(len(names), 1 / len(names)), size=n_resamples
    )
    return np.vstack([np.ones(len(lesion)), draws[:, lesion]])
