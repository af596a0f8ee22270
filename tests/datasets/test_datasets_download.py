"""Downloads: whole or not at all, from a real server on this machine that can fail."""

from __future__ import annotations

import hashlib
import io
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest
from dataset_files import HEADER, ham_rows, write_ham

from skinensemble.datasets import (
    _dermamnist,
    _download,
    _ham10000,
    _isic,
    load_dermamnist,
    load_ham10000,
    load_isic,
)
from skinensemble.datasets._download import Remote, fetch, fetch_archive
from skinensemble.exceptions import DatasetError, InputError, UngroupedWarning


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.split("?")[0].strip("/")
        self.server.asked.append(name)
        if name not in self.server.files:
            self.send_error(404)
            return
        data, mode = self.server.files[name], self.server.modes.pop(name, "")
        self.send_response(200)
        if mode != "no length":
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data if not mode else data[: len(data) // 2])
        if mode == "silent":
            self.server.done.wait(20)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    """A server with `files` (name → bytes), `modes` (name → failure, once), `asked` and `url`."""
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    httpd.files, httpd.modes, httpd.asked = {}, {}, []
    httpd.done = threading.Event()
    httpd.url = f"http://127.0.0.1:{httpd.server_port}/"
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield httpd
    httpd.done.set()
    httpd.shutdown()
    httpd.server_close()
    thread.join()


def md5(data):
    return hashlib.md5(data).hexdigest()


def zipped(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def offer(server, name, data, **keywords):
    server.files[name] = data
    return Remote(name, server.url + name, **keywords)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_comes_once_with_a_progress_bar(server, tmp_path, capsys):
    data = bytes(range(256)) * 4000
    remote = offer(server, "a.npz", data, md5=md5(data))
    target = fetch(remote, tmp_path / "new" / "folder")
    assert target.read_bytes() == data
    assert f"{len(data)}/{len(data)}" in capsys.readouterr().out
    assert fetch(remote, target.parent) == target
    assert server.asked == ["a.npz"]
    assert names(target.parent) == ["a.npz"]


@pytest.mark.parametrize("mode", ["cut", "no length"])
@pytest.mark.parametrize("known", [True, False])
def test_a_transfer_that_is_cut_off_leaves_nothing_and_starts_again(server, tmp_path, mode, known):
    data = zipped({"a.jpg": b"x" * 100_000})
    remote = offer(server, "a.zip", data, md5=md5(data) if known else None)
    server.modes["a.zip"] = mode
    with pytest.raises(DatasetError, match=r"download: http://127.0.0.1:.*a.zip – .* – try again"):
        fetch(remote, tmp_path)
    assert names(tmp_path) == []
    assert fetch(remote, tmp_path).read_bytes() == data


def test_what_a_killed_process_left_is_no_file(server, tmp_path):
    data = zipped({"a.jpg": b"x" * 1000})
    remote = offer(server, "a.zip", data)
    (tmp_path / "a.zip.part").write_bytes(data[:500])
    assert fetch(remote, tmp_path).read_bytes() == data
    assert names(tmp_path) == ["a.zip"]


def test_a_server_that_falls_silent(server, tmp_path, monkeypatch):
    monkeypatch.setattr(_download, "_SILENCE", 0.3)
    remote = offer(server, "a.csv", b"x" * 100_000)
    server.modes["a.csv"] = "silent"
    with pytest.raises(DatasetError, match="timed out"):
        fetch(remote, tmp_path)
    assert names(tmp_path) == []


def test_a_wrong_checksum_and_a_missing_page(server, tmp_path):
    remote = offer(server, "a.csv", b"an error page", md5=md5(b"the table"))
    with pytest.raises(DatasetError, match="hash does not match"):
        fetch(remote, tmp_path)
    with pytest.raises(DatasetError, match="404"):
        fetch(Remote("b.csv", server.url + "b.csv"), tmp_path)
    with pytest.raises(DatasetError, match="refused"):
        fetch(Remote("b.csv", "http://127.0.0.1:9/b.csv"), tmp_path)
    assert names(tmp_path) == []


def test_a_file_of_the_users_own_is_not_overwritten(server, tmp_path):
    remote = offer(server, "a.csv", b"published", md5=md5(b"published"))
    (tmp_path / "a.csv").write_bytes(b"mine")
    with pytest.raises(DatasetError, match=r"it is not the published file .* – move it away"):
        fetch(remote, tmp_path)
    assert (tmp_path / "a.csv").read_bytes() == b"mine"
    assert server.asked == []


def test_ctrl_c_leaves_nothing(tmp_path, monkeypatch):
    def get_file(name, **keywords):
        (tmp_path / name).write_bytes(b"half")
        raise KeyboardInterrupt

    fake = SimpleNamespace(utils=SimpleNamespace(get_file=get_file))
    monkeypatch.setitem(sys.modules, "keras", fake)
    with pytest.raises(KeyboardInterrupt):
        fetch(Remote("a.csv", "http://example.invalid/a.csv"), tmp_path)
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match=r"download folder: .* – it cannot be written"):
        fetch(Remote("a.csv", "http://example.invalid/a.csv"), tmp_path / "file" / "folder")


def test_archives_are_unpacked_flat_and_nowhere_else(server, tmp_path):
    members = {
        "Input/a.jpg": b"a",
        "../../escape.jpg": b"b",
        "/absolute.jpg": b"c",
        "..\\back.jpg": b"d",
        "__MACOSX/._a.jpg": b"e",
        "Input/LICENSE.txt": b"f",
        "Input/run.sh": b"g",
    }
    remote = offer(server, "a.zip", zipped(members), n_images=4)
    folder = tmp_path / "data" / "images"
    fetch_archive(remote, folder)
    assert names(folder) == ["a.jpg", "absolute.jpg", "back.jpg", "escape.jpg"]
    assert names(tmp_path) == ["data"]
    assert names(tmp_path / "data") == ["images"]
    fetch_archive(remote, folder)
    assert server.asked == ["a.zip"]


def test_a_link_in_an_archive_becomes_a_file(server, tmp_path):
    member = zipfile.ZipInfo("a.jpg")
    member.external_attr = 0o120777 << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(member, "/etc/passwd")
    fetch_archive(offer(server, "a.zip", buffer.getvalue()), tmp_path / "images")
    assert not (tmp_path / "images" / "a.jpg").is_symlink()
    assert (tmp_path / "images" / "a.jpg").read_bytes() == b"/etc/passwd"


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"a.jpg": b"a"}, "it holds 1 images instead of 2"),
        ({"x/a.jpg": b"a", "y/a.jpg": b"b"}, "it holds a.jpg twice"),
        ({"a.txt": b"a"}, "what is wanted is not in it"),
    ],
)
def test_archives_with_something_else_in_them(server, tmp_path, members, text):
    remote = offer(server, "a.zip", zipped(members), n_images=2)
    with pytest.raises(DatasetError, match=text):
        fetch_archive(remote, tmp_path / "images")
    assert names(tmp_path) == ["a.zip"]


