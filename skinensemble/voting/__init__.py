"""How the ballots of a committee become one verdict: rules, and their names."""

from __future__ import annotations

import numbers

from sklearn.base import clone

from skinensemble.exceptions import InputError, message
from skinensemble.voting._ballots import break_ties, check_ballots, last_argmax
from skinensemble.voting._base import VotingRule
from skinensemble.voting._calibrated import CalibratedVote, calibrated
from skinensemble.voting._early_exit import EarlyExitVote
from skinensemble.voting._greedy import GreedyVote
from skinensemble.voting._logit_adjusted import LogitAdjustedVote
from skinensemble.voting._means import MedianVote, PowerMeanVote, SoftVote, TrimmedMeanVote
from skinensemble.voting._rank import RankVote
from skinensemble.voting._rules import MajorityVote, QuorumVote, WeightedMajorityVote
from skinensemble.voting._stacking import StackingVote
from skinensemble.voting._threshold import ThresholdVote

__all__ = [
    "CalibratedVote",
    "EarlyExitVote",
    "GreedyVote",
    "LogitAdjustedVote",
    "MajorityVote",
    "MedianVote",
    "PowerMeanVote",
    "QuorumVote",
    "RankVote",
    "SoftVote",
    "StackingVote",
    "ThresholdVote",
    "TrimmedMeanVote",
    "VotingRule",
    "WeightedMajorityVote",
    "break_ties",
    "calibrated",
    "check_ballots",
    "last_argmax",
    "list_voting_rules",
    "register_voting_rule",
    "resolve_voting_rule",
    "rule_name",
]

# Prototypes: a name stands for a fresh copy, so that one class may have several names.
_RULES: dict[str, VotingRule] = {
    "calibrated": CalibratedVote(),
    "geometric": PowerMeanVote(power=0.0),
    "greedy": GreedyVote(),
    "logit_adjusted": LogitAdjustedVote(),
    "majority": MajorityVote(),
    "median": MedianVote(),
    "power_mean": PowerMeanVote(),
    "quorum": QuorumVote(),
    "rank": RankVote(),
    "soft": SoftVote(),
    "stacking": StackingVote(),
    "threshold": ThresholdVote(),
    "trimmed_mean": TrimmedMeanVote(),
    "weighted_majority": WeightedMajorityVote(),
}


def list_voting_rules() -> list[str]:
    """Return the names that ``voting=`` takes, sorted.

    Examples
    --------
    >>> list_voting_rules()[:4]
    ['calibrated', 'geometric', 'greedy', 'logit_adjusted']
    """
    return sorted(_RULES)


def register_voting_rule(name: str, rule: type[VotingRule], *, overwrite: bool = False) -> None:
    """Give a rule of your own a name that ``voting=`` and saved files understand.

    Parameters
    ----------
    name : str
    rule : subclass of VotingRule
        Its constructor must work without arguments.
    overwrite : bool, default=False
        Whether the name may stand for another rule already.

    Raises
    ------
    InputError
        When `rule` is no subclass of VotingRule or needs arguments, or the name is none or taken.
    """
    if not (isinstance(rule, type) and issubclass(rule, VotingRule)):
        why = "not a subclass of VotingRule"
        raise InputError(message("voting rule", rule, why, "derive your class from VotingRule"))
    if not isinstance(name, str):
        raise InputError(message("voting rule", repr(name), "not a name", "pass a str"))
    try:
        new, known = rule(), _RULES.get(name)
    except TypeError as error:
        why, remedy = f"it cannot be made without arguments ({error})", "give each a default"
        raise InputError(message("voting rule", rule.__name__, why, remedy)) from error
    same = type(known) is rule and repr(known) == repr(new)
    if known is not None and not same and not overwrite:
        why = f"the name stands for {type(known).__name__}"
        raise InputError(message("voting rule", name, why, "choose another, or overwrite=True"))
    _RULES[name] = new


def resolve_voting_rule(voting: str | VotingRule) -> VotingRule:
    """Return a fresh, unfitted rule for a name or an instance.

    Parameters
    ----------
    voting : str or VotingRule

    Returns
    -------
    VotingRule

    Raises
    ------
    InputError
        When the name is unknown or the object is no rule.

    Examples
    --------
    >>> resolve_voting_rule("soft")
    SoftVote()
    """
    if isinstance(voting, VotingRule):
        return clone(voting)
    if isinstance(voting, str) and voting in _RULES:
        return clone(_RULES[voting])
    known = ", ".join(list_voting_rules())
    remedy = "pass one of these names or a VotingRule instance"
    raise InputError(message("voting", repr(voting), f"not one of {known}", remedy))


def rule_name(voting: str | VotingRule) -> str:
    """Return the name of a rule: the registered one, whichever way its parameters are given.

    Parameters
    ----------
    voting : str or VotingRule

    Returns
    -------
    str
        Of a rule that no name stands for, how it is written.

    Examples
    --------
    >>> rule_name(CalibratedVote(SoftVote())), rule_name(PowerMeanVote(power=0))
    ('calibrated', 'geometric')
    >>> rule_name(CalibratedVote(MedianVote(), "platt"))
    "CalibratedVote(base='median', method='platt')"
    """
    if isinstance(voting, str):
        return voting
    for name in list_voting_rules():
        if _meaning(name) == _meaning(voting):
            return name
    parts = voting.get_params(deep=False).items()
    inner = {key: rule_name(part) for key, part in parts if isinstance(part, VotingRule)}
    known = {key: name for key, name in inner.items() if name in _RULES}
    return " ".join(repr(clone(voting).set_params(**known)).split())


def _meaning(value):
    """Return what is equal for rules that are set alike: a name is the rule that it stands for."""
    if isinstance(value, str) and value in _RULES:
        value = _RULES[value]
    if isinstance(value, VotingRule):
        params = value.get_params(deep=False)
        return type(value), {key: _meaning(part) for key, part in params.items()}
    return value if isinstance(value, numbers.Number) else repr(value)
