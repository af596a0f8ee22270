"""The ISIC challenges of 2018 (task 3) and 2019: one-hot tables of diagnoses."""

from __future__ import annotations

import os
import posixpath
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skinensemble._paths import expanded
from skinensemble.datasets._download import Remote, fetch, fetch_archive
from skinensemble.datasets._files import FORMATS, ImageIndex, as_folder
from skinensemble.datasets._problems import DatasetProblem, Policy
from skinensemble.datasets._sheet import TOLD, Sheet, is_missing
from skinensemble.datasets._table import Table, read_table
from skinensemble.exceptions import DatasetError, InputError, UngroupedWarning, first_few, message
from skinensemble.taxonomy import DIAGNOSES

__all__ = ["load_isic"]

# Column of the challenges → diagnosis code. AK of 2019 and AKIEC of 2018 are one class.
_CODES = {code.upper(): code for code in DIAGNOSES} | {"AK": "akiec", "SCC": "scc", "UNK": "unk"}
_OTHERS = ("scc", "unk")
_ON, _OFF = frozenset({"1", "1.0"}), frozenset({"0", "0.0"})

_S3 = "https://isic-archive.s3.amazonaws.com/challenges/"


def _part(year: str, name: str, table: str, n_images: int) -> tuple[Remote, Remote]:
    """Return the images and the ground truth of one part of a challenge."""
    images = Remote(f"{name}_Input.zip", f"{_S3}{year}/{name}_Input.zip", n_images=n_images)
    return images, Remote(table, f"{_S3}{year}/{table}")


# The archive publishes no checksums: the number of images and the zip's own CRCs are compared.
_PARTS = {
    f"{name}_GroundTruth.csv": _part(year, name, f"{name}_GroundTruth.{ending}", n_images)
    for year, name, ending, n_images in (
        ("2018", "ISIC2018_Task3_Training", "zip", 10015),
        ("2018", "ISIC2018_Task3_Validation", "zip", 193),
        ("2018", "ISIC2018_Task3_Test", "zip", 1512),
        ("2019", "ISIC_2019_Training", "csv", 25331),
        ("2019", "ISIC_2019_Test", "csv", 8238),
    )
}
_LESIONS = {
    name: Remote(name, f"{_S3}{year}/{name}")
    for year, name in (
        ("2018", "ISIC2018_Task3_Training_LesionGroupings.csv"),
        ("2019", "ISIC_2019_Training_Metadata.csv"),
    )
}
_DESCR = """\
ISIC challenge: dermatoscopic images, one diagnosis each. The training images of 2018 are HAM10000
and are part of those of 2019: do not train on one and test on the other. Several images may show
one lesion: pass the lesion table and split by `groups`.

Source: https://challenge.isic-archive.com/data/
Papers: Codella et al. (2019), https://arxiv.org/abs/1902.03368; Tschandl et al., Scientific Data
    5:180161 (2018), https://doi.org/10.1038/sdata.2018.161; Combalia et al. (2019),
    https://arxiv.org/abs/1908.02288
Licence: CC BY-NC 4.0 (no commercial use).
"""


