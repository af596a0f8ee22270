from __future__ import annotations

import errno
import fcntl
import itertools
import os
import random
import stat
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from container_files import CONFIG, run_python, sample_arrays, start_python
from container_writers import check

from skinensemble.exceptions import ModelFileError, SkinEnsembleError
from skinensemble.persistence import _atomic, _write
from skinensemble.persistence.container import (
    SaveError,
    read_config,
    read_container,
    write_container,
)

CHILD = Path(__file__).with_name("container_writers.py")
STALE = ".skinensemble-0123456789abcdef.tmp"


class Faults:
    """Counts the calls that a save makes to the system, and fails one of them."""

    def __init__(self, patch: pytest.MonkeyPatch, fault: BaseException) -> None:
        self.calls = 0
        self.at: int | None = None
        self.fault = fault
        for owner, name in (
            *((Path, name) for name in ("open", "stat", "chmod", "replace", "exists", "iterdir")),
            *((os, name) for name in ("open", "fsync", "close")),
            *((_atomic, "write_all"), (_write, "write_all"), (fcntl, "flock")),
        ):
            patch.setattr(owner, name, self._wrap(getattr(owner, name), name))

    def _wrap(self, real: Callable, name: str) -> Callable:
        def call(*arguments, **keywords):
            self.calls += 1
            if self.calls - 1 != self.at:
                return real(*arguments, **keywords)
            if name == "write_all":  # a part reaches the disk
                real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
            if name == "close":
                real(*arguments)
            raise self.fault

        return call


@pytest.mark.parametrize("before", [False, True], ids=["new", "overwrite"])
@pytest.mark.parametrize(
    "fault",
    [OSError(errno.EIO, "I/O error"), OSError(errno.ENOSPC, "full"), KeyboardInterrupt()],
    ids=["EIO", "ENOSPC", "Ctrl-C"],
)
def test_a_fault_at_any_step_leaves_the_old_or_the_new_file(tmp_path, before, fault):
    path = tmp_path / "model.h5"
    outcomes = []
    for step in itertools.count():
        path.unlink(missing_ok=True)
        if before:
            write_container(path, {"old": True}, {})
        with pytest.MonkeyPatch.context() as patch:
            faults = Faults(patch, fault)
            faults.at = step
            try:
                write_container(path, CONFIG, sample_arrays())
                raised = None
            except (SaveError, KeyboardInterrupt) as error:
                raised = error
        assert [file for file in tmp_path.iterdir() if file != path] == []
        content = read_config(path) if path.exists() else None
        assert content in ([{"old": True}] if before else [None]) + [CONFIG]
        if raised is None:
            assert content == CONFIG
        elif isinstance(raised, SaveError):
            assert str(path) in str(raised) and raised.errno == fault.errno
        outcomes.append((raised is None, content == CONFIG))
        if faults.calls <= step:
            break
    assert len(outcomes) > 20
    assert outcomes.count((False, False)) > 15  # nearly all steps come before the rename
    assert (False, True) in outcomes  # syncing the folder comes after it
    write_container(path, {"next": True}, {})
    assert read_config(path) == {"next": True}


