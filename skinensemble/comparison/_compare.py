"""Compares a committee's vote with its members and with other rules, at no further training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skinensemble.comparison._comparison import Comparison, Contender
from skinensemble.comparison._diversity import diversity
from skinensemble.comparison._paired import paired_tests
from skinensemble.exceptions import InputError, first_few, message
from skinensemble.metrics import Figure, auc, confusion_figures, lesion_weights, macro_auc
from skinensemble.validation import check_groups
from skinensemble.voting import (
    CalibratedVote,
    LogitAdjustedVote,
    SoftVote,
    VotingRule,
    check_ballots,
    resolve_voting_rule,
    rule_name,
)
from skinensemble.voting._checks import check_pooled, learnt_without_each
from skinensemble.voting._over import RuleOverBase
from skinensemble.voting._threshold import without_threshold

# Quick to learn: the comparison is made after every fit. Stacking, by name, takes longer.
RULES = ("majority", "weighted_majority", "soft", "geometric", "median", "greedy")


def compare(
    ballots,
    y,
    *,
    names: Sequence[str],
    folds,
    groups=None,
    sample_weight=None,
    voting: str | VotingRule = "soft",
    rules: Sequence[str | VotingRule] = RULES,
    n_resamples: int = 500,
    random_state: int = 0,
) -> Comparison:
    """Compare the vote with each member and with other rules, on out-of-fold ballots.

    Every rule is learnt on the ballots of the other folds and judged on the fold held out, so that
    one that learns has no credit for having seen the answers. A vote that decides at a threshold is
    judged without it, like the members: thresholds tuned for each would differ by chance more than
    the votes do.

    Parameters
    ----------
    ballots : array-like of shape (n_images, n_members, n_classes)
        Each by members that did not see the image, such as ``ballots_`` of a stage.
    y : array-like of int of shape (n_images,)
        Class indices.
    names : sequence of str of length n_members
        Of the members, all different.
    folds : array-like of int of shape (n_images,)
        The fold in which each image was held out; two or more.
    groups : array-like of shape (n_images,), default=None
        Lesion of each image; None takes each for a lesion of its own.
    sample_weight : array-like of shape (n_images,), default=None
        By which rules learn; figures and tests count every lesion alike.
    voting : str or VotingRule, default="soft"
        The vote that has to earn its keep.
    rules : sequence of str or VotingRule, optional
        Rules to compare it with; by default all that are quick to learn: ``"majority"``,
        ``"weighted_majority"``, ``"soft"``, ``"geometric"``, ``"median"`` and ``"greedy"``.
    n_resamples : int, default=500
        Bootstrap resamples of the lesions.
    random_state : int, default=0

    Returns
    -------
    Comparison

    Raises
    ------
    InputError
        When the ballots cannot be used, lengths differ, names are not unique, a lesion has two
        labels, or there is but one fold.

    Examples
    --------
    Three members that err on different images:

    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 300)
    >>> p = np.clip(0.35 + 0.3 * y[:, None] + 0.2 * rng.standard_normal((600, 3)), 0, 1)
    >>> comparison = compare(
    ...     np.stack([1 - p, p], axis=2), y, names=["a", "b", "c"], folds=np.arange(600) % 5
    ... )
    >>> print(comparison.sentence)
    The vote (soft) beats its best member (b): balanced accuracy +0.125 (0.092 to 0.160),
    exact McNemar p < 0.0001 after Holm.
    """
    ballots, y, folds, lesions = _checked(ballots, y, names, folds, groups, sample_weight)
    weights = lesion_weights(lesions, n_resamples, random_state)
    extra = {"sample_weight": sample_weight, "groups": None if groups is None else lesions}
    bank = _Bank(ballots, y, folds, extra)
    voters, notes = _voters(bank, names, voting, rules)
    values = [_values(y, decided, proba, weights) for _, _, decided, proba in voters]
    best = max(range(len(names)), key=lambda i: _merit(values[i]))
    right = {name: decided == y for _, name, decided, _ in voters[: len(names)]}
    return Comparison(
        rows=[
            _contender(kind, name, own, values[best])
            for (kind, name, _, _), own in zip(voters, values, strict=True)
        ],
        best_member=names[best],
        tests=paired_tests(voters[-1][2] == y, right, lesions),
        diversity=diversity(ballots, y, names),
        n_images=len(y),
        n_lesions=int(lesions.max()) + 1,
        notes=notes,
    )


class _Bank:
    """Ballots that rules are cross-fitted on."""

    def __init__(self, ballots, y, folds, extra):
        self.ballots, self.y, self.folds, self.extra = ballots, y, folds, extra

    def judge(self, rule: VotingRule, members=slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """Decisions and probabilities of a rule for some members, learnt without each fold."""
        ballots = self.ballots[:, members]
        decided, proba = np.empty(len(self.y), np.intp), np.empty(ballots.shape[::2])
        for held, fitted in learnt_without_each(rule, ballots, self.y, self.folds, **self.extra):
            asked = ballots[held]
            decided[held] = fitted.decide(asked)
            proba[held] = check_pooled(fitted.combine(asked), asked, fitted)
        return decided, proba


def _voters(bank: _Bank, names, voting, rules):
    """Kind, name, decisions and probabilities of members, rules and last the vote; and notes."""
    own, notes = resolve_voting_rule(voting), []
    plain = without_threshold(own)
    if plain is not own:
        notes.append(
            "All are judged without the threshold: thresholds tuned for each would differ by chance"
            " more than the votes do."
        )
        voting = own = plain
    alone: VotingRule = SoftVote()
    adjusted = _adjusted(own)
    if adjusted is not None:
        notes.append("Each member is adjusted as the vote is, by a power of its own.")
        alone = LogitAdjustedVote(tau=adjusted.tau)
    vote = bank.judge(own)
    # What the vote is by another name is no other rule.
    under = own.base if isinstance(own, CalibratedVote) else own
    same = {rule_name(one) for one in (voting, own, under)}
    voters = [("member", name, *bank.judge(alone, [i])) for i, name in enumerate(names)]
    for given in rules:
        name, rule = rule_name(given), resolve_voting_rule(given)
        if name in same:
            continue
        try:
            voters.append(("rule", name, *bank.judge(rule)))
        except Exception as error:  # of any kind: a rule of one's own may raise what it likes
            notes.append(f"The rule {name} could not be compared. {error}")
    return [*voters, ("vote", rule_name(voting), *vote)], notes


def _adjusted(rule: VotingRule) -> LogitAdjustedVote | None:
    """Return how a vote is adjusted, by itself or by a rule below it."""
    while isinstance(rule, RuleOverBase) and not isinstance(rule, LogitAdjustedVote):
        rule = rule.base_rule()
    return rule if isinstance(rule, LogitAdjustedVote) else None


def _values(y, decided, proba, weights) -> dict[str, np.ndarray]:
    n_classes = proba.shape[1]
    figures = confusion_figures(y, decided, n_classes, weights)
    binary = n_classes == 2
    return {
        "accuracy": figures["accuracy"],
        "balanced accuracy": figures["balanced_accuracy"],
        "AUC": auc(y == 1, proba[:, 1], weights) if binary else macro_auc(y, proba, weights),
    }


def _merit(values: dict[str, np.ndarray]) -> tuple[float, float]:
    return values["balanced accuracy"][0], values["AUC"][0]


def _contender(kind, name, own, best) -> Contender:
    return Contender(
        kind,
        name,
        figures={key: Figure.from_resamples(values) for key, values in own.items()},
        differences={
            key: Figure.from_resamples(own[key] - best[key]) for key in ("balanced accuracy", "AUC")
        },
    )


def _checked(ballots, y, names, folds, groups, sample_weight):
    ballots, y, folds = check_ballots(ballots), np.asarray(y), np.asarray(folds)
    n_images, n_members, n_classes = ballots.shape
    lengths = {"labels": len(y), "folds": len(folds)}
    if sample_weight is not None:
        lengths["weights"] = len(sample_weight)
    wrong = [f"{n} {what}" for what, n in lengths.items() if n != n_images]
    if len(names) != n_members:
        wrong.append(f"{len(names)} names")
    if wrong:
        why = f"the ballots are of {n_images} images and {n_members} members"
        raise InputError(message("lengths", ", ".join(wrong), why, "pass one of each"))
    if len(set(names)) < len(names):
        why = "members of one name cannot be told apart"
        raise InputError(message("names", ", ".join(names), why, "give each its own"))
    if y.dtype.kind not in "biu":
        shown = first_few(dict.fromkeys(y.tolist()), 3, repr)
        raise InputError(message("y", shown, "not class indices", "encode the labels"))
    if y.min() < 0 or y.max() >= n_classes:
        why = f"not indices of the {n_classes} classes of the ballots"
        raise InputError(message("y", f"{y.min()} to {y.max()}", why, "encode the labels"))
    if len(np.unique(folds)) < 2:
        why = "rules are learnt without the fold that they are judged on"
        raise InputError(message("folds", "one fold", why, "pass two or more"))
    if groups is None:
        return ballots, y, folds, np.arange(n_images)
    return ballots, y, folds, check_groups(groups, y, np.arange(n_classes))
