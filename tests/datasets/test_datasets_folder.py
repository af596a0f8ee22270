"""Class folders, and lesions from names, functions, mappings and tables."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from dataset_files import digest, touch

from skinensemble.datasets import (
    load_dermamnist,
    load_ham10000,
    load_image_folder,
    load_isic,
)
from skinensemble.datasets._files import FORMATS
from skinensemble.exceptions import DatasetError, InputError
from skinensemble.images._headers import _EXTENSIONS


@pytest.fixture
def own(tmp_path):
    """Twelve images of six lesions in three classes, one class with a subfolder."""
    root = tmp_path / "own"
    for code, lesions in {"mel": (1, 2), "nv": (3, 4), "bkl": (5, 6)}.items():
        touch(root / code, [f"p{lesion}_{view}.jpg" for lesion in lesions for view in "ab"])
    (root / "nv" / "2019").mkdir()
    (root / "nv" / "p4_b.jpg").rename(root / "nv" / "2019" / "p4_b.PNG")
    touch(root / "nv", [".hidden.jpg", "notes.txt", "Thumbs.db"])
    return root


def test_folders_are_classes(own):
    bunch = load_image_folder(own)
    assert bunch.target.tolist() == ["bkl"] * 4 + ["mel"] * 4 + ["nv"] * 4
    assert bunch.images[0] == str(own / "bkl" / "p5_a.jpg")
    assert bunch.images.tolist() == sorted(bunch.images.tolist())
    assert bunch.groups is None
    assert bunch.frame["image"][8] == "nv/2019/p4_b.PNG"
    images, target = load_image_folder(own, return_X_y=True)
    assert images.tolist() == bunch.images.tolist()
    assert target.tolist() == bunch.target.tolist()


def test_a_folder_holds_all_that_can_be_read(tmp_path):
    assert set(_EXTENSIONS) == FORMATS
    touch(tmp_path / "mel", ["a.jfif", "b.JPE", "c.jxl"])
    touch(tmp_path / "nv", ["d.png"])
    with pytest.raises(DatasetError, match=r"c\.jxl"):
        load_image_folder(tmp_path)
    (tmp_path / "mel" / "c.jxl").unlink()
    assert len(load_image_folder(tmp_path).images) == 3


EXPECTED = ["p5", "p5", "p6", "p6", "p1", "p1", "p2", "p2", "p4", "p3", "p3", "p4"]


@pytest.mark.parametrize(
    "groups",
    [
        r"p\d",
        r"/(p\d)_[ab]",
        r"(?P<view>x)?(?P<lesion>p\d)_",
        re.compile(r"p\d"),
        lambda file: file.rsplit("/", 1)[1][:2],
        {f"p{i}_{view}": f"p{i}" for i in range(1, 7) for view in "ab"},
    ],
    ids=["match", "group", "named", "compiled", "callable", "mapping"],
)
def test_lesions_from_rules(own, groups):
    assert load_image_folder(own, groups=groups).groups.tolist() == EXPECTED


@pytest.mark.parametrize("header", ["image,lesion_id", "image_id,lesion"])
def test_lesions_from_a_table(own, tmp_path, header):
    names = ["mel/p1_a.jpg", "p1_b.jpg", "p2_a", "p2_b", "p3_a", "p3_b", "p4_a", "p4_b"]
    names += ["p5_a", "p5_b", "p6_a", "p6_b"]
    rows = [f"{name},{re.search('p[0-9]', name)[0]}" for name in names]
    (tmp_path / "lesions.csv").write_text("\n".join([header, *rows]))
    for groups in (tmp_path / "lesions.csv", str(tmp_path / "lesions.csv")):
        assert load_image_folder(own, groups=groups).groups.tolist() == EXPECTED


def test_a_table_of_lesions_that_contradicts_itself(own, tmp_path):
    table = tmp_path / "lesions.csv"
    rows = [f"p{i}_{view}.jpg,p{i}" for i in (1, 2, 3, 5, 6) for view in "ab"]
    rows += ["p4_a,p4", "p4_b", "p4_b,p4", "p4_b,p4", "p1_a.jpg,p9"]
    table.write_text("\n".join(["image,lesion", *rows]))
    with pytest.raises(DatasetError) as caught:
        load_image_folder(own, groups=table)
    text = str(caught.value)
    assert "1 × image with several lesions ['mel/p1_a.jpg' (p1, p9)]" in text
    assert "1 × wrong number of cells [line 13 'p4_b' (lesion table, 1 instead of 2)]" in text
    with pytest.warns(UserWarning, match="1 of 12 rows"):
        bunch = load_image_folder(own, groups=table, on_error="skip", max_skipped=0.1)
    assert bunch.groups.tolist() == EXPECTED[:4] + EXPECTED[5:]


def test_images_without_a_lesion_are_listed(own):
    with pytest.raises(DatasetError, match=r"2 × no lesion id \['bkl/p6_a.jpg', 'bkl/p6_b.jpg'\]"):
        load_image_folder(own, groups=r"p[1-5]")
    with pytest.warns(UserWarning, match="2 of 12 rows"):
        bunch = load_image_folder(own, groups=r"p[1-5]", on_error="skip", max_skipped=0.2)
    assert len(bunch.images) == len(bunch.groups) == 10


def test_a_lesion_in_two_classes(own):
    touch(own / "mel", ["p5_c.jpg"])
    with pytest.raises(
        DatasetError, match=r"3 × lesion with several labels \['bkl/p5_a.jpg' \(p5: bkl, mel\)"
    ):
        load_image_folder(own, groups=r"p\d")


def test_groups_are_checked(own):
    with pytest.raises(InputError, match="groups: '\\(' – it is no regular expression"):
        load_image_folder(own, groups="(")
    with pytest.raises(InputError, match="groups: 3 – it is no regular expression"):
        load_image_folder(own, groups=3)
    with pytest.raises(DatasetError, match="there is no such file"):
        load_image_folder(own, groups="missing.csv")


def test_the_same_image_in_two_classes(own):
    for code in ("mel", "nv"):
        (own / code / "copy.jpg").write_bytes(b"one image")
        (own / code / "other.jpg").write_bytes(f"another of {code:3}".encode())
    before = digest(own)
    with pytest.raises(DatasetError) as caught:
        load_image_folder(own)
    text = "2 × image with several labels ['mel/copy.jpg' (mel, nv), 'nv/copy.jpg' (mel, nv)]"
    assert text in str(caught.value)
    assert "other.jpg" not in str(caught.value)
    with pytest.warns(UserWarning, match="2 of 16"):
        bunch = load_image_folder(own, on_error="skip", max_skipped=0.2)
    assert len(bunch.images) == 14
    assert digest(own) == before


def test_a_link_to_an_image_of_another_class(own):
    (own / "mel" / "again.jpg").symlink_to(own / "nv" / "p3_a.jpg")
    with pytest.raises(DatasetError, match=r"2 × image with several labels .*mel/again.jpg"):
        load_image_folder(own)


def test_everything_in_the_wrong_place_is_listed(own, tmp_path):
    touch(own, ["stray.jpg"])
    touch(own / "mel", ["scan.dcm", "phone.HEIC"])
    (own / "df").mkdir()
    touch(tmp_path / "elsewhere", ["x.jpg"])
    (own / "vasc").symlink_to(tmp_path / "elsewhere")
    (own / "mel" / "x.jpg").symlink_to(tmp_path / "elsewhere" / "x.jpg")
    with pytest.raises(DatasetError) as caught:
        load_image_folder(own)
    text = str(caught.value)
    assert "1 × not in a class folder ['stray.jpg']" in text
    assert "1 × class folder without images ['df']" in text
    assert "2 × unsafe link [" in text
    assert "2 × format not read [" in text
    assert "'mel/scan.dcm' (.dcm: export it as PNG or JPEG)" in text
    with pytest.warns(UserWarning, match="1 of 13 rows"):
        bunch = load_image_folder(own, on_error="skip", max_skipped=0.1)
    assert len(bunch.images) == 12
    assert len(bunch.problems) == 6


def test_a_class_folder_that_is_a_link_is_told(own):
    (own / ".store").mkdir()
    (own / "mel").rename(own / ".store" / "mel")
    (own / "mel").symlink_to(own / ".store" / "mel")
    with pytest.raises(DatasetError, match=r"unsafe link \['mel' \(it is a link to a folder\)\]"):
        load_image_folder(own)


def test_expected_classes(own):
    classes = ["mel", "nv", "bkl"]
    assert len(load_image_folder(own, classes=classes).images) == 12
    (own / "bkl").rename(own / "BKL2")
    with pytest.raises(DatasetError) as caught:
        load_image_folder(own, classes=classes)
    assert "4 × unknown label ['BKL2/p5_a.jpg' (BKL2)" in str(caught.value)
    assert "1 × class folder without images ['bkl']" in str(caught.value)


def test_folders_named_like_nothing_are_classes(tmp_path):
    touch(tmp_path / "none", ["a.jpg"])
    touch(tmp_path / "some", ["b.jpg"])
    assert load_image_folder(tmp_path).target.tolist() == ["none", "some"]


def test_folders_that_are_no_data_set(own):
    with pytest.raises(DatasetError, match="there is no such folder – pass the folder that holds"):
        load_image_folder(own / "missing")
    with pytest.raises(DatasetError, match="it is a file, not a folder"):
        load_image_folder(own / "mel" / "p1_a.jpg")
    with pytest.raises(DatasetError, match=r"fewer than two class folders \(none\)"):
        load_image_folder(own / "mel")


def test_one_class_is_enough_when_it_is_named(own):
    with pytest.raises(DatasetError, match=r"fewer than two class folders \(2019\)"):
        load_image_folder(own / "nv")
    with pytest.warns(UserWarning, match="3 × not in a class folder"):
        bunch = load_image_folder(own / "nv", classes=["2019"], on_error="skip", max_skipped=1)
    assert bunch.target.tolist() == ["2019"]


@pytest.mark.parametrize("as_text", [True, False])
def test_a_report_replaces_no_table_of_lesions(own, tmp_path, as_text):
    table = tmp_path / "lesions.csv"
    table.write_text("image,lesion\np1_a.jpg,one\n")
    (tmp_path / "link.csv").symlink_to(table)
    for report in (table, tmp_path / "link.csv", own / "mel" / "p1_a.jpg"):
        groups = str(table) if as_text else table
        with pytest.raises(InputError, match=r"^report: .* – it is read as data – choose another"):
            load_image_folder(own, groups=groups, report=report)
    assert table.read_text() == "image,lesion\np1_a.jpg,one\n"


def test_a_report_names_files_whose_names_are_no_unicode(own, tmp_path):
    (own / "nv" / os.fsdecode(b"caf\xe9.gif")).write_bytes(b"GIF89a")
    with pytest.warns(UserWarning, match="format not read"):
        load_image_folder(own, on_error="skip", report=tmp_path / "r.csv")
    assert b"caf\xe9.gif" in (tmp_path / "r.csv").read_bytes()


LOADERS = {
    "ham10000": load_ham10000,
    "isic": lambda path: load_isic(path, "truth.csv"),
    "truth": lambda path: load_isic(".", path),
    "folder": load_image_folder,
    "lesions": lambda path: load_image_folder(".", groups=Path(path)),
    "dermamnist": load_dermamnist,
}


@pytest.fixture
def here(own, monkeypatch):
    monkeypatch.chdir(own)


@pytest.mark.parametrize("loader", LOADERS.values(), ids=LOADERS)
@pytest.mark.parametrize("name", ["x" * 300, "~no-such-user"])
def test_names_that_cannot_be(loader, name, here):
    with pytest.raises(DatasetError, match=f"{name}.* – there is no such f"):
        loader(name)


@pytest.mark.parametrize("loader", LOADERS.values(), ids=LOADERS)
def test_an_empty_name_is_not_the_present_folder(loader, here):
    with pytest.raises((InputError, DatasetError), match="path: '' – it is empty – name a file"):
        loader("") if loader is not LOADERS["lesions"] else load_image_folder("")


def test_folders_that_begin_with_a_tilde(own, monkeypatch):
    monkeypatch.chdir(own.parent)
    own.rename("~own")
    assert len(load_image_folder("~own", report="~report").images) == 12
    assert Path("~report").read_text() == "row,image,problem\n"


def test_files_that_cannot_be_compared(own, monkeypatch):
    for code in ("mel", "nv"):
        (own / code / "copy.jpg").write_bytes(b"one image")

    def read_bytes(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    with pytest.raises(DatasetError, match=r"2 × file that cannot be read .*\(Permission denied\)"):
        load_image_folder(own)


def test_folders_as_deep_as_a_path_may_be_long(own):
    folders = [own / "nv" / "/".join("d" * depth) for depth in range(1, 1201)]
    for folder in folders:
        folder.mkdir()
    image = folders[-1] / "p4_c.jpg"
    image.touch()
    try:
        assert len(load_image_folder(own).images) == 13
    finally:  # pytest could not remove them
        image.unlink()
        for folder in reversed(folders):
            folder.rmdir()


@pytest.mark.parametrize("loader", LOADERS.values(), ids=LOADERS)
def test_what_is_out_of_reach(loader, ordinary, monkeypatch):
    inside = ordinary / "locked" / "data"
    for code in ("mel", "nv"):
        touch(inside / code, ["a.jpg"])
    monkeypatch.chdir(inside)
    inside.parent.chmod(0)
    try:
        with pytest.raises(DatasetError, match=r"there is no such f|cannot be listed"):
            loader(str(inside))
    finally:
        inside.parent.chmod(0o700)
