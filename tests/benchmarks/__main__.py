"""Benchmarks, each against a baseline in the same run: ``python -m tests.benchmarks [NAME …]``.

startup     what the command line and the import cost, against ``import tensorflow``
fit         both stages with three frozen members, against ``keras.Model.fit`` on the images
predict     a folder of images on each engine, against ``keras.Model.predict`` and scikit-learn
features    features of a folder of images, against a PyTorch loop with the same weights
early_exit  members who need not be asked, against asking everybody
memory      features of 10,000 images by path: peak memory
scale_out   features by two Dask workers of one core each, against one worker
voting      a million ballots through every rule, against scikit-learn's hard vote and numpy.mean
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
from pathlib import Path

from skinensemble.tables import text_table

NAMES = ("startup", "fit", "predict", "features", "early_exit", "memory", "scale_out", "voting")


def main() -> None:
    """Run the benchmarks that were asked for and print one table each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--data", type=Path, default=Path("../shared/ham10000"))
    parser.add_argument("--weights", type=Path, default=Path("../shared/weights"))
    parser.add_argument(
        "--images",
        type=int,
        default=400,
        help="training images of fit, timed images of predict, early_exit, scale_out",
    )
    parser.add_argument("--store", type=Path, help="folder that keeps the features of early_exit")
    parser.add_argument("--model", type=Path, help="file that keeps the cascade of early_exit")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    args = parser.parse_args()
    machine = f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}"
    figures = {"machine": machine}
    print(machine)
    for name in args.names or NAMES:
        header, rows = importlib.import_module(f"tests.benchmarks.{name}").run(args)
        print(f"\n{name}\n\n{text_table(header, rows)}", flush=True)
        figures[name] = [dict(zip(header, map(str, row), strict=True)) for row in rows]
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
