"""How the ballots of a committee become one verdict: rules, and their names."""

from __future__ import annotations

from sklearn.base import clone

from skinensemble.exceptions import InputError, message
from skinensemble.voting._base import VotingRule, break_ties, check_ballots, last_argmax
from skinensemble.voting._rules import MajorityVote, SoftVote
from skinensemble.voting._threshold import ThresholdVote

__all__ = [
    "MajorityVote",
    "SoftVote",
    "ThresholdVote",
    "VotingRule",
    "break_ties",
    "check_ballots",
    "last_argmax",
    "list_voting_rules",
    "register_voting_rule",
    "resolve_voting_rule",
]

_RULES: dict[str, type[VotingRule]] = {
    "majority": MajorityVote,
    "soft": SoftVote,
    "threshold": ThresholdVote,
}


def list_voting_rules() -> list[str]:
    """Return the names that ``voting=`` takes, sorted.

    Examples
    --------
    >>> list_voting_rules()
    ['majority', 'soft', 'threshold']
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
        When `rule` is no subclass of VotingRule, or the name is taken.
    """
    if not (isinstance(rule, type) and issubclass(rule, VotingRule)):
        why = "not a subclass of VotingRule"
        raise InputError(message("voting rule", rule, why, "derive your class from VotingRule"))
    if _RULES.get(name, rule) is not rule and not overwrite:
        why = f"the name stands for {_RULES[name].__name__}"
        raise InputError(message("voting rule", name, why, "choose another, or overwrite=True"))
    _RULES[name] = rule


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
        return _RULES[voting]()
    known = ", ".join(list_voting_rules())
    remedy = "pass one of these names or a VotingRule instance"
    raise InputError(message("voting", repr(voting), f"not one of {known}", remedy))
