"""Changes to the meaning of a saved file: each gives a sound file that says something wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from skinensemble.persistence.container import read_container, write_container

Edit = Callable[[dict, dict], None]
REMOVE = object()


def put(path: str, value: object) -> Edit:
    """Set an entry of the JSON, such as ``root/members/0/1/type``; REMOVE deletes it."""

    def edit(config: dict, arrays: dict) -> None:
        *way, last = [int(key) if key.isdigit() else key for key in path.split("/")]
        at = config
        for key in way:
            at = at[key]
        if value is REMOVE:
            del at[last]
        else:
            at[last] = value

    return edit


def change(name: str, how: Callable[[np.ndarray], np.ndarray]) -> Edit:
    """Change an array."""

    def edit(config: dict, arrays: dict) -> None:
        arrays[name] = how(arrays[name])

    return edit


def both(*edits: Edit) -> Edit:
    def edit(config: dict, arrays: dict) -> None:
        for one in edits:
            one(config, arrays)

    return edit


def drop(name: str) -> Edit:
    return lambda config, arrays: arrays.pop(name)


def add(name: str) -> Edit:
    return lambda config, arrays: arrays.update({name: np.zeros(3)})


def rename(name: str, new: str) -> Edit:
    return lambda config, arrays: arrays.update({new: arrays.pop(name)})


def spoil(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def how(values: np.ndarray) -> np.ndarray:
        values.flat[0] = value
        return values

    return how


def kind(name: str) -> Callable[[np.ndarray], np.ndarray]:
    return lambda values: values.astype(name)


def swap_classes(config: dict, arrays: dict) -> None:
    config["root"]["triage"]["classes"].reverse()


TRIAGE, LINEAR = "root/triage", "root/triage/members/0/1"
RULE, COEF = "root/triage/voting", "triage/linear/coef_"
BUILTIN = {"class_name": "Lambda", "config": {"function": "os.system"}, "module": "builtins"}

# Of a Cascade of scikit-learn members whose triage has a certified threshold.
CASCADE: dict[str, Edit] = {
    "tensor missing": drop(COEF),
    "tensor of the training missing": drop("triage/ballots"),
    "tensor extra": add("triage/linear/spare"),
    "tensor renamed": rename(COEF, "triage/linear/kernel"),
    "tensor of another name": put(f"{LINEAR}/fitted/coef_", {"array": "triage/lda/xbar_"}),
    "tensor transposed": change(COEF, np.transpose),
    "tensor of the training transposed": change("triage/ballots", np.transpose),
    "tensor too short": change("triage/bayes/theta_", lambda values: values[:1]),
    "tensor without axes": change(COEF, lambda values: values.sum()),
    "wrong dtype": change(COEF, kind("float16")),
    "whole numbers for a tensor": change("diagnosis/lda/means_", kind("int64")),
    "wrong dtype, whole numbers": change("triage/folds", kind("float64")),
    "wrong dtype of targets": change("diagnosis/targets", kind("int8")),
    "NaN weight": change(COEF, spoil(np.nan)),
    "infinite weight": change("diagnosis/lda/scalings_", spoil(np.inf)),
    "NaN ballot": change("triage/ballots", spoil(np.nan)),
    "ballot not summing to one": change("triage/ballots", spoil(0.999)),
    "target beyond the classes": change("triage/targets", spoil(2)),
    "target below the classes": change("triage/targets", spoil(-1)),
    "fewer targets than folds": change("triage/targets", lambda values: values[1:]),
    "fewer lesions than folds": change("triage/lesions", lambda values: values[1:]),
    "threshold 1.2": put(f"{RULE}/certificate/threshold", 1.2),
    "threshold negative": put(f"{RULE}/certificate/threshold", -0.1),
    "threshold text": put(f"{RULE}/certificate/threshold", "0.5"),
    "threshold true": put(f"{RULE}/certificate/threshold", True),
    "certificate of no kind": put(f"{RULE}/certificate/kind", "guaranteed"),
    "certificate without lesions": put(f"{RULE}/certificate/n_malignant", 0),
    "more misses than lesions": put(f"{RULE}/certificate/misses", 10**6),
    "more misses than are allowed": put(f"{RULE}/certificate/misses", 60),
    "certificate missing": put(f"{RULE}/certificate", REMOVE),
    "duplicate labels": put("root/classes", ["akiec", "akiec", "bcc", "bkl", "mel"]),
    "labels in another order": swap_classes,
    "labels of mixed types": put("root/classes", ["akiec", 1, "bkl", "mel", "nv"]),
    "one label": put("root/classes", ["mel"]),
    "labels that the stages do not know": put("root/classes", ["a", "b", "c", "mel", "nv"]),
    "labels that a member does not know": put(f"{LINEAR}/fitted/classes_", ["benign", "other"]),
    "nothing malignant": put("root/malignant", []),
    "everything malignant": put("root/malignant", ["akiec", "bcc", "bkl", "mel", "nv"]),
    "no members": put(f"{TRIAGE}/members", []),
    "members of one name": put(f"{TRIAGE}/members/1/0", "linear"),
    "member without a name": put(f"{TRIAGE}/members/1", ["bayes"]),
    "member that is a rule": put(f"{TRIAGE}/members/0/1", {"type": "SoftVote", "params": {}}),
    "rule that is a member": put(RULE, {"type": "Stage"}),
    "stages swapped for one": put("root/diagnosis", {"type": "SoftVote", "params": {}}),
    "unknown type": put(f"{LINEAR}/type", "RandomForestClassifier"),
    "type missing": put(f"{LINEAR}/type", REMOVE),
    "type a number": put(f"{LINEAR}/type", 7),
    "no root": put("root", REMOVE),
    "root a list": put("root", []),
    "no shared": put("shared", REMOVE),
    "shared that nothing refers to": put("shared", {"0": {"backbone": "vgg16"}}),
    "features of another number": put(f"{LINEAR}/fitted/n_features_in_", 5),
    "a parameter unknown": put(f"{LINEAR}/params/alpha", 1.0),
    "a parameter out of range": put(f"{LINEAR}/params/C", -1.0),
    "a parameter an object": put(f"{LINEAR}/params/C", {"object": "x"}),
    "seed a text": put(f"{TRIAGE}/random_state", "0"),
    # Words that would run code where a file may name what is built.
    "type Lambda": put(f"{LINEAR}/type", "Lambda"),
    "type os.system": put(f"{LINEAR}/type", "os.system"),
    "type with a module": put(f"{LINEAR}/type", "sklearn.svm.SVC"),
    "type of this library that is no estimator": put(f"{LINEAR}/type", "FeatureStore"),
    "type dunder": put(f"{LINEAR}/type", "__reduce__"),
    "rule that is not registered": put(f"{RULE}/type", "rule:os.system"),
    "entry registered_name": put(f"{LINEAR}/registered_name", "os>system"),
    "entry module": put(f"{LINEAR}/module", "os"),
    "entry module at the top": put("module", "os"),
    "entry __class__": put("root/__class__", "os.system"),
    "a Keras layer for a member": put(f"{TRIAGE}/members/0/1", BUILTIN),
    "a Keras layer for a parameter": put(f"{LINEAR}/params/class_weight", BUILTIN),
    "os.system for a parameter": put(f"{LINEAR}/params/solver", "os.system"),
    **{
        f"columns first {odd!r}": put(f"{LINEAR}/columns_first", [odd])
        for odd in ("n_features_in_", "classes_", "C", 3, ["coef_"])
    },
    "URL for an array": put(f"{LINEAR}/fitted/coef_", {"array": "https://example.org/w.h5"}),
    "path for an array": put(f"{LINEAR}/fitted/coef_", {"array": "/etc/passwd"}),
    "path beside an array": put(f"{LINEAR}/fitted/coef_", {"array": COEF, "path": "/etc/passwd"}),
    "path for a rule": put(RULE, "/etc/passwd"),
}

BODY, HEAD = "root/body", "root/head"
ACTIVATION = {"dict": [["class_name", "function"], ["config", "system"], ["module", "os"]]}


def _network(path: str, value: object) -> Edit:
    def edit(config: dict, arrays: dict) -> None:
        (key,) = config["shared"]
        put(f"shared/{key}/{path}", value)(config, arrays)

    return edit


def _first(part: str, how: Callable[[np.ndarray], np.ndarray]) -> Edit:
    def edit(config: dict, arrays: dict) -> None:
        name = next(name for name in arrays if name.startswith(part))
        arrays[name] = how(arrays[name])

    return edit


# Of a TransferClassifier.
NETWORK: dict[str, Edit] = {
    "head's tensor transposed": _first("head/", np.transpose),
    "head's tensor of another type": _first("head/", kind("float64")),
    "head's tensor NaN": _first("head/", spoil(np.nan)),
    "body's tensor infinite": _first("networks/", spoil(np.inf)),
    "body's tensor of another type": _first("networks/", kind("float16")),
    "a weight fewer": put(f"{HEAD}/weights/3", REMOVE),
    "a weight twice": put(f"{HEAD}/weights/3", {"array": "head/0001"}),
    "a parameter missing": put(f"{HEAD}/params/units", REMOVE),
    "units beyond any memory": put(f"{HEAD}/params/units", {"tuple": [2**40]}),
    "units a little wider": put(f"{HEAD}/params/units", {"tuple": [6]}),
    "units a text": put(f"{HEAD}/params/units", "os.system"),
    "features of another number": put(f"{HEAD}/n_features", 17),
    "features without number": put(f"{HEAD}/n_features", 0),
    "activation os.system": put(f"{HEAD}/params/activation", "os.system"),
    "activation by module": put(f"{HEAD}/params/activation", ACTIVATION),
    "activation Lambda": put(f"{HEAD}/params/activation", BUILTIN),
    "class_weight a list": put(f"{HEAD}/params/dropout", [0.5]),
    "history missing": put(f"{HEAD}/history", REMOVE),
    "network unknown": put(f"{BODY}/network", "0" * 64),
    "network a path": put(f"{BODY}/network", "/etc/passwd"),
    "backbone unknown": _network("backbone", "os.system"),
    "backbone a URL": _network("backbone", "https://example.org/model.keras"),
    "backbone TFSMLayer": _network("backbone", {"class_name": "TFSMLayer", "filepath": "/etc"}),
    "backbone another": _network("backbone", "mobilenet_v2"),
    "weights a path": put(f"{BODY}/params/weights", "/etc/passwd"),
    "weights of the network a path": _network("weights", "/etc/passwd"),
    "image size negative": _network("image_size", [-32, 32]),
    "image size of one number": _network("image_size", [32]),
    "image size beyond any memory": _network("image_size", [100_000, 100_000]),
    "image size that is no number": _network("image_size", [32.0, True]),
    "pooling os.system": _network("pooling", "os.system"),
    "image fit os.system": _network("image_fit", "os.system"),
}


def edited(path: Path, edits: dict[str, Edit], folder: Path) -> Iterator[tuple[str, Path]]:
    """Write each edit of a saved file to the folder."""
    sound = read_container(path)
    for number, (label, edit) in enumerate(edits.items()):
        config = copy.deepcopy(sound.config)
        arrays = {name: sound.read(name) for name in sound.specs}
        edit(config, arrays)
        target = folder / f"{number:03d}.h5"
        write_container(target, config, arrays)
        yield label, target
