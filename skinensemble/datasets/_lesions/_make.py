"""``make_lesions``: synthetic dermatoscopy-like images of the seven types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.utils import Bunch, check_random_state
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from skinensemble.datasets._lesions._lesion import photograph_lesion
from skinensemble.datasets._lesions._plan import (
    check_range,
    check_share,
    check_whole,
    lesion_types,
    type_weights,
)
from skinensemble.taxonomy import DIAGNOSES

__all__ = ["make_lesions"]

_DESCR = """\
Synthetic dermatoscopy-like lesions
-----------------------------------

{n_images} images of {n_lesions} lesions, {side} × {side} pixels, difficulty {difficulty}.

{table}

Every lesion is drawn from a recipe of its type: how often dermatoscopy finds each structure there
(network, globules, veil, nests, arborising vessels, cysts, lacunae …), its size, its outline and
its pigments. Colours follow from layers of melanin, blood, keratin and fibrosis. Images of one
lesion share all of this and differ in turn, scale, place, light, focus and artefacts.

The images are made for trying and testing software. They are no patient's, and no figure reached
on them says anything about patients.
"""


def make_lesions(
    n_lesions: int = 200,
    *,
    images_per_lesion: int | tuple[int, int] = (1, 3),
    size: int = 128,
    weights: str | Mapping[str, float] | Sequence[float] | None = None,
    difficulty: float = 0.5,
    random_state: Any = None,
    return_X_y: bool = False,
) -> Any:
    """Make synthetic dermatoscopy-like images of all seven types of lesion.

    Parameters
    ----------
    n_lesions : int, default=200
        How many lesions. With an integer `random_state`, more lesions leave the first ones as
        they are.
    images_per_lesion : int or (int, int), default=(1, 3)
        How many images each lesion has: a number, or the least and the most, drawn uniformly.
    size : int, default=128
        Height and width of an image in pixels, at least 16. The same seed gives the same lesions
        at every size.
    weights : {"mild", "balanced", "ham10000"}, dict, sequence of 7 floats or None, default=None
        Share of each type among the lesions: by name, by diagnosis code (codes left out do not
        occur), or in the order of :data:`skinensemble.taxonomy.DIAGNOSES`. None means "mild": an
        imbalance in which each type occurs at least once in 20 lesions. "ham10000" are the shares
        of that data set (nv 72 %, df 1 %).
    difficulty : float, default=0.5
        From 0 (each lesion after the textbook) to 1 (most take after another type as well).
    random_state : int, RandomState instance or None, default=None
        Pass an int for the same images at every call.
    return_X_y : bool, default=False
        Return ``(images, target)`` instead of a Bunch.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        images : ndarray of uint8 of shape (n_images, size, size, 3)
            RGB images; those of one lesion stand together.
        target : ndarray of str of shape (n_images,)
            Diagnosis codes.
        groups : ndarray of str of shape (n_images,)
            Lesion ids: images of one lesion must stay on one side of every split.
        frame : DataFrame of shape (n_images, 3), or None where pandas is not installed
            Columns ``lesion_id``, ``image_id`` and ``dx``.
        target_names : list of str
            The seven codes.
        DESCR : str
            Description of the data set.
    (images, target) : tuple if ``return_X_y`` is True

    Raises
    ------
    InputError
        When a parameter is out of its range.

    Notes
    -----
    How often each type shows each structure follows the textbook descriptions of dermatoscopy
    [1]_ in kind, not in exact frequency. Lesions that take after another type make it a problem
    without a perfect answer: some naevi look like melanoma and some melanomas like naevi.

    References
    ----------
    .. [1] Kittler H, Marghoob AA, Argenziano G, et al. Standardization of terminology in
       dermoscopy/dermatoscopy. J Am Acad Dermatol 2016;74(6):1093-1106.
       :doi:`10.1016/j.jaad.2015.12.038`

    Examples
    --------
    >>> from skinensemble.datasets import make_lesions
    >>> data = make_lesions(20, images_per_lesion=2, size=32, random_state=0)
    >>> data.images.shape, data.images.dtype
    ((40, 32, 32, 3), dtype('uint8'))
    >>> print(*sorted(set(data.target.tolist())))
    akiec bcc bkl df mel nv vasc
    >>> print(*data.groups[:4])
    lesion_00000 lesion_00000 lesion_00001 lesion_00001
    """
    n_lesions = check_whole("n_lesions", n_lesions, 1)
    least, most = check_range("images_per_lesion", images_per_lesion)
    side, hardness = check_whole("size", size, 16), check_share("difficulty", difficulty)
    shares = type_weights(weights)
    root = int(check_random_state(random_state).randint(2**31 - 1))
    types = lesion_types(np.random.SeedSequence([root, 0]), n_lesions, shares)
    codes = np.array(list(DIAGNOSES))
    batches, counts = [], []
    # The products are so small that threads of the linear algebra only get in each other's way.
    with threadpool_limits(limits=1, user_api="blas"):
        for number, kind in enumerate(types):
            seed = np.random.SeedSequence([root, 1, number])
            counts.append(int(np.random.default_rng(seed).integers(least, most + 1)))
            batches.append(photograph_lesion(seed, str(codes[kind]), hardness, counts[-1], side))
    target = np.repeat(codes[types], counts)
    if return_X_y:
        return np.concatenate(batches), target
    groups = np.repeat([f"lesion_{number:05d}" for number in range(n_lesions)], counts)
    return _bunch(np.concatenate(batches), target, groups, hardness)


def _bunch(images: np.ndarray, target: np.ndarray, groups: np.ndarray, hardness: float) -> Bunch:
    """Put the arrays together with a table and a description."""
    rows = [
        f"    {code:6s}{(target == code).sum():6d} images"
        f"{len(np.unique(groups[target == code])):6d} lesions   {name}"
        for code, name in DIAGNOSES.items()
    ]
    text = _DESCR.format(
        n_images=len(target),
        n_lesions=len(np.unique(groups)),
        side=images.shape[1],
        difficulty=hardness,
        table="\n".join(rows),
    )
    return Bunch(
        images=images,
        target=target,
        groups=groups,
        frame=_frame(target, groups),
        target_names=list(DIAGNOSES),
        DESCR=text,
    )


def _frame(target: np.ndarray, groups: np.ndarray) -> Any:
    """Return the table of the images, or None where pandas is not installed."""
    try:
        import pandas as pd
    except ModuleNotFoundError:
        return None
    ids = [f"image_{number:05d}" for number in range(len(target))]
    return pd.DataFrame({"lesion_id": groups, "image_id": ids, "dx": target})
