"""Voting rules of the user's own: saved by the name they are registered under."""

from __future__ import annotations

import numpy as np

_PREFIX = "rule:"


def knows(kind: str) -> bool:
    """Whether a type name in a file stands for a registered rule."""
    return kind.startswith(_PREFIX)


def handles(estimator) -> bool:
    """Whether the estimator is a rule from outside the library."""
    from skinensemble.voting import VotingRule

    outside = not type(estimator).__module__.startswith("skinensemble.")
    return isinstance(estimator, VotingRule) and outside


def dump(rule, out) -> dict:
    """Describe a rule: its registered name, its parameters, and its fitted numbers and arrays."""
    from skinensemble.exceptions import InputError, message
    from skinensemble.persistence._codec import dump_params
    from skinensemble.voting import list_voting_rules, resolve_voting_rule

    kind = type(rule)
    name = next((n for n in list_voting_rules() if type(resolve_voting_rule(n)) is kind), None)
    if name is None:
        remedy = f'call register_voting_rule("a_name", {kind.__name__}) before save and load'
        why = "the file stores rules by registered name"
        raise InputError(message("voting rule", kind.__name__, why, remedy))
    params, fresh = rule.get_params(deep=False), resolve_voting_rule(name)
    arrays = {
        attribute: _storable(f"{name}.{attribute}", value, _is_fitted(fresh, attribute))
        for attribute, value in sorted(vars(rule).items())  # as they are loaded
        if attribute not in params
    }
    flags = [attribute for attribute, array in arrays.items() if array.dtype == bool]
    fitted = {attribute: out.array(attribute, array) for attribute, array in arrays.items()}
    described = {"type": _PREFIX + name, "params": dump_params(rule), "fitted": fitted}
    return described | ({"flags": flags} if flags else {})


def _is_fitted(fresh, attribute: str) -> bool:
    """Tell whether a name is one of an attribute that only a fit gives to a rule."""
    plain = attribute.isidentifier() and attribute.endswith("_")
    return plain and not hasattr(fresh, attribute)


def _storable(which: str, value, named: bool) -> np.ndarray:
    from skinensemble.exceptions import InputError, message

    why = "" if named else "not the name of what only a fit gives it"
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
            why = "not made of finite numbers"
    except ValueError:  # such as a list of arrays that are not of one length
        why = "no array"
    if why:
        remedy = "keep it as a finite array, under a name that ends in _"
        raise InputError(message("voting rule", which, why, remedy))
    return array


def load(kind: str, state):
    """Return the rule; its class must be registered under the same name."""
    from skinensemble.persistence._codec import load_params
    from skinensemble.voting import list_voting_rules, resolve_voting_rule

    name = kind.removeprefix(_PREFIX)
    if name not in list_voting_rules():
        why = f"voting rule {name!r:.60} is not registered"
        raise state.fault("type", f"{why}; call register_voting_rule before load")
    rule = resolve_voting_rule(name)
    load_params(rule, state)
    fitted = state.nested("fitted")
    # Arrays of True and False are kept as numbers.
    flags = state.raw("flags", list) if state.keys() & {"flags"} else []
    names = sorted(fitted.keys())
    odd = [one for one in flags if one not in names]
    if odd:
        raise state.fault("flags", f"{odd[0]!r:.40} is no array of it")
    for attribute in names:
        if not _is_fitted(rule, attribute):
            raise fitted.fault(attribute, "not the name of a fitted attribute")
        value = fitted.array(attribute)
        if attribute in flags:
            if not np.isin(value, (0, 1)).all():
                raise fitted.fault(attribute, "not made of True and False")
            value = value.astype(bool)
        setattr(rule, attribute, value if value.ndim else value.item())
    return rule
