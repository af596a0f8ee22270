"""What counts of lesions prove: exact binomial bounds."""

from __future__ import annotations

import numbers

import numpy as np
from scipy import special

from skinensemble.exceptions import CertificateError, InputError, message

__all__ = [
    "allowed_misses",
    "check_promise",
    "exact_interval",
    "lesions_needed",
    "sensitivity_bound",
]


def sensitivity_bound(misses: int, n_lesions: int, confidence: float = 0.95) -> float:
    """Lower confidence bound of the sensitivity (one-sided, Clopper–Pearson).

    The exact binomial bound of [1]_.

    Parameters
    ----------
    misses, n_lesions : int
        Malignant lesions missed, and how many there were.
    confidence : float, default=0.95

    Returns
    -------
    float

    References
    ----------
    .. [1] C. J. Clopper, E. S. Pearson, "The use of confidence or fiducial limits illustrated in
       the case of the binomial", Biometrika 26(4), 1934. doi:10.1093/biomet/26.4.404

    Examples
    --------
    >>> round(sensitivity_bound(4, 200), 4)
    0.9548
    """
    if misses == n_lesions:
        return 0.0
    return float(special.betaincinv(n_lesions - misses, misses + 1, 1 - confidence))


def exact_interval(count: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided confidence interval of a share (Clopper–Pearson).

    Parameters
    ----------
    count, n : int
        So many of n.
    confidence : float, default=0.95

    Returns
    -------
    low, high : float
        (0, 1) when n is 0.

    Examples
    --------
    >>> [round(end, 3) for end in exact_interval(9, 10)]
    [0.555, 0.997]
    """
    one_sided = (1 + confidence) / 2
    if n == 0:
        return 0.0, 1.0
    low = sensitivity_bound(n - count, n, one_sided)
    return low, 1 - sensitivity_bound(count, n, one_sided)


def lesions_needed(min_sensitivity: float = 0.95, confidence: float = 0.95) -> int:
    """Smallest number of malignant lesions that can prove `min_sensitivity`, without a miss.

    Examples
    --------
    >>> lesions_needed(0.95, 0.95)
    59
    """
    check_promise(min_sensitivity, confidence)
    exact = np.log1p(-confidence) / np.log(min_sensitivity)
    # A quotient that is whole must not become one more by rounding.
    return max(int(np.ceil(exact - 1e-9)), 1)


def allowed_misses(
    n_lesions: int,
    min_sensitivity: float = 0.95,
    confidence: float = 0.95,
    *,
    promised: str = "sensitivity",
) -> int:
    """Return how many of `n_lesions` malignant lesions may be missed while the promise holds.

    Parameters
    ----------
    n_lesions : int
        Malignant lesions at hand.
    min_sensitivity, confidence : float, default=0.95
        The promise: P(sensitivity ≥ `min_sensitivity`) ≥ `confidence`.
    promised : {"sensitivity", "specificity"}, default="sensitivity"
        For the message: a specificity is proved on benign lesions in the same way.

    Returns
    -------
    int

    Raises
    ------
    CertificateError
        When the lesions are too few to prove it even without a miss.

    Examples
    --------
    >>> [allowed_misses(m) for m in (59, 100, 200, 400, 1169)]
    [0, 1, 4, 12, 45]
    """
    check_promise(min_sensitivity, confidence, promised)
    needed = lesions_needed(min_sensitivity, confidence)
    if n_lesions < needed:
        kind = "malignant" if promised == "sensitivity" else "benign"
        why = (
            f"{n_lesions} {kind} lesions cannot prove it, {needed} are needed"
            f" ({needed - n_lesions} more)"
        )
        remedy = f"add {kind} lesions, lower min_{promised} or confidence, or use another rule"
        asked = f"{promised} ≥ {min_sensitivity:g} with confidence {confidence:g}"
        raise CertificateError(message("certificate", asked, why, remedy))
    violation = special.bdtr(np.arange(n_lesions), n_lesions, 1 - min_sensitivity)
    # With as few as are needed, rounding may hide that none missed is enough.
    return max(int(np.searchsorted(violation, 1 - confidence, side="right")) - 1, 0)


def check_promise(minimum: float, confidence: float, promised: str = "sensitivity") -> None:
    """Refuse what no number of lesions could prove."""
    for name, value in ((f"min_{promised}", minimum), ("confidence", confidence)):
        number = isinstance(value, numbers.Real)
        if not number or not 0 < value < 1:
            why = "it promises nothing" if number else "not a number"
            if number and value >= 1:
                why = "no finite number of lesions can prove it"
            remedy = "choose a number between 0 and 1, such as 0.95"
            raise InputError(message(name, value, why, remedy))
