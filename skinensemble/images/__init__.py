"""Images in: files, arrays and PIL images become upright 8-bit RGB, or a clear error.

Nothing here needs Keras or scikit-learn. :func:`as_images` accepts every form that the library
knows and looks at headers only, :class:`ImageSource` reads in batches, :func:`check_images`
decodes all and reports what is bad, :func:`read_image` reads one file and :func:`fit_image`
brings one image to size. :func:`near_copies` finds images that were saved twice.
"""

from __future__ import annotations

from skinensemble.images._check import check_images
from skinensemble.images._fit import fit_image
from skinensemble.images._near_copies import NearCopy, near_copies
from skinensemble.images._problems import ImageProblem
from skinensemble.images._read import read_image
from skinensemble.images._source import ImageSource, as_images
from skinensemble.images._views import dihedral

__all__ = [
    "ImageProblem",
    "ImageSource",
    "NearCopy",
    "as_images",
    "check_images",
    "dihedral",
    "fit_image",
    "near_copies",
    "read_image",
]
