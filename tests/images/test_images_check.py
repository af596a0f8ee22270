"""Bad images are found before training, listed whole, and none is touched."""

from __future__ import annotations

import csv
import hashlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from skinensemble.exceptions import ImageReadError, InputError
from skinensemble.images import ImageProblem, _files, _source, as_images, check_images


@pytest.fixture
def folder(tmp_path, lesion, encode):
    """A thousand files, of which 30 are bad in three ways, and two only oddly named."""
    good, png = encode(lesion, "JPEG"), encode(lesion, "PNG")
    images = tmp_path / "images"
    images.mkdir()
    for row in range(1000):
        data = good
        if row % 33 == 5 and row < 990:
            data = (good[: len(good) - 60], b"", b"<html>404</html>")[row // 33 % 3]
        if row in (100, 200):
            data = png
        (images / f"{row:04}.jpg").write_bytes(data)
    return images


@pytest.fixture
def few(tmp_path, lesion, encode):
    """Eight good files."""
    images = tmp_path / "few"
    images.mkdir()
    for row in range(8):
        (images / f"{row:04}.jpg").write_bytes(encode(lesion, "JPEG"))
    return images


def tree(folder):
    return {
        (path.name, path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in folder.iterdir()
    }


BAD = [row for row in range(990) if row % 33 == 5]


def test_one_error_lists_all(folder, tmp_path):
    before = tree(folder)
    report = tmp_path / "report.csv"
    paths = sorted(folder.iterdir())
    with pytest.raises(ImageReadError) as caught:
        check_images(paths, report=report)
    text = str(caught.value)
    assert text.startswith(f"images cannot be read: 30 of 1000 – {paths[5]} (")
    assert f"and 20 more; the whole list is in {report} – repair them or leave them out" in text
    assert [one.index for one in caught.value.problems] == BAD
    assert tree(folder) == before


def test_skip_reports_and_keeps_the_order(folder, tmp_path):
    before = tree(folder)
    report = tmp_path / "report – ü.csv"
    paths = sorted(folder.iterdir())
    source, problems = check_images(paths, on_error="skip", report=report)
    kept = [row for row in range(1000) if row not in BAD]
    assert source.names == [str(paths[row]) for row in kept]
    assert [one.index for one in problems] == BAD
    with report.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(one["row"]) for one in rows if one["status"] == "bad"] == BAD
    for one in rows:
        path = paths[int(one["row"])]
        assert one["name"] == str(path)
        assert one["problem"]
        assert one["remedy"]
        data = path.read_bytes()
        assert one["sha256"] == (hashlib.sha256(data).hexdigest() if data else "")
    notes = [(int(one["row"]), one["problem"]) for one in rows if one["status"] == "note"]
    assert notes == [(100, "named .jpg but holds PNG"), (200, "named .jpg but holds PNG")]
    assert tree(folder) == before
    assert [path.name for path in tmp_path.iterdir()] in (
        ["images", report.name],
        [report.name, "images"],
    )


def test_good_images_pass(few):
    good = as_images(sorted(few.iterdir())[:5])
    source, problems = check_images(good)
    assert problems == []
    assert source.names == good.names
    assert source.digests == good.digests


def test_what_was_decoded_whole_is_not_decoded_again(folder, monkeypatch):
    monkeypatch.setattr(_files, "_RACY_NS", 0)  # they were written just now
    paths = [folder / f"{row:04}.jpg" for row in (0, 1, 2, 100)]
    source, _ = check_images(paths)
    decoded = []
    monkeypatch.setattr(_source, "decode", lambda *_: decoded.append(1))
    notes = folder.parent / "report.csv"
    check_images(source[1:], report=notes)
    assert not decoded and "PNG" in notes.read_text()
    paths[2].write_bytes(b"other")
    with pytest.raises(ImageReadError, match="the file changed since it was first read"):
        check_images(source)


def test_a_view_is_numbered_by_its_own_rows(few):
    paths = sorted(few.iterdir())
    view = as_images([paths[4], paths[6], paths[7]])[[2, 0]]
    paths[4].write_bytes(b"gone")
    source, problems = check_images(view, on_error="skip")
    assert source.names == [str(paths[7])]
    assert problems == [
        ImageProblem(
            1,
            str(paths[4]),
            "not an image: it begins with b'gone'",
            "export it as PNG or JPEG (JPEG, PNG, BMP, TIFF and WebP are read)",
            hashlib.sha256(b"gone").hexdigest(),
        )
    ]


def test_arrays_and_mixed_lists(lesion, few):
    images = [lesion, lesion * np.nan, sorted(few.iterdir())[0], None, few]
    source, problems = check_images(images, on_error="skip")
    assert len(source) == 2
    assert source.names[0] == "image 0"
    assert [(one.index, one.name) for one in problems] == [
        (1, "image 1"),
        (3, "image 3"),
        (4, str(few)),
    ]


def test_nothing_left_is_an_error_even_when_skipping(few):
    with pytest.raises(ImageReadError, match="images cannot be read: 2 of 2"):
        check_images(["missing.jpg", few], on_error="skip")


def test_bad_parameters(few, tmp_path, lesion):
    with pytest.raises(InputError, match="on_error: 'ignore' – not one of 'raise', 'skip' – p"):
        check_images([lesion], on_error="ignore")
    with pytest.raises(InputError, match=r"report: .*r\.csv – its folder does not exist – make"):
        check_images([lesion], report=tmp_path / "none" / "r.csv")
    with pytest.raises(InputError, match="the list is empty"):
        check_images([], on_error="skip")


def test_a_report_that_cannot_be_written_leaves_the_old_one(tmp_path, lesion, monkeypatch):
    report = tmp_path / "report.csv"
    old = "row,name,status,problem,remedy,sha256\nold"
    report.write_text(old)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(csv, "writer", full)
    with pytest.raises(OSError, match="No space left"):
        check_images([lesion], report=report)
    assert report.read_text() == old
    assert list(tmp_path.iterdir()) == [report]


def test_a_report_replaces_only_a_report(few, tmp_path):
    image = sorted(few.iterdir())[0]
    before = image.read_bytes()
    with pytest.raises(InputError, match=r"report: .*0000\.jpg – it exists, and is no report – ch"):
        check_images([image], report=image)
    assert image.read_bytes() == before
    with pytest.raises(InputError, match=r"report: .* – it is a folder – give the path of a file"):
        check_images([image], report=few)
    mine = tmp_path / "r.csv.part"
    mine.write_text("mine")
    check_images([image], report=tmp_path / "r.csv")
    check_images([image], report=tmp_path / "r.csv")
    assert mine.read_text() == "mine"


def test_a_report_of_names_that_no_file_can_have(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ImageReadError, match="images cannot be read: 2 of 2"):
        check_images(["\ud800.jpg", "a\r.jpg"], report="~/r.csv")
    with (tmp_path / "r.csv").open(newline="", encoding="utf-8") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["\ufffd.jpg", "a\r.jpg"]


def test_several_threads_write_one_report(few, tmp_path):
    paths, report = sorted(few.iterdir()), tmp_path / "r.csv"
    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(lambda _: check_images(paths, report=report), range(40)))) == 40
    assert [path.name for path in tmp_path.glob("r.csv*")] == ["r.csv"]
