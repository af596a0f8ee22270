"""``skinensemble predict``: verdicts for images, on the screen and in files."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from skinensemble.cli._engines import add_engine_options
from skinensemble.cli._light import is_light, start_again, try_out
from skinensemble.cli._outputs import add_force, check_output, write_csv
from skinensemble.cli._screen import columns, count, print_json, progress_on_stderr
from skinensemble.cli.evaluate import check_model, load_cascade
from skinensemble.exceptions import InputError, first_few, message

__all__ = ["add_parser", "run"]

_EPILOG = """\
Images that cannot be read keep their row, with the problem in the column "status" and empty
figures. A warning counts them and the exit code stays 0, unless none can be read; with
--on-error raise they are listed, nothing is predicted and the exit code is 1.
"""
# The order of the columns in the submission form of ISIC 2018, task 3.
_ISIC = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
_VERDICT = ("verdict", "p_malignant", "diagnosis", "p_diagnosis", "referred", "agreement")


def add_parser(commands, **options) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "predict",
        help="give verdicts for images",
        description="Print one verdict per image: benign, or malignant and which diagnosis; or"
        " refer, when the cascade was trained to say so and is not sure enough.",
        epilog=_EPILOG,
        **options,
    )
    parser.add_argument("model", metavar="MODEL", help="file that train wrote")
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="image files, and folders with all below them"
    )
    parser.add_argument(
        "--prevalence",
        type=_prevalence,
        metavar="SHARE|estimate",
        help="restate probabilities for a clinic where this share of the images is malignant, or"
        " the share that these images suggest; wants a cascade trained with --calibration",
    )
    parser.add_argument("--output", metavar="CSV", help="write verdicts, votes and probabilities")
    parser.add_argument(
        "--isic", metavar="CSV", help="write the submission form of ISIC 2018, task 3"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    add_engine_options(parser)
    add_force(parser)
    parser.add_argument(
        "--on-error",
        choices=("skip", "raise"),
        default="skip",
        help="images that cannot be read: leave their row empty (default), or stop",
    )
    parser.set_defaults(run=run, light=True)


def run(args: argparse.Namespace) -> int:
    """Predict, write, show."""
    output, isic = check_output(args, "output"), check_output(args, "isic")
    files = _files(args.images)
    cascade = _loaded(args)
    if cascade is None:
        return start_again()
    if isic is not None:
        _check_isic(cascade.classes_)
    rows = _predict(cascade, files, args)
    if output is not None:
        _write_results(output, rows, cascade)
    if isic is not None:
        _write_isic(isic, rows)
    if args.json:
        print_json({"model": args.model, "malignant": cascade.malignant_.tolist(), "images": rows})
    else:
        print(_table(rows))
    _sum_up(rows)
    return 0


def _loaded(args: argparse.Namespace):
    """Return the cascade, or None where it does not run without TensorFlow."""
    if not is_light():
        return load_cascade(args)
    check_model(args)
    try:
        cascade = load_cascade(args)
    except Exception:  # of any kind: the ordinary way tells what is wrong
        return None
    return cascade if try_out(cascade) else None


def _files(given: Sequence[str]) -> list[str]:
    """Expand folders; keep the order of what was given."""
    from skinensemble.datasets._files import ImageIndex
    from skinensemble.exceptions import ImageReadError, first_few, message

    files: list[str] = []
    for name in given:
        folder = Path(name).expanduser()
        if folder.is_dir():
            index = ImageIndex(folder)
            files += [index.path(file) for file in index.files]
        else:
            files.append(str(folder))
    if files and not any(Path(file).exists() for file in files):
        why = "there is no such file"  # known before the networks are loaded
        raise ImageReadError(message("images", first_few(files), why, "correct the paths"))
    return files


def _predict(cascade, files: list[str], args: argparse.Namespace) -> list[dict[str, Any]]:
    """One row for each file, in order."""
    from skinensemble.images import check_images

    source, problems = check_images(files, on_error=args.on_error)
    with progress_on_stderr():
        source = cascade.prepare(source)
        stated = {"prevalence": args.prevalence}
        proba = cascade.predict_proba(source, **stated)
        found = zip(cascade.verdicts(source, **stated), proba, strict=True)
    bad = {problem.index: problem.problem for problem in problems}
    labels = cascade.classes_.tolist()
    return [
        {"file": file} | ({"status": bad[i]} if i in bad else _row(*next(found), labels))
        for i, file in enumerate(files)
    ]


def _row(verdict, proba, labels: list) -> dict[str, Any]:
    return {
        "status": "ok",
        "verdict": verdict.answer,
        "p_malignant": round(verdict.p_malignant, 6),
        "diagnosis": verdict.diagnosis,
        "p_diagnosis": None if verdict.p_diagnosis is None else round(verdict.p_diagnosis, 6),
        "referred": verdict.referred,
        "agreement": round(verdict.agreement, 6),
        "triage_votes": verdict.triage_votes,
        "diagnosis_votes": verdict.diagnosis_votes,
        "probabilities": {
            str(label): round(float(p), 6) for label, p in zip(labels, proba, strict=True)
        },
    }


def _table(rows: list[dict[str, Any]]) -> str:
    shown = _short([row["file"] for row in rows])
    cells = []
    for name, row in zip(shown, rows, strict=True):
        if row["status"] != "ok":
            cells.append([name, "not read", "", "", "", ""])
            continue
        p = "" if row["p_diagnosis"] is None else f"{row['p_diagnosis']:.3f}"
        votes = row["triage_votes"]
        agree = f"{round(row['agreement'] * len(votes))} of {len(votes)}"
        which = f"{row['diagnosis'] or ''}{'?' if row['referred'] == 'diagnosis' else ''}"
        cells.append([name, row["verdict"], f"{row['p_malignant']:.3f}", which, p, agree])
    header = ["file", "verdict", "p malignant", "diagnosis", "p diagnosis", "members agree"]
    return columns(header, cells)


def _prevalence(text: str) -> float | str:
    if text == "estimate":
        return text
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def _short(files: list[str]) -> list[str]:
    """File names alone, where they tell the files apart."""
    names = [Path(file).name for file in files]
    return names if len(set(names)) == len(set(files)) else files


def _write_results(path: Path, rows: list[dict[str, Any]], cascade) -> None:
    members = {
        f"{stage}_votes": [name for name, _ in getattr(cascade, f"{stage}_").members]
        for stage in ("triage", "diagnosis")
    }
    labels = [str(label) for label in cascade.classes_]
    header = ["file", "status", *_VERDICT, *(f"p_{label}" for label in labels)]
    for stage, names in members.items():
        header += [f"{stage.removesuffix('_votes')}_{name}" for name in names]
    lines = []
    for row in rows:
        proba = row.get("probabilities", {})
        line = [row["file"], row["status"], *(row.get(key) for key in _VERDICT)]
        line += [proba.get(label) for label in labels]
        for stage, names in members.items():
            line += [row.get(stage, {}).get(name) for name in names]
        lines.append(line)
    write_csv(path, header, lines)


def _check_isic(classes) -> None:
    foreign = [str(label) for label in classes if str(label).upper() not in _ISIC]
    if foreign:
        why = "the form has the seven types of HAM10000 only"
        remedy = "leave out --isic, or train without these diagnoses"
        raise InputError(message("--isic", first_few(foreign), why, remedy))


def _write_isic(path: Path, rows: list[dict[str, Any]]) -> None:
    lines = []
    for row in rows:
        proba = row.get("probabilities")
        cells = [None if proba is None else proba.get(code.lower(), 0.0) for code in _ISIC]
        lines.append([Path(row["file"]).stem, *cells])
    write_csv(path, ["image", *_ISIC], lines)


def _sum_up(rows: list[dict[str, Any]]) -> None:
    bad = [row for row in rows if row["status"] != "ok"]
    if bad:
        shown = first_few((f"{row['file']} ({row['status']})" for row in bad), 5)
        text = f"{len(bad)} of {count(len(rows), 'image')} could not be read: {shown}"
        warnings.warn(text, UserWarning, stacklevel=2)
    sides = [row.get("verdict") for row in rows]
    found = ", ".join(f"{sides.count(side)} {side}" for side in sorted(filter(None, set(sides))))
    print(f"skinensemble: {count(len(rows) - len(bad), 'image')}: {found}", file=sys.stderr)
