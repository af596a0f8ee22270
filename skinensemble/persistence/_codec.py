"""Estimators as JSON of our own names, and arrays: the only way into and out of a saved file.

A class takes part by two methods, ``_dump(self, out)`` and ``_load(self, state)``, and a line in
:data:`TYPES`. What it is given speaks of labels, arrays and other estimators; a file can name
nothing that is not listed here, and nothing is imported because a file asks for it.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from skinensemble.exceptions import InputError, ModelFileError, first_few, message
from skinensemble.persistence._weights import assign_weights
from skinensemble.persistence.container import Container

__all__ = [
    "State",
    "Writer",
    "decode",
    "dump_feature_names",
    "dump_params",
    "encode",
    "load_feature_names",
    "load_params",
    "load_weights",
]

# Arrays of a stage lie beside those of its members, which may have any name.
_TAKEN = frozenset(
    {
        *("folds", "targets", "ballots", "lesions", "digests", "lesion_digests", "certified"),
        *("sample_weight", "shares"),
    }
)
TYPES = {
    "BackboneFeatures": "skinensemble.features",
    "CalibratedVote": "skinensemble.voting",
    "Cascade": "skinensemble.cascade",
    "CollapsedMember": "skinensemble.members",
    "CutBody": "skinensemble.features._cut_body",
    "DenseHead": "skinensemble.members",
    "EarlyExitVote": "skinensemble.voting",
    "FoldMembers": "skinensemble.committee",
    "GreedyVote": "skinensemble.voting",
    "LogitAdjustedVote": "skinensemble.voting",
    "MajorityVote": "skinensemble.voting",
    "MedianVote": "skinensemble.voting",
    "PowerMeanVote": "skinensemble.voting",
    "PretrainedMember": "skinensemble.members",
    "QuorumVote": "skinensemble.voting",
    "RankVote": "skinensemble.voting",
    "Referral": "skinensemble.referral",
    "SoftVote": "skinensemble.voting",
    "StackingVote": "skinensemble.voting",
    "Stage": "skinensemble.stage",
    "ThresholdVote": "skinensemble.voting",
    "TransferClassifier": "skinensemble.members",
    "TunedTop": "skinensemble.members._tuned_top",
    "TrimmedMeanVote": "skinensemble.voting",
    "WeightedMajorityVote": "skinensemble.voting",
}
"""Type name in a file → the module that holds the class."""


_LARGEST_BATCH = 2**16
_ANOTHER_FILE = "get the file again, or save it anew with this version"
# Parameters that an older file of this format may lack, and what was done before they were there.
_CAME_LATER = {"head_warmup": 0.0, "scaling": "feature"}


class Writer:
    """Collects the arrays of an estimator while it describes itself."""

    def __init__(self):
        self.arrays: dict[str, np.ndarray] = {}
        self.shared: dict[str, dict] = {}
        self._path: list[str] = []
        self._unnamed = 0

    def array(self, name: str, values) -> dict:
        """Keep an array; return what stands for it in the JSON."""
        key = "/".join([*self._path, name])
        if key in self.arrays:
            why, remedy = "two arrays have this place in the file", "rename a member"
            raise InputError(message("save", key, why, remedy))
        self.arrays[key] = np.asarray(values)
        return {"array": key}

    def labels(self, values: np.ndarray) -> list:
        """Labels as JSON: strings, integers or booleans."""
        labels = np.asarray(values).tolist()
        if not all(isinstance(label, (str, int, bool)) for label in labels):
            why = "labels must be strings, integers or booleans to be saved"
            raise InputError(message("labels", first_few(labels), why, "convert y before fit"))
        return labels

    def estimator(self, name: str, estimator) -> dict:
        """Describe an estimator below the name."""
        with self._inside(name):
            return encode(estimator, self)

    def share(self, kind: str, key: str, dump) -> str:
        """Keep something that several estimators hold, such as a network, once."""
        if key not in self.shared:
            outer, self._path = self._path, [kind, key]
            self.shared[key] = dump(self)
            self._path = outer
        return key

    @contextmanager
    def _inside(self, name: str) -> Iterator[None]:
        self._unnamed += not _is_plain(name)
        # No identifier, so that it is the name of no other.
        self._path.append(name if _is_plain(name) else f"-{self._unnamed}")
        yield
        self._path.pop()


def _is_plain(name: str) -> bool:
    return name.isidentifier() and name.isascii() and name not in _TAKEN


class State:
    """What a file says about one estimator; everything taken from it is checked.

    Parameters
    ----------
    values : dict
        The JSON object.
    container : Container
    shared : dict
        JSON of the shared things, and those already built.
    where : str
        Place in the tree, for messages.
    """

    def __init__(self, values: Any, container: Container, shared: dict, where: str):
        if not isinstance(values, dict):
            raise _fault(container, where, "not an object")
        self._values, self._container, self._shared = values, container, shared
        self._unread = set(values)
        self._parts: list[State] = []
        self.where = where

    @property
    def context(self) -> tuple[Container, dict, str]:
        """What a part of this state needs to know beside its values."""
        return self._container, self._shared, self.where

    def keys(self) -> set[str]:
        """Names of the entries."""
        return set(self._values)

    @property
    def largest_array(self) -> int:
        """Number of elements of the largest array in the file."""
        return max((math.prod(spec.shape) for spec in self._container.specs.values()), default=0)

    def close(self) -> None:
        """Refuse entries that nobody asked for, here and in every part."""
        if self._unread:
            raise self.fault(first_few(sorted(self._unread)), "unknown")
        for part in self._parts:
            part.close()

    def fault(self, name: str, why: str, remedy: str = _ANOTHER_FILE) -> ModelFileError:
        """Return the error that says what is wrong with an entry."""
        return _fault(self._container, f"{self.where}.{name}", why, remedy)

    def raw(self, name: str, kind: type | tuple[type, ...] = object):
        """Return an entry of a kind of JSON value."""
        if name not in self._values:
            raise self.fault(name, "missing")
        value = self._values[name]
        self._unread.discard(name)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind in (int, (int, float))):
            raise self.fault(name, f"{value!r:.60} is of the wrong type")
        return value

    def number(self, name: str, low: float, high: float) -> float:
        """Return a number within the limits, both included."""
        value = self.raw(name, (int, float))
        if not low <= value <= high:
            raise self.fault(name, f"{value} is not between {low} and {high}")
        return value

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """Return one of some words; the first where nothing is said."""
        value = self.raw(name, str) if name in self._values else choices[0]
        if value not in choices:
            raise self.fault(name, f"not one of {', '.join(choices)}")
        return value

    def labels(self, name: str, least: int = 2) -> np.ndarray:
        """Labels, sorted and distinct."""
        labels = self.raw(name, list)
        if len({type(label) for label in labels}) != 1 or len(labels) < least:
            raise self.fault(name, f"{len(labels)} labels, or of mixed types")
        if not isinstance(labels[0], (str, int, bool)) or sorted(set(labels)) != labels:
            raise self.fault(name, "labels are not distinct and sorted")
        return np.array(labels)

    def array(self, name: str, *, shape=None, dtype=None, finite=True) -> np.ndarray:
        """Return the array that an entry stands for; shape may hold None for any length."""
        entry = self.raw(name, dict)
        named = set(entry) == {"array"} and isinstance(entry["array"], str)
        if not named or entry["array"] not in self._container.specs:
            raise self.fault(name, "its array is missing")
        spec = self._container.specs[entry["array"]]
        fits = shape is None or (
            len(shape) == len(spec.shape)
            and all(a is None or a == b for a, b in zip(shape, spec.shape, strict=True))
        )
        if not fits:
            raise self.fault(name, f"its shape is {spec.shape}, not {shape}")
        read = self._shared.setdefault("read", set())
        if entry["array"] in read:
            # A short file could otherwise fill the memory.
            raise self.fault(name, "its array is that of another entry")
        read.add(entry["array"])
        values = self._container.read(entry["array"], dtype=dtype)
        if finite and values.dtype.kind == "f" and not np.isfinite(values).all():
            raise self.fault(name, "it holds NaN or infinite values")
        return values

    def arrays(self, name: str, shapes=None, dtypes=None) -> list[np.ndarray]:
        """Return a list of arrays, as many and such as are said, or any."""
        entries = self.raw(name, list)
        anything = [None] * len(entries)
        shapes, dtypes = shapes or anything, dtypes or anything
        if len(entries) != len(shapes):
            raise self.fault(name, f"{len(entries)} arrays, not {len(shapes)}")
        numbered = {str(i): entry for i, entry in enumerate(entries)}
        listed = State(numbered, *self.context[:2], f"{self.where}.{name}")
        kinds = zip(numbered, shapes, dtypes, strict=True)
        return [listed.array(at, shape=shape, dtype=dtype) for at, shape, dtype in kinds]

    def nested(self, name: str) -> State:
        """Return an entry that is itself an object."""
        self._parts.append(
            State(self.raw(name, dict), self._container, self._shared, f"{self.where}.{name}")
        )
        return self._parts[-1]

    def estimator(self, name: str):
        """Return the estimator that an entry describes."""
        return decode(self.nested(name))

    def pairs(self, name: str) -> list[tuple[str, Any]]:
        """Named estimators, in order; names are distinct."""
        pairs = self.raw(name, list)
        if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
            raise self.fault(name, "not pairs of name and estimator")
        names = [pair[0] for pair in pairs]
        if not all(isinstance(n, str) for n in names) or len(set(names)) != len(names):
            raise self.fault(name, "names are not distinct strings")
        described = State(dict(pairs), self._container, self._shared, f"{self.where}.{name}")
        self._parts.append(described)
        return [(n, described.estimator(n)) for n in names]

    def share(self, name: str, build):
        """Return what an entry of :meth:`Writer.share` stands for, built once."""
        key = self.raw(name, str)
        built = self._shared.setdefault("built", {})
        if key not in built:
            values = self._shared["described"].get(key)
            state = State(values, self._container, self._shared, f"shared.{key:.12}")
            built[key] = build(state)
            state.close()
        return built[key]


def encode(estimator, out: Writer) -> dict:
    """Return the JSON that describes a fitted estimator.

    Raises
    ------
    InputError
        When its class, or the value of a parameter, cannot be saved.
    """
    from skinensemble.persistence import _sklearn, _voting

    kind = type(estimator).__name__
    for foreign in (_sklearn, _voting):
        if foreign.handles(estimator):
            return foreign.dump(estimator, out)
    if kind not in TYPES or not type(estimator).__module__.startswith("skinensemble."):
        why = f"a {kind} cannot be saved without pickle, which could run code when it is loaded"
        remedy = f"use a member of a type that can: {', '.join([*TYPES, *_sklearn.names()])}"
        raise InputError(message("save", kind, why, remedy))
    return {"type": kind, **estimator._dump(out)}


def decode(state: State):
    """Return the estimator that the JSON describes.

    Raises
    ------
    ModelFileError
        When the type is unknown, or anything is missing or does not fit.
    """
    from skinensemble.persistence import _sklearn, _voting

    kind = state.raw("type", str)
    for foreign in (_sklearn, _voting):
        if foreign.knows(kind):
            return foreign.load(kind, state)
    if kind not in TYPES:
        raise state.fault("type", f"{kind!r:.60} is not a type of this library")
    cls = getattr(importlib.import_module(TYPES[kind]), kind)
    estimator = cls.__new__(cls)
    estimator._load(state)
    return estimator


def dump_params(estimator, *, without=()) -> dict:
    """Return the constructor's parameters as JSON; tuples are marked, so that they come back."""
    params = estimator.get_params(deep=False)
    return {k: _to_json(k, v) for k, v in params.items() if k not in without}