def test_the_content_is_on_the_disk_before_the_name_and_then_the_name(tmp_path, monkeypatch):
    steps = []
    fsync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        steps.append("folder" if is_folder else os.fstat(descriptor).st_size)
        fsync(descriptor)

    def replaced(self: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    path = tmp_path / "model.h5"
    write_container(path, CONFIG, sample_arrays())
    assert steps == [path.stat().st_size, "rename", "folder"]


@pytest.mark.parametrize("kills", [8, pytest.param(50, marks=pytest.mark.slow)])
def test_a_killed_save_leaves_a_whole_file(tmp_path, kills):
    path = tmp_path / "model.h5"
    moments = random.Random(0)
    write_container(path, {"value": 0}, {f"{i}/w": np.zeros(3, np.uint8) for i in range(5)})
    left_behind = 0
    for _ in range(kills):
        with start_python(CHILD, "forever", path, 50_000_000) as child:
            assert child.stdout.readline() == "ready\n"
            time.sleep(moments.uniform(0, 0.5))
            child.kill()
        assert child.returncode == -9
        check(path)
        left = [file for file in tmp_path.iterdir() if file != path]
        assert len(left) <= 1  # each save removes what the one before it left
        left_behind += len(left)
    assert left_behind > 0
    write_container(path, {"next": True}, {})
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_and_the_process(tmp_path):
    assert run_python(CHILD, "full", tmp_path / "model.h5", 25) == "alive\n"


def test_two_processes_save_to_one_path(tmp_path):
    path = tmp_path / "model.h5"
    children = [start_python(CHILD, "times", path, 50) for _ in range(2)]
    seen = 0
    while any(child.poll() is None for child in children):
        if path.exists():
            check(path)
            seen += 1
        time.sleep(0.005)
    for child in children:
        output, errors = child.communicate()
        assert child.returncode == 0, errors
        assert output == "ready\n"
    assert seen > 5
    assert check(path) == 49
    assert list(tmp_path.iterdir()) == [path]


def test_only_our_own_abandoned_files_are_removed(tmp_path):
    (tmp_path / STALE).write_bytes(b"half")
    others = ["notes.tmp", ".skinensemble-xyz.tmp", ".skinensemble-0123456789abcdef.tmp.h5"]
    for name in others:
        (tmp_path / name).write_bytes(b"mine")
    (tmp_path / ".skinensemble-00000000000000ff.tmp").mkdir()
    (tmp_path / ".skinensemble-00000000000000fe.tmp").symlink_to("notes.tmp")
    write_container(tmp_path / "model.h5", {}, {})
    left = sorted(file.name for file in tmp_path.iterdir())
    assert STALE not in left
    assert len(left) == len(others) + 3


def test_a_file_that_is_being_written_is_left_alone(tmp_path):
    with (tmp_path / STALE).open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        write_container(tmp_path / "model.h5", {}, {})
        assert (tmp_path / STALE).exists()
    write_container(tmp_path / "model.h5", {}, {})
    assert not (tmp_path / STALE).exists()


def test_file_systems_without_locks(tmp_path, monkeypatch):
    def flock(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "not supported")

    monkeypatch.setattr(fcntl, "flock", flock)
    (tmp_path / STALE).write_bytes(b"another's, perhaps")
    write_container(tmp_path / "model.h5", CONFIG, sample_arrays())
    assert read_config(tmp_path / "model.h5") == CONFIG
    assert (tmp_path / STALE).exists()


def test_systems_without_fcntl(tmp_path, monkeypatch):
    monkeypatch.setattr(_atomic, "fcntl", None)
    (tmp_path / STALE).write_bytes(b"half")
    for _ in range(2):
        write_container(tmp_path / "model.h5", CONFIG, sample_arrays())
    assert read_config(tmp_path / "model.h5") == CONFIG
    assert [file.name for file in tmp_path.iterdir()] == ["model.h5"]


def test_a_temporary_file_taken_for_stale_is_made_again(tmp_path, monkeypatch):
    real, taken = fcntl.flock, []

    def flock(descriptor: int, how: int) -> None:
        if len(taken) < 2:
            taken.append(descriptor)
            for path in tmp_path.glob(".skinensemble-*.tmp"):
                path.unlink()
            if len(taken) == 1:
                raise BlockingIOError(errno.EWOULDBLOCK, "locked")
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    write_container(tmp_path / "model.h5", CONFIG, sample_arrays())
    assert len(taken) == 2
    assert read_config(tmp_path / "model.h5") == CONFIG
    assert [file.name for file in tmp_path.iterdir()] == ["model.h5"]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.ENOSPC, "the disk is full or a limit is reached: needs 1 MB in {folder} – free"),
        (errno.EDQUOT, "the disk is full or a limit is reached: needs 1 MB in {folder} – free"),
        (errno.EACCES, "no right to write in {folder} – save elsewhere, or change the folder's"),
        (errno.EROFS, "no right to write in {folder} – save elsewhere, or change the folder's"),
        (errno.EIO, "Input/output error – look at the disk and save again"),
    ],
)
def test_what_the_system_refuses_is_said(tmp_path, monkeypatch, number, text):
    def write_all(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(_write, "write_all", write_all)
    path = tmp_path / "model.h5"
    with pytest.raises(OSError, match="cannot save") as raised:
        write_container(path, CONFIG, sample_arrays())
    assert isinstance(raised.value, SaveError | SkinEnsembleError)
    assert raised.value.errno == number
    assert str(raised.value).startswith(f"cannot save: {path} – ")
    assert text.format(folder=tmp_path) in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_targets_that_cannot_be(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for path, text in (
        (tmp_path, "it is a folder – give the path of a file"),
        (Path("/dev/full"), "it is no ordinary file but a device – give the path of a file"),
        (tmp_path / "pipe", "it is no ordinary file but a device – give the path of a file"),
        (tmp_path / "loop", "Too many levels of symbolic links"),
        (tmp_path / "none" / "x.h5", f"there is no folder {tmp_path / 'none'} – make it first"),
        (tmp_path / "pipe" / "x.h5", "Not a directory"),
        (tmp_path / ("n" * 300), "File name too long"),
        (Path("a\0b"), "null byte"),
    ):
        with pytest.raises(SaveError, match="cannot save: ") as raised:
            write_container(path, {}, {})
        assert text in str(raised.value)
    assert Path("/dev/full").is_char_device()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["loop", "pipe"]


def test_a_folder_that_may_only_be_read(ordinary):
    ordinary.chmod(0o500)
    with pytest.raises(SaveError, match="no right to write in"):
        write_container(ordinary / "model.h5", {}, {})


def test_a_failed_save_does_not_touch_a_damaged_old_file(tmp_path):
    path = tmp_path / "model.h5"
    path.write_bytes(b"damaged")
    with pytest.raises(ModelFileError):
        write_container(path, {"x": float("nan")}, {})
    assert path.read_bytes() == b"damaged"
    write_container(path, CONFIG, {})
    assert read_container(path).config == CONFIG
