"""How much the members of a committee differ; members that err alike cannot help each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import combinations

import numpy as np

from skinensemble.exceptions import InputError, message
from skinensemble.tables import text_table
from skinensemble.voting import check_ballots, last_argmax


@dataclass(frozen=True, eq=False)
class Diversity:
    """How two members each agree and err together; prints as a table of pairs.

    Attributes
    ----------
    names : tuple of str
    agreement : ndarray of shape (n_members, n_members)
        Share of images on which both vote for the same class.
    disagreement : ndarray of shape (n_members, n_members)
        Share of images on which exactly one of them is right; more is better.
    q : ndarray of shape (n_members, n_members)
        Yule's Q between being right and being right: 1 when the same images are easy to both, 0
        when they err independently, below 0 when one knows what the other does not. NaN where it
        is not defined, as for a member that is always right.
    double_fault : ndarray of shape (n_members, n_members)
        Share of images on which both are wrong; less is better.
    """

    names: tuple[str, ...]
    agreement: np.ndarray
    disagreement: np.ndarray
    q: np.ndarray
    double_fault: np.ndarray

    @property
    def means(self) -> dict[str, float]:
        """Mean of each measure over the pairs where it is defined; NaN where there is none."""
        pairs = np.triu_indices(len(self.names), 1)
        return {key: _mean(matrix[pairs]) for key, matrix in self._measures().items()}

    def to_dict(self) -> dict:
        """Return names, matrices and means as plain lists, dicts and numbers."""
        matrices = {key: matrix.tolist() for key, matrix in self._measures().items()}
        return {"names": list(self.names), **matrices, "means": self.means}

    def _measures(self) -> dict[str, np.ndarray]:
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "names"}

    def __str__(self):
        measures = self._measures()
        header = ["members", "agreement", "disagreement", "Yule's Q", "double fault"]
        rows = [
            [f"{self.names[i]}, {self.names[j]}", *(f"{m[i, j]:.3f}" for m in measures.values())]
            for i, j in combinations(range(len(self.names)), 2)
        ]
        return text_table(header, [*rows, ["mean", *(f"{v:.3f}" for v in self.means.values())]])


def diversity(ballots, y, names: Sequence[str] | None = None) -> Diversity:
    """Measure, for each pair of members, how they agree and err together [1]_.

    Parameters
    ----------
    ballots : array-like of shape (n_images, n_members, n_classes)
        Of images that the members were not trained on, such as ``ballots_`` of a stage.
    y : array-like of int of shape (n_images,)
        Class indices.
    names : sequence of str of length n_members, default=None
        None numbers the members.

    Returns
    -------
    Diversity

    Raises
    ------
    InputError
        When the ballots cannot be used, or lengths differ.

    References
    ----------
    .. [1] L. I. Kuncheva, C. J. Whitaker, "Measures of diversity in classifier ensembles and their
       relationship with the ensemble accuracy", Machine Learning 51(2), 2003.
       doi:10.1023/A:1022859003006

    Examples
    --------
    >>> votes = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    >>> print(diversity(np.eye(2)[votes], [0, 0, 0, 1], ["resnet50", "vgg16"]))
    | members         | agreement | disagreement | Yule's Q | double fault |
    |:----------------|----------:|-------------:|---------:|-------------:|
    | resnet50, vgg16 |     0.500 |        0.500 |   -1.000 |        0.000 |
    | mean            |     0.500 |        0.500 |   -1.000 |        0.000 |
    """
    ballots, y = check_ballots(ballots), np.asarray(y)
    n_images, n_members, _ = ballots.shape
    names = tuple(map(str, range(n_members) if names is None else names))
    if y.shape != (n_images,) or len(names) != n_members:
        why = f"{n_images} images of {n_members} members, {y.shape} labels, {len(names)} names"
        raise InputError(message("lengths", "ballots, y, names", why, "pass one of each"))
    if y.dtype.kind not in "iub":
        why, remedy = "no class indices", "number the labels first"
        raise InputError(message("y", f"of type {y.dtype}", why, remedy))
    votes = last_argmax(ballots)
    right = (votes == y[:, None]).astype(float)
    both, neither = right.T @ right, (1 - right).T @ (1 - right)
    first, second = right.T @ (1 - right), (1 - right).T @ right
    with np.errstate(invalid="ignore"):
        q = (both * neither - first * second) / (both * neither + first * second)
    agreement = (votes[:, :, None] == votes[:, None]).mean(axis=0)
    return Diversity(names, agreement, (first + second) / n_images, q, neither / n_images)


def _mean(values: np.ndarray) -> float:
    defined = values[np.isfinite(values)]
    return float(defined.mean()) if len(defined) else float("nan")
