"""``skinensemble predict``: verdicts for images, on the screen and in files."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from skinensemble._paths import exists, expanded, is_file, is_folder
from skinensemble.cli._aside import number_or_name
from skinensemble.cli._engines import add_engine_options
from skinensemble.cli._light import is_light, start_again, try_out
from skinensemble.cli._outputs import add_force, check_output, keep_apart
from skinensemble.cli._results import VerdictCsv, VerdictTable, isic_line
from skinensemble.cli._screen import UsageError, count, print_json, progress_on_stderr
from skinensemble.cli.evaluate import check_model, load_cascade
from skinensemble.exceptions import ImageReadError, InputError, first_few, message
from skinensemble.tables import write_csv

__all__ = ["add_parser", "run"]

_EPILOG = """\
Any number of images is answered in constant memory, in order; rows are written as they come. After
an interruption, repeat the command with --resume.

Images that cannot be read keep their row, with the problem in the column "status" and empty
figures. A warning counts them and the exit code stays 0, unless none can be read; with
--on-error raise they are listed, nothing is predicted and the exit code is 1.
"""
# The order of the columns in the submission form of ISIC 2018, task 3.
_ISIC = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
_CHUNK = 256


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
    parser.add_argument("model", metavar="MODEL", help="saved cascade")
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
    parser.add_argument(
        "--early-exit",
        action="store_true",
        help="ask the cheapest members first and stop when the rest cannot change the verdict:"
        " the same verdicts sooner, estimated p, and no probabilities of all diagnoses",
    )
    add_engine_options(parser)
    add_force(parser)
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the file of --output: images that have a row there are left out",
    )
    parser.add_argument(
        "--on-error",
        choices=("skip", "raise"),
        default="skip",
        help="images that cannot be read: leave their row empty (default), or stop",
    )
    parser.set_defaults(run=run, light=True)


def run(args: argparse.Namespace) -> int:
    """Predict, write, show."""
    from skinensemble.cascade._decide import warn_uncalibrated

    _check_resume(args)
    _check_early_exit(args)
    output, isic = check_output(args, "output"), check_output(args, "isic")
    files = _files(args.images)
    keep_apart({"--output": output, "--isic": isic}, [args.model, *files])
    cascade = _loaded(args)
    if cascade is None:
        return start_again()
    if isic is not None:
        _check_isic(cascade.classes_)
    warn_uncalibrated(cascade, args.prevalence)
    how = {"resume": args.resume, "early": args.early_exit}
    results = None if output is None else VerdictCsv(output, cascade, **how)
    if results is not None:
        files = results.left(files)
        _check_same_model(results, cascade, args)
    shown = _Shown(files, cascade, args, results)
    try:
        for row in _predict(cascade, files, args):
            shown.add(row)
    except KeyboardInterrupt:
        if results is not None and results.begun:
            print(f"skinensemble: {output} is kept; --resume goes on with it", file=sys.stderr)
        raise
    finally:
        if results is not None:
            results.close()
    shown.finish(isic)
    return 0


def _check_resume(args: argparse.Namespace) -> None:
    if args.resume and (args.output is None or args.isic is not None or args.force):
        why = "it goes on with one file of verdicts"
        remedy = "pass --output and neither --isic nor --force"
        raise UsageError(message("--resume", "alone", why, remedy))
    if args.resume and args.prevalence == "estimate":
        why = "the images that are left suggest another prevalence than all did"
        raise UsageError(message("--resume", "with --prevalence estimate", why, "pass a share"))


def _check_early_exit(args: argparse.Namespace) -> None:
    other = "--prevalence estimate" if args.prevalence == "estimate" else "--isic"
    if args.early_exit and (args.isic is not None or args.prevalence == "estimate"):
        why = "it needs the probabilities that an early exit does not work out"
        raise UsageError(message("--early-exit", f"with {other}", why, "leave out one of them"))


def _check_same_model(results: VerdictCsv, cascade, args: argparse.Namespace) -> None:
    """Answer the first image of the file again: rows of two models must not be mixed."""
    known = results.first_answer()
    if known is None or not is_file(known["file"]):
        return
    (row,) = _predict(cascade, [known["file"]], args, quiet=True)
    for key in ("verdict", *_NEAR):
        now, then = row.get(key), known[key]
        same = now == then if key == "verdict" else _alike(now, then, _NEAR[key])
        if row["status"] == "ok" and not same:
            why = f"{known['file']} has {key} {then} there and {now} by this model"
            remedy = "resume with the model and options it was begun with, or choose another name"
            raise InputError(message("--resume", args.output, why, remedy))


# Another engine may answer 0.0001 otherwise, and a hundredth of what is small; a threshold is told.
_NEAR = {"p_malignant": 0.1, "threshold": 0.0001}


def _alike(now: float | None, then: str, share: float) -> bool:
    if now is None or not then:
        return now is None and not then
    told = number_or_name(then)
    # What is no number was edited, such as to 0,29.
    return not isinstance(told, str) and abs(now - told) < min(0.001, max(share * now, 1e-9))


class _Shown:
    """Where the rows go, and what is said at the end."""

    def __init__(self, files, cascade, args: argparse.Namespace, results) -> None:
        self._args, self._cascade, self._results = args, cascade, results
        silent = args.json or not files
        self._table = None if silent else VerdictTable(files, cascade, early=args.early_exit)
        self._rows: list[dict[str, Any]] = []
        self._isic: list[list[object]] = []
        self._bad: list[str] = []
        self._sides: Counter[str] = Counter()
        self._asked = 0

    @property
    def good(self) -> int:
        """Number of images that could be read."""
        return self._sides.total()

    def add(self, row: dict[str, Any]) -> None:
        if row["status"] == "ok":
            self._sides[row["verdict"]] += 1
            self._asked += len(row["triage_votes"]) + len(row["diagnosis_votes"])
        else:
            self._bad.append(f"{row['file']} ({row['status']})")
        if self._results is not None:
            self._results.add(row)
        if self._args.isic is not None:
            self._isic.append(isic_line(row, _ISIC))
        if self._table is None:
            self._rows.append(row)
        else:
            self._table.add(row)

    def finish(self, isic: Path | None) -> None:
        total = self.good + len(self._bad)
        shown = first_few(self._bad, 5)
        if total and not self.good:
            raise ImageReadError(message("images", f"all {total}", shown, "copy them again"))
        if isic is not None:
            write_csv(isic, ["image", *_ISIC], self._isic)
        if self._args.json:
            malignant = self._cascade.malignant_.tolist()
            print_json({"model": self._args.model, "malignant": malignant, "images": self._rows})
        if self._bad:
            text = f"{len(self._bad)} of {count(total, 'image')} could not be read: {shown}"
            warnings.warn(text, UserWarning, stacklevel=2)
        if self._results is not None and self._results.known:
            self._say_known(self._results)
        if not total:
            return
        found = ", ".join(f"{number} {side}" for side, number in sorted(self._sides.items()))
        threshold = getattr(self._cascade.triage_.voting_, "threshold_", None)
        if threshold is not None and self._args.prevalence is None:  # else that of each row
            found += f" (malignant from p = {threshold:.3g})"
        print(f"skinensemble: {count(self.good, 'image')}: {found}", file=sys.stderr)
        if self._args.early_exit and self.good:
            stages = self._cascade.triage_, self._cascade.diagnosis_
            members = sum(len(stage.members_) for stage in stages)
            mean = f"{self._asked / self.good:.1f} of {members} members asked on average"
            print(f"skinensemble: early exit: {mean}", file=sys.stderr)

    @staticmethod
    def _say_known(results: VerdictCsv) -> None:
        text = f"{count(results.known, 'image')} had a row there already"
        if results.known_bad:
            text += f", {results.known_bad} of them not read: delete such a row to try it again"
        print(f"skinensemble: {text}", file=sys.stderr)


def _loaded(args: argparse.Namespace):
    """Return the cascade, or None where it does not run without TensorFlow."""
    if not is_light():
        return load_cascade(args)
    check_model(args)
    try:
        cascade = load_cascade(args)
    except Exception:  # of any kind: the ordinary way tells what is wrong
        return None
    with progress_on_stderr(quiet=True):
        runs = try_out(cascade)
    return cascade if runs else None


def _files(given: Sequence[str]) -> list[str]:
    """Expand folders; keep the order of what was given."""
    from skinensemble.datasets._files import ImageIndex

    files: list[str] = []
    for name in given:
        folder = expanded(name)
        if is_folder(folder):
            index = ImageIndex(folder)
            files += map(index.path, sorted([*index.files, *index.formats]))
            _say_links(name, index.links)
        else:
            files.append(str(folder))
    if files and not any(exists(file) for file in files):
        why = "there is no such file"  # known before the networks are loaded
        raise ImageReadError(message("images", first_few(files), why, "correct the paths"))
    return files


def _say_links(folder: str, links: dict[str, str]) -> None:
    """Warn of links that are not followed: they have no row."""
    if links:
        shown = first_few(f"{name} ({why})" for name, why in links.items())
        text = message("links", f"{len(links)} in {folder}", shown, "pass the files they stand for")
        warnings.warn(text, UserWarning, stacklevel=4)


def _predict(
    cascade, files: list[str], args: argparse.Namespace, quiet: bool = False
) -> Iterator[dict[str, Any]]:
    """Yield one row for each file, in order, as they come."""
    from skinensemble.cascade._stream import answers
    from skinensemble.images import check_images

    if args.on_error == "raise" and files:
        check_images(files)
    # An estimate needs all images at once.
    size = len(files) if args.prevalence == "estimate" else _CHUNK
    labels = cascade.classes_.tolist()
    stream = answers(cascade, files, args.prevalence, size, args.early_exit)
    found = _reported(stream, len(files), quiet)
    for file, one in zip(files, found, strict=True):
        row = {} if one.verdict is None else _row(one.verdict, one.proba, labels)
        yield {"file": file, "status": one.status, **row}


def _reported(found: Iterator, total: int, quiet: bool) -> Iterator:
    """Say on standard error how far it is, in place of each network for each chunk."""
    from skinensemble.features._progress import Progress

    with progress_on_stderr():
        progress = Progress("predict", total, int(total > _CHUNK))
    while True:
        with progress_on_stderr(quiet=quiet or total > _CHUNK):
            one = next(found, None)
        if one is None:
            return
        with progress_on_stderr():
            progress.advance(1)
        yield one


def _row(verdict, proba, labels: list) -> dict[str, Any]:
    return {
        "verdict": verdict.answer,
        "p_malignant": _rounded(verdict.p_malignant),
        "threshold": _rounded(verdict.threshold),
        "diagnosis": verdict.diagnosis,
        "p_diagnosis": _rounded(verdict.p_diagnosis),
        "referred": verdict.referred,
        "agreement": _rounded(verdict.agreement),
        "triage_votes": verdict.triage_votes,
        "diagnosis_votes": verdict.diagnosis_votes,
        "probabilities": {}
        if proba is None
        else {str(label): _rounded(float(p)) for label, p in zip(labels, proba, strict=True)},
    }


def _rounded(number: float | None) -> float | None:
    """Return a number to six significant digits: thresholds may be far below a thousandth."""
    return None if number is None else float(f"{number:.6g}")


def _prevalence(text: str) -> float | str:
    if text == "estimate":
        return text
    value = number_or_name(text)
    if isinstance(value, str) or not 0 < value < 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a share between 0 and 1 nor estimate"
        )
    return value


def _check_isic(classes) -> None:
    columns = Counter(str(label).upper() for label in classes)
    remedy = "leave out --isic, or train without these diagnoses"
    for unfit, why in (
        (columns.keys() - set(_ISIC), "the form has the seven types of HAM10000 only"),
        ({one for one, n in columns.items() if n > 1}, "these would share a column"),
    ):
        shown = [str(label) for label in classes if str(label).upper() in unfit]
        if shown:
            raise InputError(message("--isic", first_few(shown), why, remedy))