def load_isic(
    images: str | os.PathLike,
    groundtruth_csv: str | os.PathLike,
    *,
    lesions_csv: str | os.PathLike | None = None,
    other: str | Mapping[str, str] = "drop",
    on_error: str = "raise",
    max_skipped: float = 0.05,
    report: str | os.PathLike | None = None,
    return_X_y: bool = False,
    download: bool = False,
) -> Any:
    r"""Load a part of the ISIC challenge of 2018 (task 3) or 2019.

    They are described in [1]_ and [2]_. Only the tables are read and the folder is listed; no
    image is opened.

    Parameters
    ----------
    images : path
        Folder of the images, with everything below it. Masks and superpixels (names that end in
        ``_segmentation`` or ``_superpixels``) are passed over. An id and a file agree also
        when one of them alone ends in ``_downsampled``.
    groundtruth_csv : path
        One-hot table: a column ``image`` and one column for each class: MEL, NV, BCC, AKIEC
        (2018) or AK (2019), BKL, DF, VASC, SCC, UNK. Other columns only go into the frame.
    lesions_csv : path, optional
        Table with the columns ``image`` and ``lesion_id``: the lesion groupings of 2018 or the
        metadata of 2019. An image whose lesion id is empty there (2,084 of 25,331 in 2019) counts
        as a lesion of its own, and a warning says how many. Without the table ``groups`` is None.
    other : {"drop", "keep"} or mapping, default="drop"
        What becomes of SCC (squamous cell carcinoma) and UNK (none of the others), which are not
        among the seven types. ``"drop"`` leaves them out, with a warning; ``"keep"`` labels them
        ``"scc"`` and ``"unk"``: then name ``"scc"`` in ``Cascade(malignant=...)`` too, or it
        counts as benign; a mapping such as ``{"scc": "akiec"}`` relabels what it names and drops
        the rest.
    on_error : {"raise", "skip"}, default="raise"
        What to do about images without a row or rows without an image, unknown, empty or
        contradicting labels, repeated images and unsafe paths: raise one error that lists
        them, or leave these rows out, with one warning.
    max_skipped : float, default=0.05
        With ``on_error="skip"``, the largest fraction of the rows that may be left out. Losing
        all images of a class is always an error.
    report : path, optional
        CSV file (row, image, problem) to write all problems to, in either case; it replaces an
        earlier report and nothing else.
    return_X_y : bool, default=False
        Return ``(images, target)`` instead of a Bunch. The lesions are only in the Bunch.
    download : bool, default=False
        Fetch what is missing from the ISIC archive. `groundtruth_csv`, and `lesions_csv` if given,
        must have their official file names (``ISIC_2019_Training_GroundTruth.csv``). The archive
        publishes no checksums: the number of images is compared.

    Returns
    -------
    Bunch, or (ndarray, ndarray)
        ``images`` : ndarray of str of shape (n,), absolute paths;
        ``target`` : ndarray of str of shape (n,), diagnosis codes;
        ``groups`` : ndarray of str of shape (n,), the lesion of each image, or None;
        ``frame`` : the table's rows as a DataFrame, None without pandas;
        ``DESCR`` : str; ``problems`` : list of what was left out, each with ``row``, ``image``
        and ``problem``.

    Raises
    ------
    DatasetError
        When tables and images do not agree, or one of them cannot be found or fetched.

    Warns
    -----
    UngroupedWarning
        When images have no lesion id in `lesions_csv`.

    References
    ----------
    .. [1] N. Codella et al., "Skin lesion analysis toward melanoma detection 2018" (2019),
       https://arxiv.org/abs/1902.03368
    .. [2] M. Combalia et al., "BCN20000: dermoscopic lesions in the wild" (2019),
       https://arxiv.org/abs/1908.02288

    Examples
    --------
    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "truth.csv").write_text("image,MEL,NV,AK\nISIC_1,1,0,0\nISIC_2,0,0,1\n")
    >>> _ = (folder / "lesions.csv").write_text("image,lesion_id\nISIC_1,A\nISIC_2,B\n")
    >>> (folder / "images").mkdir()
    >>> for name in ("ISIC_1.jpg", "ISIC_2.jpg"):
    ...     (folder / "images" / name).touch()
    >>> isic = load_isic(
    ...     folder / "images", folder / "truth.csv", lesions_csv=folder / "lesions.csv"
    ... )
    >>> isic.target.tolist(), isic.groups.tolist()
    (['mel', 'akiec'], ['A', 'B'])
    """
    policy = Policy(on_error, max_skipped, report)
    codes = _codes(other)
    truth_path = expanded(groundtruth_csv)
    lesions_path = None if lesions_csv is None else expanded(lesions_csv)
    if download:
        _download(expanded(images), truth_path, lesions_path)
    index = ImageIndex(as_folder(images, "pass the folder of the images"))
    table = read_table(truth_path)
    sheet = Sheet(
        thing=truth_path,
        index=index,
        ids=table.columns[table.find("image", "image_id")],
        labels=[""] * len(table.lines),
        lines=table.lines,
        columns=table.columns,
        problems=table.ragged,
        n_ragged=len(table.ragged),
    )
    _read_labels(sheet, table)
    if lesions_path is not None:
        sheet.tables.append(lesions_path)
        _read_lesions(sheet, read_table(lesions_path))
    _recode(sheet, codes)
    return sheet.load(None, policy=policy, descr=_DESCR, return_X_y=return_X_y)


def _codes(other: str | Mapping[str, str]) -> dict[str, str | None]:
    """Map SCC and UNK to their labels, or to None where they are dropped."""
    if other == "drop":
        return dict.fromkeys(_OTHERS)
    if other == "keep":
        return {code: code for code in _OTHERS}
    remedy = "pass 'drop', 'keep', or a mapping from 'scc' and 'unk' to labels"
    if not isinstance(other, Mapping):
        raise InputError(message("other", repr(other), "it is no known choice", remedy))
    for wrong, why in (
        ([repr(key) for key in other if key not in _OTHERS], "cannot be relabelled"),
        ([repr(one) for one in other.values() if not _is_label(one)], "can be no label"),
    ):
        if wrong:
            raise InputError(message("other", repr(other), f"{first_few(wrong)} {why}", remedy))
    return {code: _label(other[code]) if code in other else None for code in _OTHERS}


def _is_label(value: object) -> bool:
    return isinstance(value, str) and not is_missing(value.strip())