def test_bombs_and_damage_in_archives(server, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jpg", bytes(20_000_000))
    with pytest.raises(DatasetError, match="it would unpack to 20 MB"):
        fetch_archive(offer(server, "bomb.zip", buffer.getvalue()), tmp_path / "images")
    data = bytearray(zipped({"a.jpg": b"x" * 10_000}))
    data[5000] ^= 1
    with pytest.raises(DatasetError, match=r"it is damaged \(Bad CRC-32"):
        fetch_archive(offer(server, "bad.zip", bytes(data)), tmp_path / "images")
    assert names(tmp_path) == ["bad.zip", "bomb.zip"]


def ham_files(server, monkeypatch):
    """Offer a small HAM10000 at the addresses of the loader."""
    table = "\n".join([HEADER, *ham_rows(28)]).encode()
    monkeypatch.setattr(
        _ham10000, "_METADATA", offer(server, "HAM10000_metadata.csv", table, md5=md5(table))
    )
    parts = []
    for part, numbers in enumerate((range(13), range(13, 28)), 1):
        data = zipped({f"ISIC_{i}.jpg": str(i) for i in numbers})
        name = f"HAM10000_images_part_{part}.zip"
        parts.append(offer(server, name, data, md5=md5(data), n_images=len(numbers)))
    monkeypatch.setattr(_ham10000, "_ARCHIVES", tuple(parts))


def test_ham10000_from_nothing_and_after_a_cut(server, tmp_path, monkeypatch):
    ham_files(server, monkeypatch)
    server.modes["HAM10000_images_part_2.zip"] = "cut"
    with pytest.raises(DatasetError, match=r"HAM10000_images_part_2\.zip – .* – try again"):
        load_ham10000(tmp_path / "ham", download=True)
    bunch = load_ham10000(tmp_path / "ham", download=True)
    assert len(bunch.images) == 28
    assert server.asked == [
        "HAM10000_metadata.csv",
        "HAM10000_images_part_1.zip",
        "HAM10000_images_part_2.zip",
        "HAM10000_images_part_2.zip",
    ]
    assert names(tmp_path / "ham") == [
        "HAM10000_images_part_1",
        "HAM10000_images_part_2",
        "HAM10000_metadata.csv",
    ]
    load_ham10000(tmp_path / "ham", download=True)
    assert len(server.asked) == 4


def test_ham10000_that_is_there_in_another_form_is_left_alone(server, tmp_path, monkeypatch):
    ham_files(server, monkeypatch)
    write_ham(tmp_path, table="HAM10000_metadata.tab")
    assert len(load_ham10000(tmp_path, download=True).images) == 28
    assert server.asked == []


def test_ham10000_by_hand_needs_only_unpacking(server, tmp_path, monkeypatch):
    ham_files(server, monkeypatch)
    for name, data in server.files.items():
        (tmp_path / name).write_bytes(data)
    assert len(load_ham10000(tmp_path, download=True).images) == 28
    assert server.asked == []


def test_isic_by_name(server, tmp_path, monkeypatch):
    truth = "ISIC2018_Task3_Training_GroundTruth"
    table = zipped({f"{truth}/{truth}.csv": "image,MEL,NV\nISIC_1,1,0\nISIC_2,0,1\n"})
    images = zipped({"Input/ISIC_1.jpg": b"1", "Input/ISIC_2.jpg": b"2"})
    lesions = "ISIC2018_Task3_Training_LesionGroupings.csv"
    part = (
        offer(server, "Input.zip", images, n_images=2),
        offer(server, f"{truth}.zip", table),
    )
    monkeypatch.setitem(_isic._PARTS, f"{truth}.csv", part)
    grouping = offer(server, lesions, b"image,lesion_id\nISIC_1,A\nISIC_2,B\n")
    monkeypatch.setitem(_isic._LESIONS, lesions, grouping)
    bunch = load_isic(
        tmp_path / "isic" / "images",
        tmp_path / "isic" / f"{truth}.csv",
        lesions_csv=tmp_path / "isic" / lesions,
        download=True,
    )
    assert bunch.target.tolist() == ["mel", "nv"]
    assert bunch.groups.tolist() == ["A", "B"]
    assert names(tmp_path / "isic") == [f"{truth}.csv", lesions, "images"]


def test_dermamnist_by_name(server, tmp_path, monkeypatch):
    buffer = io.BytesIO()
    images, labels = np.zeros((3, 64, 64, 3), np.uint8), np.zeros((3, 1), np.uint8)
    np.savez(buffer, test_images=images, test_labels=labels)
    server.files["dermamnist_64.npz"] = buffer.getvalue()
    monkeypatch.setattr(_dermamnist, "_ZENODO", server.url)
    monkeypatch.setitem(_dermamnist._MD5, 64, md5(buffer.getvalue()))
    with pytest.warns(UngroupedWarning):
        bunch = load_dermamnist(tmp_path, "test", size=64, download=True)
    assert bunch.images.shape == (3, 64, 64, 3)
    assert names(tmp_path) == ["dermamnist_64.npz"]


def test_names_that_have_no_address(tmp_path):
    with pytest.raises(InputError, match=r"download: truth.csv – it is not the name of a file"):
        load_isic(tmp_path, tmp_path / "truth.csv", download=True)
    with pytest.raises(InputError, match=r"download: mine.npz – it is no name of DermaMNIST"):
        load_dermamnist(tmp_path / "mine.npz", download=True)
    with pytest.raises(InputError, match="only the training part is downloaded"):
        load_ham10000(tmp_path, split="test", download=True)


def test_addresses_are_complete():
    remotes = [_ham10000._METADATA, *_ham10000._ARCHIVES, *_isic._LESIONS.values()]
    for images, table in _isic._PARTS.values():
        remotes += [images, table]
        assert images.n_images
    assert len({remote.url for remote in remotes}) == len(remotes) == 15
    for remote in remotes:
        assert remote.url.startswith("https://")
        assert remote.md5 is None or len(remote.md5) == 32
    assert sum(remote.n_images for remote in _ham10000._ARCHIVES) == 10_015
