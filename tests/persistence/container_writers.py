"""Child process: save again and again, or on a full disk.

Usage: container_writers.py forever|times|full PATH NUMBER.
"""

from __future__ import annotations

import itertools
import os
import resource
import sys
from pathlib import Path

import numpy as np

from skinensemble.persistence.container import SaveError, read_container, write_container


def content(value: int, size: int) -> tuple[dict, dict[str, np.ndarray]]:
    return {"value": value}, {f"{i}/w": np.full(size // 5, value, np.uint8) for i in range(5)}


def check(path: Path) -> int:
    """Read all of the file; its arrays must be of one save. Returns that save's value."""
    back = read_container(path)
    value = back.config["value"]
    assert all((back.read(name) == value % 256).all() for name in back.specs)
    assert len(back.specs) == 5
    return value


def save(path: Path, values: range | itertools.count, size: int) -> None:
    write_container(path.with_name(f"warm-up-{os.getpid()}.h5"), {}, {})
    path.with_name(f"warm-up-{os.getpid()}.h5").unlink()
    print("ready", flush=True)
    for value in values:
        config, arrays = content(value % 256, size)
        write_container(path, config, arrays)


def full_disk(path: Path, count: int) -> None:
    """Save under file size limits between nothing and just too little."""
    config, arrays = content(1, 300_000)
    write_container(path, config, arrays)
    before = path.read_bytes()
    config, arrays = content(2, 300_000)
    for limit in np.linspace(0, len(before) - 1, count).astype(int).tolist():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            write_container(path, config, arrays)
        except SaveError as error:
            assert f"needs 1 MB in {path.parent}" in str(error), error
            assert isinstance(error, OSError) and error.errno
        else:
            raise AssertionError(f"{limit} bytes were enough")
        assert path.read_bytes() == before
        assert list(path.parent.iterdir()) == [path]
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    write_container(path, config, arrays)
    assert check(path) == 2


if __name__ == "__main__":
    kind, path, number = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    if kind == "forever":
        save(path, itertools.count(), number)
    elif kind == "times":
        save(path, range(number), 50_000)
    else:
        full_disk(path, number)
        print("alive")