def _label(text: str) -> str:
    """Return a label; one of the seven types in another case is that type."""
    text = text.strip()
    return text.lower() if text.lower() in DIAGNOSES else text


def _read_labels(sheet: Sheet, table: Table) -> None:
    """Turn the one-hot columns into labels; reject rows that are not one-hot."""
    names = [name for name in table.columns if name.upper() in _CODES]
    if len(names) < 2:
        why = f"it has no one-hot columns such as MEL and NV, only {first_few(table.columns)}"
        remedy = "pass the ground truth of task 3 of 2018, or of 2019"
        raise DatasetError(message("table", table.path, why, remedy))
    codes = [_CODES[name.upper()] for name in names]
    for row, cells in enumerate(zip(*(table.columns[name] for name in names), strict=True)):
        on = [code for code, cell in zip(codes, cells, strict=True) if cell in _ON]
        wrong = [cell for cell in cells if cell not in _ON and cell not in _OFF]
        if wrong and not all(map(is_missing, cells)):
            sheet.reject(row, "cells other than 0 and 1", first_few(map(repr, wrong), limit=3))
            sheet.labels[row] = TOLD
        elif len(on) > 1:
            sheet.reject(row, "several labels in a row", ", ".join(on))
            sheet.labels[row] = TOLD
        elif on:
            sheet.labels[row] = on[0]


def _read_lesions(sheet: Sheet, table: Table) -> None:
    """Give each row its lesion, by the image's id."""
    table.require("image", "lesion_id")
    lesions: dict[str, set[str]] = {}
    for name, lesion in zip(table.columns["image"], table.columns["lesion_id"], strict=True):
        lesions.setdefault(_id(name), set()).add("" if is_missing(lesion) else lesion)
    keys = [_id(name) for name in sheet.ids]
    if lesions.keys().isdisjoint(keys):
        why = f"it names none of the images of {sheet.thing}"
        raise DatasetError(message("table", table.path, why, "pass the table of the same part"))
    sheet.problems += [DatasetProblem(*p[:3], f"lesion table, {p.detail}") for p in table.ragged]
    sheet.groups = []
    alone = 0
    for row, (key, name) in enumerate(zip(keys, sheet.ids, strict=True)):
        found = lesions.get(key, set())
        if len(found) != 1:
            kind = "image with several lesions" if found else "not in the lesion table"
            sheet.reject(row, kind, ", ".join(sorted(found)))
        alone += found == {""}
        sheet.groups.append("".join(found) or name if len(found) == 1 else TOLD)
    if alone:
        why = f"{alone} of {len(keys)} images have no lesion id; each counts as a lesion"
        remedy = "images of one lesion may be among them: figures may come out too good"
        text = message("lesions", table.path, why, remedy)
        warnings.warn(text, UngroupedWarning, stacklevel=3)


def _id(name: str) -> str:
    """Return the part of an image's name that all tables share."""
    name = posixpath.basename(name.replace("\\", "/")).casefold()
    stem, ending = posixpath.splitext(name)
    return (stem if ending in FORMATS else name).removesuffix("_downsampled")


def _recode(sheet: Sheet, codes: Mapping[str, str | None]) -> None:
    """Relabel or drop the classes which the seven types do not have."""
    counts = dict.fromkeys(codes, 0)
    for row, label in enumerate(sheet.labels):
        if label not in codes:
            continue
        final = codes[label]
        if final is None:
            sheet.dropped.add(row)
            counts[label] += 1
        else:
            sheet.labels[row] = final
    if sheet.dropped:
        dropped = ", ".join(f"{n} {code}" for code, n in counts.items() if n)
        why = f"{dropped} are not among the seven types and are left out"
        remedy = "pass other='keep' or a mapping to keep them"
        text = message("classes", sheet.thing, why, remedy)
        warnings.warn(text, UserWarning, stacklevel=3)


def _download(images: Path, truth: Path, lesions: Path | None) -> None:
    """Fetch the files with official names that are not there yet."""
    names = [truth.name] + ([] if lesions is None else [lesions.name])
    known = [*_PARTS, *_LESIONS]
    wrong = [name for name in names if name not in known]
    if truth.name not in _PARTS or wrong:
        why = "it is not the name of a file in the ISIC archive"
        remedy = f"download goes by name; there are {first_few(known)}"
        raise InputError(message("download", first_few(wrong or [truth.name]), why, remedy))
    archive, table = _PARTS[truth.name]
    if table.name.endswith(".zip"):
        fetch_archive(table, truth.parent, member=truth.name)
    else:
        fetch(table, truth.parent)
    if lesions is not None:
        fetch(_LESIONS[lesions.name], lesions.parent)
    fetch_archive(archive, images)