def load_params(estimator, state: State, *, without=()) -> None:
    """Set the constructor's parameters from JSON; all must be there, and no other."""
    values, expected = state.nested("params"), set(estimator._get_param_names()) - set(without)
    odd = (values.keys() ^ expected) - (_CAME_LATER.keys() & expected)
    if odd:
        raise state.fault("params", f"missing or unknown: {first_few(sorted(odd))}")
    for name in expected & values.keys():
        load_param(estimator, values, name)
    for name in expected - values.keys():
        setattr(estimator, name, _CAME_LATER[name])
    size = getattr(estimator, "batch_size", None)
    if isinstance(size, int) and size > _LARGEST_BATCH:
        # A batch is filled up to it, however few the images are.
        raise values.fault("batch_size", f"more than {_LARGEST_BATCH}")


def load_param(estimator, values: State, name: str) -> None:
    """Set one of the constructor's parameters from JSON."""
    setattr(estimator, name, _from_json(values.raw(name), values, name))


def dump_feature_names(estimator) -> dict:
    """Return the names of the columns that an estimator was fitted on, where it knows them."""
    names = getattr(estimator, "feature_names_in_", None)
    return {} if names is None else {"feature_names": names.tolist()}


def load_feature_names(estimator, state: State) -> None:
    """Give an estimator the names of its columns, where the file has them."""
    if not state.keys() & {"feature_names"}:
        return
    names = state.raw("feature_names", list)
    distinct = len({name for name in names if isinstance(name, str)})
    if not distinct == len(names) == estimator.n_features_in_:
        raise state.fault("feature_names", f"not {estimator.n_features_in_} distinct names")
    estimator.feature_names_in_ = np.array(names, dtype=object)


