"""``skinensemble info``: what is in a saved file, without TensorFlow, Keras or scikit-learn."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from skinensemble.cli._screen import columns, count, escaped, print_json
from skinensemble.engines._engine import PRECISIONS

__all__ = ["add_parser", "describe", "run"]


def add_parser(commands, **options) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "info",
        help="say what is in a saved file",
        description="Check a saved file and say what is in it. The networks are not built.",
        **options,
    )
    parser.add_argument("model", metavar="MODEL", help="saved file")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Read the index of the file and print it."""
    found = describe(args.model)
    if args.json:
        print_json(found)
    else:
        print(_text(_escaped(found)))
    return 0


def describe(path: str) -> dict[str, Any]:
    """Return what is in a saved file as plain dicts, lists and numbers.

    Parameters
    ----------
    path : str

    Returns
    -------
    dict

    Raises
    ------
    ModelFileError
        When the file is missing, damaged or foreign.
    """
    from skinensemble.persistence._codec import State
    from skinensemble.persistence.container import read_container

    container = read_container(path)
    state = State(container.config, container, {}, "file")
    root, shared = state.nested("root"), state.nested("shared")
    kind = root.raw("type", str)
    cascade = kind == "Cascade"
    stages = ["triage", "diagnosis"] if cascade else []
    described = {name: _stage(root.nested(name), shared) for name in stages}
    if kind == "Stage":
        described["stage"] = _stage(root, shared)
    return {
        "file": path,
        "type": kind,
        "malignant": root.raw("malignant", list) if cascade else None,
        "classes": root.raw("classes", list) if cascade else None,
        "route": root.raw("route", str) if cascade else None,
        "referrals": _referrals(root.nested("referrals")) if cascade else {},
        "stages": described,
        "member": None if described else _member(kind, root, shared),
        "training": _training(root.nested("triage") if cascade else root) if described else None,
        "versions": state.raw("versions", dict),
        "format_version": container.version,
        "bytes": Path(path).stat().st_size,
        "sha256": container.sha256,
    }


def _referrals(referrals) -> dict[str, Any]:
    counts = ("n_lesions", "n_decided", "n_errors")
    return {
        stage: {name: referrals.nested(stage).raw(name, int) for name in counts}
        for stage in sorted(referrals.keys(), reverse=True)
    }


def _stage(stage, shared) -> dict[str, Any]:
    members = _pairs(stage, "members")
    inside = _State(stage, dict(members))
    return {
        "classes": stage.raw("classes", list),
        "voting": _voting(stage.nested("voting")),
        "precision": stage.choice("precision", PRECISIONS),
        "members": [_member(name, inside.nested(name), shared) for name, _ in members],
        "failures": _failures(stage),
    }


def _pairs(state, name: str) -> list[tuple[str, Any]]:
    pairs = state.raw(name, list)
    for one in pairs:
        if not (isinstance(one, list) and len(one) == 2 and isinstance(one[0], str)):
            raise state.fault(name, "not pairs of name and estimator")
    return pairs


def _failures(stage) -> list[dict[str, str]]:
    entries = stage.raw("failures", list) if stage.keys() & {"failures"} else []
    for entry in entries:
        texts = isinstance(entry, list) and [type(part) for part in entry] == [str] * 3
        if not texts or not entry[2].isprintable():
            raise stage.fault("failures", "not names of members, where they failed, and why")
    return [dict(zip(("name", "where", "reason"), entry, strict=True)) for entry in entries]


def _State(stage, values):
    container, shared, where = stage.context
    return type(stage)(values, container, shared, f"{where}.members")


def _voting(rule) -> dict[str, Any]:
    kind, keys = rule.raw("type", str), rule.keys()
    found: dict[str, Any] = {"rule": kind}
    if "base" in keys:
        found["base"] = _base(rule.nested("base"))
    method = _calibration(rule)
    if method is not None:
        found["calibration"] = method
    if "certificate" in keys and rule.raw("certificate") is not None:
        certificate = rule.nested("certificate")
        found["certificate"] = {key: certificate.raw(key) for key in sorted(certificate.keys())}
        found["promise"] = _promise(rule)
    return found


def _base(rule) -> str:
    """Name of the pooling rule, and of what lies around it."""
    kind, parts = rule.raw("type", str), rule.keys()
    return f"{kind} over {_base(rule.nested('base'))}" if "base" in parts else kind


def _calibration(rule) -> str | None:
    """Return the method by which the pooled probabilities are calibrated, if they are."""
    if rule.raw("type", str) == "CalibratedVote":
        return rule.nested("params").raw("method", str)
    return _calibration(rule.nested("base")) if rule.keys() & {"base"} else None


def _promise(rule) -> str:
    from skinensemble.thresholds import Certificate

    try:
        return str(Certificate(**rule.raw("certificate", dict)))
    except (TypeError, ValueError, KeyError) as error:
        raise rule.fault("certificate", str(error)) from error


