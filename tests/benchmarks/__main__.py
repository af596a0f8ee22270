"""Benchmarks, each against a baseline in the same run: ``python -m tests.benchmarks [NAME …]``.

startup      what the command line and the import cost, against ``import tensorflow``
fit          both stages with three frozen members, against ``keras.Model.fit`` on the images
fit_engines  the same from a cold store on each engine, against the networks' passes alone
fine_tune    training above a cut on activations, against ``keras.Model.fit`` on the images
predict      a folder of images on each engine, against ``keras.Model.predict`` and scikit-learn
features     features of a folder of images, against a PyTorch loop with the same weights
early_exit   members who need not be asked, against asking everybody
latency      one image, warm and by a fresh command, against the pure engine and against Keras
stream       100,000 images drawn on the way: rate and memory at the end against the beginning
memory       features of 10,000 images by path: peak memory
scale_out    features by two Dask workers of one core each, against one worker
voting       a million ballots through every rule, against scikit-learn's hard vote and numpy.mean
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
from datetime import date
from pathlib import Path

from skinensemble.tables import text_table

NAMES = (
    "startup",
    "fit",
    "fit_engines",
    "fine_tune",
    "predict",
    "features",
    "early_exit",
    "latency",
    "stream",
    "memory",
    "scale_out",
    "voting",
)


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
        help="training images of fit, fit_engines and fine_tune, timed images of the others",
    )
    parser.add_argument("--store", type=Path, help="folder that keeps the features of early_exit")
    parser.add_argument("--model", type=Path, help="file that keeps the cascade of early_exit")
    parser.add_argument("--json", type=Path, help="keep the figures in this file as well")
    args = parser.parse_args()
    for name in args.names or NAMES:
        conditions = describe_machine()
        header, rows = importlib.import_module(f"tests.benchmarks.{name}").run(args)
        print(f"\n{name}: {conditions}\n\n{text_table(header, rows)}", flush=True)
        if args.json and rows:
            cells = [[str(cell) for cell in row] for row in rows]
            keep(args.json, name, {"conditions": conditions, "header": header, "rows": cells})


def describe_machine() -> str:
    """Return the date, the machine, and how busy it was in the minute before."""
    cores, load = os.cpu_count(), os.getloadavg()[0]
    known = Path("/proc/cpuinfo").read_text() if platform.system() == "Linux" else ""
    kinds = [line.split(":")[1].strip() for line in known.splitlines() if "model name" in line]
    kind = kinds[0] if kinds else platform.machine()
    python = f"Python {platform.python_version()}"
    return f"{date.today()}, {cores} CPUs ({kind}), {python}, load before it {load:.1f}"


def keep(path: Path, name: str, found: dict) -> None:
    """Put the figures of one benchmark into the file, in place of older ones."""
    figures = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    figures[name] = found
    text = json.dumps(figures, indent=1, ensure_ascii=False, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
