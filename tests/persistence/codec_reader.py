"""Child process: load estimators, and say what they predict or how they are refused.

Usage: codec_reader.py SOUND HOSTILE, two folders. Prints one JSON object.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
import tiny_backbone  # noqa: F401

from skinensemble import load
from skinensemble.exceptions import ModelFileError

FORBIDDEN = (
    *("import", "exec", "compile", "marshal.loads", "pickle.find_class", "ctypes.dlopen"),
    *("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork"),
)
events: list[str] = []
reading: list[str] = []


def audit(event: str, arguments: tuple) -> None:
    if not reading or not (event.startswith(FORBIDDEN) or event == "open"):
        return
    # An import of what was imported before is a look-up; modules read their own .pyc files.
    if event == "import" and arguments[0] in sys.modules:
        return
    if event == "open" and str(arguments[0]) in reading:
        return
    events.append(f"{Path(reading[0]).name}: {event} {arguments[:1]}"[:200])


def see_that_it_notes() -> None:
    """Open another file than the one that is read; that must be noted."""
    reading[:] = ["/dev/zero"]
    Path("/dev/null").read_bytes()
    reading.clear()
    assert len(events) == 1 and "open " in events[0], events
    events.clear()


def same(folder: Path) -> dict[str, object]:
    """Predictions of every file, compared bit by bit with those stored beside it."""
    report = {}
    for path in sorted(folder.glob("*.h5")):
        with np.load(path.with_suffix(".npz")) as stored:
            estimator, X = load(path), stored["X"]
            report[path.stem] = {
                method: getattr(estimator, method)(X).tobytes() == stored[method].tobytes()
                for method in stored.files
                if method != "X"
            }
    return report


def hostile(folder: Path) -> dict[str, str]:
    """How each file is refused; "accepted" or a foreign error where it is not."""
    for path in sorted(folder.glob("sound*.h5")):
        load(path)  # what is imported to read any file is no single file's doing
    sys.addaudithook(audit)
    see_that_it_notes()
    report = {}
    for path in sorted((folder / "edited").glob("*.h5")):
        reading[:] = [str(path)]
        try:
            load(path)
            report[path.stem] = "accepted"
        except ModelFileError as error:
            report[path.stem] = f"ModelFileError {error}"
        except BaseException as error:
            report[path.stem] = f"{type(error).__name__} {error}"[:300]
        reading.clear()
    return report


if __name__ == "__main__":
    report = {"same": same(Path(sys.argv[1])), "refused": hostile(Path(sys.argv[2]))}
    print(json.dumps(report | {"events": events}))