def _member(name: str, member, shared) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "type": member.raw("type", str)}
    keys = set(member.keys())
    for inner in {"classifier", "estimator"} & keys:
        return {**_member(name, member.nested(inner), shared), "type": found["type"]}
    if "folds" in keys:
        folds = _pairs(member, "folds")
        if not folds:
            raise member.fault("folds", "there is none")
        inside = _State(member, dict(folds)).nested(folds[0][0])
        return {**_member(name, inside, shared), "folds": len(folds)}
    if {"body", "head"} <= keys:
        found |= _network(shared.nested(member.nested("body").raw("network", str)))
    if found["type"] == "DenseHead" or ({"head"} <= keys and "cut" not in found):
        found["head"] = _units(member.nested("head") if "head" in keys else member)
    return found


def _network(network) -> dict[str, Any]:
    names = {"backbone": str, "image_size": list, "image_fit": str}
    found = {name: network.raw(name, kind) for name, kind in names.items()}
    if "cut_name" in set(network.keys()):
        found["cut"] = network.raw("cut_name", str)
    return found


def _units(head) -> list[Any]:
    units = head.nested("params").raw("units", (dict, list))
    units = units.get("tuple", []) if isinstance(units, dict) else units
    if not isinstance(units, list):
        raise head.fault("params.units", "not a list of numbers")
    return units


def _training(stage) -> dict[str, Any]:
    import numpy as np

    training = stage.nested("training")
    folds = training.array("folds", shape=(None,))
    if not len(folds):
        raise training.fault("folds", "there is none")
    known = training.keys()
    lesions = training.array("lesions") if "lesions" in known else None
    return {
        "images": len(folds),
        "lesions": None if lesions is None else len(np.unique(lesions)),
        "folds": int(folds.max()) + 1,
    }


def _escaped(value: Any) -> Any:
    """Return what a file says without what a terminal would obey."""
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, dict):
        return {_escaped(key): _escaped(item) for key, item in value.items()}
    return [_escaped(item) for item in value] if isinstance(value, list) else value


def _text(found: dict[str, Any]) -> str:
    lines = [f"{found['file']}: {found['type']}, {found['bytes'] / 1e6:.1f} MB"]
    if found["classes"]:
        benign = [label for label in found["classes"] if label not in found["malignant"]]
        lines.append(f"Malignant: {_join(found['malignant'])}; benign: {_join(benign)}")
    if found["route"]:
        lines.append(f"Route: {found['route']}")
    if found["training"]:
        lines.append(_trained_on(found["training"]))
    for name, stage in found["stages"].items():
        lines += ["", *_stage_lines(name, stage)]
        if name in found["referrals"]:
            counts = found["referrals"][name]
            lines.append(
                f"  refers: {counts['n_decided']} of {counts['n_lesions']} lesions were decided,"
                f" {counts['n_errors']} of these wrongly"
            )
    if found["member"]:
        lines += ["", _member_table([found["member"]])]
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    lines += ["", f"Made with {versions}", f"Format version {found['format_version']}"]
    return "\n".join([*lines, f"SHA-256 {found['sha256']}"])


def _trained_on(training: dict[str, Any]) -> str:
    images = count(training["images"], "image")
    lesions = training["lesions"]
    known = "lesions not known" if lesions is None else f"of {count(lesions, 'lesion')}"
    return f"Trained on {images} {known}, {training['folds']} folds"


def _stage_lines(name: str, stage: dict[str, Any]) -> list[str]:
    voting = stage["voting"]
    rule = f"{voting['rule']} over {voting['base']}" if "base" in voting else voting["rule"]
    if "calibration" in voting:
        rule += f"; calibrated by {voting['calibration']}"
    lines = [f"{name.capitalize()}: {_join(stage['classes'])}; vote: {rule}"]
    if stage["precision"] != PRECISIONS[0]:
        lines.append(f"  ballots cast in {stage['precision']}: predict in it too")
    if "promise" in voting:
        lines.append(f"  {voting['promise']}")
    table = _member_table(stage["members"])
    missing = [f"  without {one['name']}: {one['reason']}" for one in stage["failures"]]
    return [*lines, *(f"  {line}" for line in table.splitlines()), *missing]


def _member_table(members: list[dict[str, Any]]) -> str:
    rows = [
        [
            member["name"],
            member["type"],
            member.get("backbone", ""),
            " × ".join(map(str, member.get("image_size", []))),
            _layers(member),
        ]
        for member in members
    ]
    return columns(["member", "type", "backbone", "pixels", "head"], rows)


def _layers(member: dict[str, Any]) -> str:
    parts = [f"{member['folds']} folds"] if "folds" in member else []
    if "cut" in member:
        every = member["cut"] == "all"
        parts.insert(0, "all layers" if every else f"fine-tuned above {member['cut']}")
    elif "head" in member:
        units = member["head"]
        parts.insert(0, "dense " + "–".join(map(str, units)) if units else "linear")
    return ", ".join(parts)


def _join(labels: list[Any]) -> str:
    return ", ".join(map(str, labels))
