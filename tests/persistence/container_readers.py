"""Child process: read damaged and hostile files within limits, and report what happened.

Usage: container_readers.py damaged|hostile|given PATH COUNT. `given` reads the files that are in
the folder of PATH already. Prints one JSON object.
"""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from container_files import handmade_indexes, hostile_indexes, mutants, seal, split

from skinensemble.exceptions import ModelFileError
from skinensemble.persistence.container import read_container

FORBIDDEN = (
    *("import", "exec", "compile", "marshal.loads", "pickle.find_class", "ctypes.dlopen"),
    *("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.fork"),
)
events: list[str] = []
allowed: set[str] = set()
watching = False


def audit(event: str, arguments: tuple) -> None:
    if watching and (event.startswith(FORBIDDEN) or event == "open"):
        if event == "open" and str(arguments[0]) in allowed:
            return
        events.append(f"{event} {arguments[:1]}")


@contextlib.contextmanager
def limits(path: str) -> Iterator[None]:
    """Five seconds, no other file, no import."""
    global watching
    allowed.clear()
    allowed.add(path)
    signal.alarm(5)
    watching = True
    try:
        yield
    finally:
        watching = False
        signal.alarm(0)


def memory(field: str) -> int:
    """Bytes of memory by a field of Linux' status: VmRSS (now), VmHWM (most since reset)."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split(f"{field}:")[1].split()[0])


@contextlib.contextmanager
def measured(label: str, size: int, report: dict) -> Iterator[None]:
    """Note a growth of memory beyond twice the file and what any small file takes."""
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    yield
    grown = memory("VmHWM") - before
    report["grown"] = max(report["grown"], grown)
    if grown > 2 * size + 2**25:
        report["bad"].append(f"{label}: memory grew by {grown:,} for {size:,} bytes")


def read(path: Path, label: str, report: dict) -> None:
    with measured(label, path.stat().st_size, report):
        attempt(path, label, report)


def attempt(path: Path, label: str, report: dict) -> None:
    """Read all of a file; anything but ModelFileError or true content is noted."""
    name = str(path)
    try:
        with limits(name):
            back = read_container(name)
            arrays = {key: back.read(key) for key in back.specs}
            list(map(repr, (back, back.specs)))
    except ModelFileError as error:
        report["refused"] += 1
        report["messages"][label] = str(error)
        if name not in str(error) or str(error).count(" – ") < 2:
            report["bad"].append(f"{label}: text {error}")
    except BaseException as error:
        report["bad"].append(f"{label}: {type(error).__name__} {error}"[:300])
    else:
        report["accepted"].append(label)
        data = path.read_bytes()
        for key, array in arrays.items():
            spec = back.specs[key]
            if array.tobytes() != data[spec.offset : spec.offset + spec.nbytes]:
                report["bad"].append(f"{label}: {key} is not what the file holds")
        report["contents"][label] = [array.tobytes().hex() for array in arrays.values()]


def see_that_it_notes() -> None:
    """Open another file than is allowed; that must be noted, or nothing proves anything."""
    with limits("/dev/zero"):
        Path("/dev/null").read_bytes()
    assert len(events) == 1 and events[0].startswith("open "), events
    events.clear()


def main(kind: str, path: Path, count: int) -> None:
    report: dict = {"refused": 0, "accepted": [], "bad": [], "messages": {}, "contents": {}}
    report["grown"] = 0
    sound = path.read_bytes() if kind != "given" else b""
    if kind == "given":
        for file in sorted(path.iterdir()):
            read(file, file.name, report)
    elif kind == "damaged":
        for number, data in enumerate(mutants(sound, count)):
            path.write_bytes(data)
            read(path, str(number), report)
    else:
        index, body, block = split(sound)
        made = handmade_indexes(index)
        made |= {str(n): text for n, text in enumerate(hostile_indexes(index, count))}
        for label, text in made.items():
            path.write_bytes(seal(text, body, block=block if len(text) < block - 88 else None))
            read(path, label, report)
    report["events"] = events
    if kind != "given":
        del report["contents"]
    print(json.dumps(report))


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (3 * 2**30, 3 * 2**30))
    with contextlib.suppress(ModelFileError):
        read_container("/")  # whatever the first call imports is not the files' doing
    sys.addaudithook(audit)
    see_that_it_notes()
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
