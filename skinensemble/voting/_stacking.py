"""Stacking: a classifier that reads the ballots."""

from __future__ import annotations

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from skinensemble.exceptions import InputError, message
from skinensemble.validation import fit_key
from skinensemble.voting._ballots import check_ballots
from skinensemble.voting._base import VotingRule
from skinensemble.voting._checks import check_committee, check_training

# A member's 0 is not taken for more than this: float32 networks round to 0 what they cannot know.
SMALLEST = 1e-6


class StackingVote(VotingRule):
    """A classifier learns from the out-of-fold ballots what they are worth [1]_.

    It sees the logarithms of all members' probabilities, side by side: of each member those of all
    classes, none below log(10⁻⁶). On them the default, a multinomial logistic regression, weights
    each member for each class and corrects its bias. It can overrule a committee of one mind. The
    members must come in the order they were fitted in.

    Parameters
    ----------
    estimator : classifier, default=None
        Any scikit-learn classifier with ``predict_proba``; None is
        ``LogisticRegression(solver="newton-cholesky")``.

    Attributes
    ----------
    estimator_ : classifier
        Fitted.
    shape_ : tuple of int
        Numbers of members and of classes.

    References
    ----------
    .. [1] D. H. Wolpert, "Stacked generalization", Neural Networks 5(2), 241–259, 1992.
       doi:10.1016/S0893-6080(05)80023-1

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 50)
    >>> p = rng.beta(2 + 4 * y[:, None], 6 - 4 * y[:, None], (100, 3))
    >>> rule = StackingVote().fit(np.stack([1 - p, p], axis=2), y)
    >>> rule.combine(np.array([[[0.6, 0.4], [0.5, 0.5], [0.2, 0.8]]])).round(1)
    array([[0.2, 0.8]])
    """

    def __init__(self, estimator=None):
        self.estimator = estimator

    def check_params(self, n_members=None):
        """Refuse an estimator that gives no probabilities."""
        odd = isinstance(self.estimator, type) or not hasattr(self.estimator, "predict_proba")
        if self.estimator is not None and odd:
            why, remedy = "not a classifier with predict_proba", "pass an instance of one"
            raise InputError(message("estimator", f"{self.estimator!r:.60}", why, remedy))

    def fit(self, ballots, y, *, sample_weight=None, groups=None):
        """Fit the classifier on the ballots; see :meth:`VotingRule.fit`.

        Raises
        ------
        InputError
            When ballots or labels cannot be used, `y` holds one class only, or the classifier
            takes no `sample_weight` and there is one.
        """
        self.check_params()
        checked, y, weight, _ = check_training(ballots, y, sample_weight, groups)
        if len(np.unique(y)) < 2:
            why = "a classifier needs two classes to learn from"
            raise InputError(message("y", f"class {y[0]} only", why, "add samples of another"))
        estimator = _default() if self.estimator is None else clone(self.estimator)
        given = {} if sample_weight is None else _weights_for(estimator, weight)
        self.shape_ = checked.shape[1:]
        self.estimator_ = estimator.fit(_log_ballots(checked), y, **given)
        return self

    def combine(self, ballots):
        """Return the classifier's probabilities; a class that `y` did not hold has 0."""
        check_is_fitted(self)
        ballots = check_ballots(ballots)
        check_committee(ballots, self.shape_)
        pooled = np.zeros((len(ballots), self.shape_[1]))
        pooled[:, self.estimator_.classes_] = self.estimator_.predict_proba(_log_ballots(ballots))
        return pooled

    def _dump(self, out):
        return {
            "estimator": out.estimator("estimator", self.estimator_),
            "n_members": self.shape_[0],
            "n_classes": self.shape_[1],
        }

    def _load(self, state):
        self.estimator_ = state.estimator("estimator")
        most = max(state.largest_array, 2)
        self.shape_ = tuple(
            int(state.number(name, low, most)) for name, low in (("n_members", 1), ("n_classes", 2))
        )
        if not _reads_ballots(self.estimator_, *self.shape_):
            raise state.fault("estimator", f"not a classifier of ballots of shape {self.shape_}")
        given = clone(self.estimator_)
        self.estimator = None if repr(given) == repr(_default()) else given


def _default():
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(solver="newton-cholesky")


def _weights_for(estimator, weight: np.ndarray) -> dict[str, np.ndarray]:
    key = fit_key(estimator, "sample_weight")
    if key is None:
        why, remedy = "its fit takes no sample_weight", "use one that does, or no weights"
        raise InputError(message("estimator", type(estimator).__name__, why, remedy))
    # A mean of 1, for regularised classifiers weigh their penalty against the sum; a sample that
    # weighs nothing is none.
    return {key: weight * np.count_nonzero(weight)}


def _log_ballots(ballots: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(ballots, SMALLEST)).reshape(len(ballots), -1)


def _reads_ballots(estimator, n_members: int, n_classes: int) -> bool:
    classes = np.asarray(getattr(estimator, "classes_", None))
    return (
        hasattr(estimator, "predict_proba")
        and classes.dtype.kind == "i"
        and classes.min() >= 0
        and classes.max() < n_classes
        and getattr(estimator, "n_features_in_", None) == n_members * n_classes
    )
