"""scikit-learn estimators that can be saved: those whose fitted state is a few plain arrays."""

from __future__ import annotations

import importlib

import numpy as np

from skinensemble.exceptions import InputError, message

# Fitted attributes: "labels", "int", or the axes of a float array. One letter is one length, the
# same in every array of an estimator: k classes, d features, r rows of a linear model,
# c components, i iterations.
_LINEAR = {"classes_": "labels", "coef_": "rd", "intercept_": "r", "n_features_in_": "int"}
_STATE: dict[str, tuple[str, dict[str, str]]] = {
    "LogisticRegression": ("sklearn.linear_model", {**_LINEAR, "n_iter_": "i"}),
    "LinearDiscriminantAnalysis": (
        "sklearn.discriminant_analysis",
        {**_LINEAR, "xbar_": "d", "scalings_": "dc", "means_": "kd", "priors_": "k"},
    ),
    "GaussianNB": (
        "sklearn.naive_bayes",
        {
            "classes_": "labels",
            "theta_": "kd",
            "var_": "kd",
            "class_prior_": "k",
            "class_count_": "k",
            "n_features_in_": "int",
        },
    ),
    "StandardScaler": (
        "sklearn.preprocessing",
        {"mean_": "d", "var_": "d", "scale_": "d", "n_features_in_": "int"},
    ),
    "PCA": (
        "sklearn.decomposition",
        {
            "components_": "cd",
            "mean_": "d",
            "explained_variance_": "c",
            "n_components_": "int",
            "n_features_in_": "int",
        },
    ),
}


# These hold other estimators, and nothing of their own.
_AROUND = ("Pipeline", "FrozenEstimator")
# Values of parameters that scikit-learn has since removed from these estimators, or not yet had.
_SAYS_NOTHING = (None, "deprecated", "l2")
# Of numbers, and of counts of iterations. Estimators fitted on float32 compute in float32.
_DTYPES = {False: (np.float64, np.float32), True: (np.int32,)}


def names() -> list[str]:
    """Names of the estimators that can be saved."""
    return [*_STATE, *_AROUND]


def knows(kind: str) -> bool:
    """Whether a type name in a file is one of these."""
    return kind in _STATE or kind in _AROUND


def handles(estimator) -> bool:
    """Whether the estimator is exactly one of these, not a subclass from elsewhere."""
    kind = type(estimator)
    return knows(kind.__name__) and kind.__module__.startswith("sklearn.")


def dump(estimator, out) -> dict:
    """Describe a fitted estimator."""
    kind = type(estimator).__name__
    if kind == "Pipeline":
        return {"type": kind, "steps": [[n, out.estimator(n, step)] for n, step in estimator.steps]}
    if kind == "FrozenEstimator":
        return {"type": kind, "estimator": out.estimator("frozen", estimator.estimator)}
    from skinensemble.persistence._codec import dump_feature_names, dump_params

    fitted, turned = {}, []
    for attribute, axes in _STATE[kind][1].items():
        value = getattr(estimator, attribute, None)
        if value is None:
            why = f"with these options it has no {attribute}, which the file needs"
            raise InputError(message("save", repr(estimator), why, "use its default options"))
        if axes == "labels":
            fitted[attribute] = out.labels(value)
        elif axes == "int":
            fitted[attribute] = int(value)
        else:
            array = _storable(np.asarray(value), axes)
            fitted[attribute] = out.array(attribute, array)
            turned += [attribute] if array.flags.fnc else []
    defaults = dump_params(type(estimator)())
    # Only what was chosen: the next version may not know the other parameters any more.
    params = {k: v for k, v in dump_params(estimator).items() if v != defaults[k]}
    described = {"type": kind, "params": params, "fitted": fitted}
    # Columns first: in another order of memory products add up in another order.
    described |= {"columns_first": turned} if turned else {}
    return described | dump_feature_names(estimator)


def load(kind: str, state):
    """Return the estimator that the JSON describes."""
    if kind == "Pipeline":
        return _load_pipeline(state)
    if kind == "FrozenEstimator":
        from sklearn.frozen import FrozenEstimator

        return FrozenEstimator(state.estimator("estimator"))
    from skinensemble.persistence._codec import load_feature_names

    module, attributes = _STATE[kind]
    cls = getattr(importlib.import_module(module), kind)
    estimator = cls()
    _load_params(estimator, state.nested("params"))
    estimator._validate_params()
    fitted = state.nested("fitted")
    lengths: dict[str, int] = {}
    if fitted.keys() != set(attributes):
        raise state.fault("fitted", "attributes are missing or unknown")
    for attribute, axes in attributes.items():
        setattr(estimator, attribute, _load_attribute(fitted, attribute, axes, lengths))
    k, d = lengths.get("k", 2), lengths["d"]
    if lengths.get("r", k) != (k if k > 2 else 1) and "r" in lengths:
        raise state.fault("fitted", "classes and coefficients do not agree")
    if estimator.n_features_in_ != d:
        raise state.fault("fitted.n_features_in_", f"{estimator.n_features_in_} is not {d}")
    for attribute in state.raw("columns_first", list) if state.keys() & {"columns_first"} else []:
        if not isinstance(attribute, str) or attributes.get(attribute) in (None, "int", "labels"):
            raise state.fault("columns_first", f"{attribute!r:.40} is no array of it")
        setattr(estimator, attribute, np.asfortranarray(getattr(estimator, attribute)))
    if kind == "LinearDiscriminantAnalysis":  # which its transform asks for
        estimator._max_components = estimator.n_components or min(k - 1, d)
    load_feature_names(estimator, state)
    return estimator


def _load_params(estimator, params) -> None:
    """Set what was chosen; what another version had besides has to say nothing."""
    from skinensemble.persistence._codec import load_param

    known = set(estimator._get_param_names())
    for name in sorted(params.keys()):
        if name in known:
            load_param(estimator, params, name)
        elif params.raw(name) not in _SAYS_NOTHING:
            raise params.fault(name, "this version of scikit-learn has no such parameter")


def _load_attribute(fitted, attribute: str, axes: str, lengths: dict[str, int]):
    if axes == "labels":
        labels = fitted.labels(attribute)
        lengths["k"] = len(labels)
        return labels
    if axes == "int":
        return int(fitted.number(attribute, 1, 2**31))
    value = fitted.array(attribute)
    if value.dtype not in _DTYPES[axes == "i"]:
        raise fitted.fault(attribute, f"its type is {value.dtype}")
    if value.ndim != len(axes):
        raise fitted.fault(attribute, f"it has {value.ndim} axes, not {len(axes)}")
    for axis, length in zip(axes, value.shape, strict=True):
        if lengths.setdefault(axis, length) != length:
            raise fitted.fault(attribute, f"its shape is {value.shape}, which fits no other array")
    return value


def _storable(value: np.ndarray, axes: str) -> np.ndarray:
    allowed = _DTYPES[axes == "i"]
    return value if value.dtype in allowed else value.astype(allowed[0])


def _load_pipeline(state):
    from sklearn.pipeline import Pipeline

    steps = state.pairs("steps")
    if not steps:
        raise state.fault("steps", "there is none")
    return Pipeline(steps)