def load_weights(model, state: State) -> None:
    """Give a freshly built Keras model the list of arrays in the entry ``weights``."""
    shapes = [tuple(variable.shape) for variable in model.weights]
    dtypes = [variable.dtype for variable in model.weights]
    assign_weights(model, state.arrays("weights", shapes, dtypes))


def _to_json(name: str, value):
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, tuple):
        return {"tuple": [_to_json(name, item) for item in value]}
    if isinstance(value, list):
        return [_to_json(name, item) for item in value]
    if isinstance(value, dict):
        return {"dict": [[_to_json(name, k), _to_json(name, v)] for k, v in value.items()]}
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float) and np.isfinite(value):
        return value
    why = f"a {type(value).__name__} cannot be saved"
    raise InputError(message("parameter", f"{name}={value!r:.80}", why, "use a plain value"))


def _from_json(value, state: State, name: str):
    if isinstance(value, list):
        return [_from_json(item, state, name) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"tuple"} and isinstance(value["tuple"], list):
        return tuple(_from_json(item, state, name) for item in value["tuple"])
    if set(value) == {"dict"} and isinstance(value["dict"], list):
        pairs = [_from_json(pair, state, name) for pair in value["dict"]]
        if all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
            return dict(pairs)
    raise state.fault(name, "not a parameter's value")


def _fault(container: Container, where: str, why: str, remedy=_ANOTHER_FILE) -> ModelFileError:
    return ModelFileError(message("cannot load", f"{container.path}: {where}", why, remedy))
