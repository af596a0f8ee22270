"""Checks of labels and lesions, and folds that keep the images of a lesion together."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn import get_config
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, _num_samples, has_fit_parameter

from skinensemble._paths import refuse_path
from skinensemble.exceptions import (
    InputError,
    UngroupedWarning,
    first_few,
    message,
)

__all__ = [
    "as_lesions",
    "check_generator",
    "check_groups",
    "check_labels",
    "check_lengths",
    "check_weights",
    "encode_known",
    "fit_key",
    "lesion_folds",
    "refuse_weightless",
    "unequal_weights",
]


def check_lengths(X, **columns) -> None:
    """Check that there are as many labels, weights and lesions as samples.

    Parameters
    ----------
    X : array-like or sequence of length n_samples
    **columns : array-like of length n_samples, or None
        By name.

    Raises
    ------
    InputError
        When lengths differ, or `X` is one path, whose letters would be counted.
    """
    refuse_path(X)
    lengths = {name: _num_samples(one) for name, one in columns.items() if one is not None}
    wrong = [f"{name} ({n})" for name, n in lengths.items() if n != _num_samples(X)]
    if wrong:
        why = f"X has {_num_samples(X)} samples"
        raise InputError(message("lengths", ", ".join(wrong), why, "pass one value per sample"))


def check_generator(random_state) -> np.random.RandomState:
    """Return scikit-learn's generator of a seed.

    Parameters
    ----------
    random_state : int, RandomState or None

    Returns
    -------
    RandomState

    Raises
    ------
    InputError
        When it is none of these.
    """
    try:
        return check_random_state(random_state)
    except ValueError as error:
        why, remedy = "neither an integer from 0 on nor a RandomState", "pass such as 0"
        raise InputError(message("random_state", repr(random_state), why, remedy)) from error


def check_weights(sample_weight, X, **options) -> np.ndarray:
    """Check the weights of samples, of which one at least must count.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,), or None
        None: all 1.
    X : array-like or sequence of length n_samples
    **options
        Of scikit-learn's check.

    Returns
    -------
    ndarray of shape (n_samples,)

    Raises
    ------
    InputError
        When all are zero, or some negative, not finite or no numbers, or there are not as many.
    """
    if sample_weight is not None:
        refuse_weightless(sample_weight)
    try:
        return _check_sample_weight(sample_weight, X, ensure_non_negative=True, **options)
    except (TypeError, ValueError) as error:
        shown, why = f"{sample_weight!r:.60}".split("\n")[0], str(error).rstrip(".!")
        remedy = "pass one number for each sample, from 0 up"
        raise InputError(message("sample_weight", shown, why, remedy)) from error


def fit_key(estimator, what: str) -> str | None:
    """Return the name by which the fit of an estimator takes weights or lesions.

    Parameters
    ----------
    estimator : estimator
        A pipeline hands on to its last step what is addressed to that; where scikit-learn routes
        metadata, unless that step has declined it.
    what : {"sample_weight", "groups"}

    Returns
    -------
    str or None
        None where it takes none.
    """
    if has_fit_parameter(estimator, what):
        return what
    if isinstance(estimator, FrozenEstimator) or not hasattr(estimator, "steps"):
        return None
    name, last = estimator.steps[-1]
    own = fit_key(last, what)
    if own is None or not get_config()["enable_metadata_routing"]:
        return None if own is None else f"{name}__{own}"
    # Where the step has said neither yes nor no, scikit-learn raises and says how to.
    asked = getattr(get_routing_for_object(last), "fit", None)
    return None if asked is not None and asked.requests.get(what) is False else what


def refuse_weightless(sample_weight) -> None:
    """Refuse weights that are all zero, which would make a mean of nothing."""
    weights = np.asarray(sample_weight)
    if weights.dtype.kind in "biuf" and not weights.any():
        remedy = "give some samples a non-zero weight, of each fold if there are folds"
        raise InputError(message("sample_weight", "all zero", "nothing could be learnt", remedy))


def unequal_weights(sample_weight) -> np.ndarray | None:
    """Return weights that tell samples apart; None where there are none such.

    Parameters
    ----------
    sample_weight : array-like of shape (n_samples,), or None

    Returns
    -------
    ndarray of float64 of shape (n_samples,), or None
    """
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight, dtype=np.float64)
    return None if (weights == weights[0]).all() else weights


def check_labels(y) -> tuple[np.ndarray, np.ndarray]:
    """Check labels and encode them.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Strings, integers or booleans; none missing.

    Returns
    -------
    classes : ndarray of shape (n_classes,)
        The distinct labels, sorted.
    y : ndarray of int of shape (n_samples,)
        Index of each label in `classes`.

    Raises
    ------
    InputError
        When labels are missing, of mixed types, or all the same.

    Examples
    --------
    >>> check_labels(["nv", "mel", "nv"])
    (array(['mel', 'nv'], dtype='<U3'), array([1, 0, 1]))
    """
    y = _as_labels(y)
    check_classification_targets(y)
    classes, encoded = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        why = f"there is one class only ({first_few(classes.tolist())})"
        raise InputError(message("y", f"{len(y)} labels", why, "add samples of another class"))
    return classes, encoded


def encode_known(y, classes: np.ndarray, who: str) -> np.ndarray:
    """Encode labels by classes that are known already.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
    classes : ndarray of shape (n_classes,)
        Sorted.
    who : str
        Who knows them, for the message.

    Returns
    -------
    ndarray of int of shape (n_samples,)

    Raises
    ------
    InputError
        When labels are missing, of mixed types, or not among the classes.

    Examples
    --------
    >>> encode_known(["nv", "mel"], np.array(["bcc", "mel", "nv"]), "the stage")
    array([2, 1])
    """
    y = _as_labels(y)
    unknown = np.setdiff1d(y, classes)
    if len(unknown):
        why = f"{who} knows {first_few(classes.tolist())}"
        raise InputError(message("labels", first_few(unknown), why, "map or remove them"))
    return np.searchsorted(classes, y)


def _as_labels(y) -> np.ndarray:
    """Return labels as an array of one type; none may be missing."""
    y = column_or_1d(_as_given(y), warn=True)
    missing = _missing(y)
    if missing:
        why = "the label is missing"
        raise InputError(message("y", f"rows {first_few(missing)}", why, "label or remove them"))
    return _of_one_type("y", y)


def _as_given(values):
    # NumPy turns a list of strings and NaN into strings throughout, "nan" among them.
    return np.array(values, dtype=object) if isinstance(values, list | tuple) else values


def _missing(values: np.ndarray) -> list[int]:
    return [row for row, value in enumerate(values.tolist()) if _is_missing(value)]


def _is_missing(value) -> bool:
    # pandas' NA can neither be compared nor, without pandas, be imported.
    return value is None or type(value).__name__ == "NAType" or value != value or value == ""


def _of_one_type(name: str, values: np.ndarray) -> np.ndarray:
    if values.dtype != object:
        return values
    # In an array of objects NumPy's strings and numbers are not yet Python's.
    given = [one.item() if isinstance(one, np.generic) else one for one in values]
    kinds = sorted({type(value).__name__ for value in given})
    if len(kinds) > 1:
        why = "values of mixed types cannot be told apart"
        raise InputError(message(name, " and ".join(kinds), why, "use strings throughout"))
    return np.array(given)


def check_groups(groups, y: np.ndarray, classes: np.ndarray) -> np.ndarray | None:
    """Check that each sample has a lesion, and each lesion one label.

    Parameters
    ----------
    groups : array-like of shape (n_samples,), or None
        Lesion of each sample; None: unknown, which warns.
    y : ndarray of int of shape (n_samples,)
        Class indices.
    classes : ndarray
        Their labels, for the message.

    Returns
    -------
    ndarray of int of shape (n_samples,), or None

    Raises
    ------
    InputError
        When lengths differ, a lesion is missing, or a lesion has two labels.
    """
    if groups is None:
        why = "images of one lesion may fall on both sides of a split, which flatters every figure"
        text = message("groups", "not given", why, "pass groups=lesion_ids")
        warnings.warn(text, UngroupedWarning, stacklevel=3)
        return None
    groups = as_lesions(groups)
    if len(groups) != len(y):
        why = f"one per sample is needed, y has {len(y)}"
        raise InputError(message("groups", f"{len(groups)} lesions", why, "pass one per sample"))
    names, lesions = np.unique(groups, return_inverse=True)
    pairs = np.unique(np.stack([lesions, y]), axis=1)
    twice, count = np.unique(pairs[0], return_counts=True)
    if (count > 1).any():
        shown = first_few(
            f"{names[lesion]} ({', '.join(map(str, classes[pairs[1][pairs[0] == lesion]]))})"
            for lesion in twice[count > 1]
        )
        remedy = "correct the labels or the groups"
        raise InputError(message("lesions", shown, "one lesion has several labels", remedy))
    return lesions


def as_lesions(groups) -> np.ndarray:
    """Return the names of lesions as an array of one type; none may be missing.

    Parameters
    ----------
    groups : array-like of shape (n_samples,)

    Returns
    -------
    ndarray of shape (n_samples,)

    Raises
    ------
    InputError
        When a name is missing, which would make one lesion of all that have none, or names are of
        mixed types.
    """
    groups = column_or_1d(_as_given(groups))
    missing = _missing(groups)
    if missing:
        remedy = "give each image without a known lesion an id of its own"
        shown = f"rows {first_few(missing)}"
        raise InputError(message("groups", shown, "the lesion is missing", remedy))
    return _of_one_type("groups", groups)


def lesion_folds(
    y: np.ndarray, groups: np.ndarray | None, cv=None, *, classes=None, random_state=None
) -> np.ndarray:
    """Return the fold in which each sample is held out.

    Parameters
    ----------
    y : ndarray of int of shape (n_samples,)
        Class indices; folds are stratified by them.
    groups : ndarray of shape (n_samples,), or None
        Lesions, which are never split.
    cv : int or splitter or iterable, default=None
        Number of folds (None: 5), or anything that scikit-learn's ``check_cv`` takes and that
        holds each sample out once.
    classes : ndarray, default=None
        Labels of the classes, for messages.
    random_state : int, default=None
        Seed of the folds; None: folds without shuffling.

    Returns
    -------
    ndarray of int of shape (n_samples,)

    Raises
    ------
    InputError
        When `cv` is none of these, a class has fewer lesions than there are folds, or a splitter of
        the user's separates the images of a lesion or leaves a class out of a training part.

    Examples
    --------
    >>> lesion_folds(np.array([0, 0, 0, 1, 1]), np.array([7, 7, 8, 9, 4]), cv=2)
    array([0, 0, 1, 1, 0])
    """
    from sklearn.model_selection import StratifiedKFold, check_cv  # half a second: not to predict

    n_folds = 5 if cv is None else cv
    names = np.arange(y.max() + 1) if classes is None else classes
    if not isinstance(n_folds, (int, np.integer)):
        try:
            splitter = check_cv(cv, y, classifier=True)
        except ValueError as error:
            why = "neither a number of folds, nor a splitter, nor a list of folds"
            raise InputError(message("cv", f"{cv!r:.60}", why, "pass such as 5")) from error
        return _checked(_own_table(splitter, y, groups), y, groups, names)
    lesions = np.arange(len(y)) if groups is None else groups
    _, first, lesion = np.unique(lesions, return_index=True, return_inverse=True)
    _refuse_rare(y[first], int(n_folds), names, "samples" if groups is None else "lesions")
    # Each lesion has one label: stratifying the lesions themselves gives every fold every class.
    shuffle = {} if random_state is None else {"shuffle": True, "random_state": random_state}
    return _fold_table(StratifiedKFold(n_folds, **shuffle), y[first], None)[lesion]


def _own_table(splitter, y: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    try:
        return _fold_table(splitter, y, groups)
    except InputError:
        raise
    except (IndexError, TypeError, ValueError) as error:
        why = f"it gives no folds ({type(error).__name__}: {error})"
        remedy = "pass a number of folds, a splitter, or a list of pairs of training and test rows"
        raise InputError(message("cv", f"{splitter!r:.60}", why, remedy)) from error


def _fold_table(splitter, y: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    folds = np.full(len(y), -1)
    for fold, (_, test) in enumerate(splitter.split(np.zeros(len(y)), y, groups)):
        if (folds[test] >= 0).any():
            why = "it holds samples out more than once"
            remedy = "use a splitter whose test sets do not overlap"
            raise InputError(message("cv", splitter, why, remedy))
        if not len(test):
            why, remedy = "a fold of it holds no sample out", "use fewer folds"
            raise InputError(message("cv", f"fold {fold}", why, remedy))
        folds[test] = fold
    return folds


def _refuse_rare(y: np.ndarray, n_folds: int, names, unit: str) -> None:
    counts = np.bincount(y)
    if n_folds < 2 or counts.min() < n_folds:
        one = unit.removesuffix("s")
        rare = [
            f"{names[k]!s} ({c} {one if c == 1 else unit})"
            for k, c in enumerate(counts)
            if c < n_folds
        ]
        why = f"{n_folds} folds need at least {max(n_folds, 2)} {unit} of every class"
        remedy = f"pass cv={counts.min()}, or " if 2 <= counts.min() < n_folds else ""
        if n_folds < 2 <= counts.min():
            remedy = "pass cv=2 or more, or "
        shown = f"cv={n_folds}" + (f", class {first_few(rare)}" if rare else "")
        raise InputError(message("folds", shown, why, f"{remedy}add lesions or leave them out"))


def _checked(folds, y, groups, names) -> np.ndarray:
    if (folds < 0).any():
        rows = f"rows {first_few(np.flatnonzero(folds < 0))}"
        why = "the splitter never holds them out"
        raise InputError(message("cv", rows, why, "use a splitter that partitions the samples"))
    if groups is not None:
        pairs = np.unique(np.stack([groups, folds]), axis=1)
        lesions, count = np.unique(pairs[0], return_counts=True)
        if (count > 1).any():
            shown = f"lesions {first_few(lesions[count > 1])}"
            why = "the splitter puts images of one lesion into several folds"
            raise InputError(message("cv", shown, why, "use StratifiedGroupKFold or an integer"))
    for fold in range(folds.max() + 1):
        absent = np.setdiff1d(np.unique(y), y[folds != fold])
        if len(absent):
            why = f"without fold {fold} there is none of class {first_few(names[absent])}"
            raise InputError(message("cv", f"fold {fold}", why, "use fewer folds, or add lesions"))
    return folds
