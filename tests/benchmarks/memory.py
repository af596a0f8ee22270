"""Peak memory of reading 10,000 images by path and keeping the features of a whole committee."""

from __future__ import annotations

import subprocess
import sys

_CHILD = """
import resource, sys
from skinensemble.datasets import load_ham10000
from skinensemble.features import BackboneFeatures
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
import keras
print(peak())
images = load_ham10000(sys.argv[1]).images[:10000]
for name in ("mobilenet_v2_035", "mobilenet_v2", "efficientnet_lite0"):
    # 96 pixels: every file is read and every feature kept, in a tenth of the time.
    size = {"weights": None} if name.startswith("mobilenet") else {}
    BackboneFeatures(name, image_size=96, **size).prepare(images)
print(peak())
"""


def run(args):
    """Peak resident memory in GiB, before any image and after three backbones."""
    command = [sys.executable, "-c", _CHILD, str(args.data)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    before, after = map(float, printed[-2:])

    rows = [
        ["Keras and TensorFlow imported (baseline)", f"{before:.2f} GiB", "1.0"],
        ["10,000 images, three backbones", f"{after:.2f} GiB", f"{after / before:.1f}"],
    ]
    return ["state", "peak memory", "ratio"], rows
