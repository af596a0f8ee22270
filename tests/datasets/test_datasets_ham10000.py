"""HAM10000 in its published forms, and every way in which table and images can disagree."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from dataset_files import CODES, HEADER, digest, ham_rows, touch, write_ham
from hypothesis import given
from hypothesis import strategies as st

from skinensemble.datasets import load_ham10000
from skinensemble.exceptions import DatasetError, InputError, SaveError

ISSUE = r"× {} \[line {} '{}'"


# Forms


@pytest.mark.parametrize("table", ["HAM10000_metadata.csv", "ham10000_METADATA.tab"])
@pytest.mark.parametrize(
    "folder", ["images", "HAM10000_images_part_1", "ham10000_Images_Part_2", ""]
)
def test_published_forms(tmp_path, table, folder):
    root = write_ham(tmp_path, folder=folder, table=table)
    bunch = load_ham10000(root)
    assert bunch.images.shape == bunch.target.shape == bunch.groups.shape == (28,)
    assert bunch.images[3] == str(tmp_path / folder / "ISIC_3.jpg")
    assert bunch.target[:4].tolist() == ["akiec", "akiec", "bcc", "bcc"]
    assert bunch.groups[:4].tolist() == ["HAM_0", "HAM_0", "HAM_1", "HAM_1"]
    assert bunch.problems == []
    assert "28 images of 14 lesions (akiec 4, bcc 4," in bunch.DESCR
    assert bunch.frame["age"].dtype == float
    assert bunch.frame["image_id"].tolist() == [f"ISIC_{i}" for i in range(28)]


def test_dataverse_table_without_ending_and_two_parts(tmp_path):
    write_ham(tmp_path, table="HAM10000_metadata", n=0, rows=ham_rows(28))
    (tmp_path / "images").rmdir()
    touch(tmp_path / "HAM10000_images_part_1", [f"ISIC_{i}.jpg" for i in range(14)])
    touch(tmp_path / "HAM10000_images_part_2", [f"ISIC_{i}.JPG" for i in range(14, 28)])
    bunch = load_ham10000(tmp_path)
    parts = Counter(Path(image).parent.name for image in bunch.images)
    assert parts == {"HAM10000_images_part_1": 14, "HAM10000_images_part_2": 14}


def test_kaggle_folders_in_both_cases_count_once(tmp_path):
    write_ham(tmp_path, folder="HAM10000_images_part_1")
    write_ham(tmp_path, folder="ham10000_images_part_1")
    assert len(load_ham10000(tmp_path).images) == 28


def test_the_table_itself_may_be_named(tmp_path):
    write_ham(tmp_path, table="mine.csv")
    assert len(load_ham10000(tmp_path / "mine.csv").images) == 28


def test_test_part_of_the_dataverse_lacks_one_image(tmp_path):
    names = [f"ISIC_{i}.jpg" for i in range(1, 28)]
    touch(tmp_path / "ISIC2018_Task3_Test_Images", names)
    text = "\n".join([HEADER, *ham_rows(28)])
    (tmp_path / "ISIC2018_Task3_Test_GroundTruth.tab").write_text(text.replace(",", "\t"))
    with pytest.warns(UserWarning, match="1 of 28 rows cannot be used: 1 × no image file"):
        bunch = load_ham10000(tmp_path, split="test", on_error="skip")
    assert len(bunch.images) == 27


def test_return_X_y_and_relative_paths(tmp_path, monkeypatch):
    write_ham(tmp_path / "ham")
    monkeypatch.chdir(tmp_path)
    images, target = load_ham10000("ham", return_X_y=True)
    assert images[0] == str(tmp_path / "ham" / "images" / "ISIC_0.jpg")
    assert target.dtype.kind == "U"


def test_without_pandas_the_frame_is_none(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    bunch = load_ham10000(write_ham(tmp_path))
    assert bunch.frame is None
    assert len(bunch.images) == 28


def test_bunches_can_be_indexed_like_arrays(tmp_path):
    bunch = load_ham10000(write_ham(tmp_path))
    melanoma = bunch.target == "mel"
    assert bunch.images[melanoma].shape == (4,)
    assert bunch.frame[melanoma]["dx"].unique().tolist() == ["mel"]


# Disagreements


@pytest.mark.parametrize(
    ("row", "value", "kind", "detail"),
    [
        (5, "HAM_2,ISIC_99,bkl", "no image file", ""),
        (5, "HAM_2,,bkl", "no image id", ""),
        (5, "HAM_2,ISIC_5,", "no label", ""),
        (5, "HAM_2,ISIC_5,NaN", "no label", "nan"),
        (5, "HAM_2,ISIC_5,4", "unknown label", "4"),
        (5, "HAM_2,ISIC_5,2.0", "unknown label", "2.0"),
        (5, "HAM_2,ISIC_5,melanoma", "unknown label", "melanoma"),
        (5, ",ISIC_5,bkl", "no lesion id", ""),
        (5, "HAM_2,ISIC_4,bkl", "duplicate of an earlier row", ""),
        (5, "HAM_2,isic_4.JPG,bkl", "duplicate of an earlier row", ""),
        (5, "HAM_2,images/ISIC_4.jpg,bkl", "duplicate of an earlier row", ""),
    ],
)
def test_a_row_that_cannot_be_used(tmp_path, row, value, kind, detail):
    rows = ham_rows(28)
    rows[row] = value + ",histo,50,male,back"
    root = write_ham(tmp_path, rows)
    image = value.split(",")[1]
    with pytest.raises(DatasetError, match=ISSUE.format(kind, row + 2, re.escape(image))) as caught:
        load_ham10000(root)
    assert str(root / "HAM10000_metadata.csv") in str(caught.value)
    assert "on_error='skip'" in str(caught.value)
    with pytest.warns(UserWarning, match=f"1 of 28 rows cannot be used: .*1 × {kind}"):
        bunch = load_ham10000(root, on_error="skip")
    assert len(bunch.images) == 27
    told = [tuple(problem) for problem in bunch.problems if problem.row]
    assert told == [(row + 2, image, kind, detail)]


def test_one_image_with_two_labels_loses_all_its_rows(tmp_path):
    rows = [*ham_rows(28), "HAM_77,ISIC_4,mel,histo,50,male,back"]
    write_ham(tmp_path, rows)
    with pytest.raises(
        DatasetError, match=r"2 × image with several labels \[line 6 'ISIC_4' \(bkl, mel\), line 30"
    ):
        load_ham10000(tmp_path)
    with pytest.warns(UserWarning, match="2 of 29"):
        bunch = load_ham10000(tmp_path, on_error="skip", max_skipped=0.1)
    assert not any("ISIC_4.jpg" in image for image in bunch.images)


def test_one_image_of_two_lesions_loses_all_its_rows(tmp_path):
    rows = [*ham_rows(28), "HAM_9,ISIC_4,bkl,histo,50,male,back"]
    write_ham(tmp_path, rows)
    with pytest.raises(
        DatasetError, match=r"2 × image with several lesions \[line 6 'ISIC_4' \(HAM_2, HAM_9\)"
    ):
        load_ham10000(tmp_path)


def test_one_lesion_with_two_diagnoses_loses_all_its_images(tmp_path):
    rows = ham_rows(28)
    rows[5] = rows[5].replace("bkl", "mel")
    write_ham(tmp_path, rows)
    with pytest.raises(
        DatasetError, match=r"2 × lesion with several labels \[line 6 'ISIC_4' \(HAM_2: bkl, mel\)"
    ):
        load_ham10000(tmp_path)
    with pytest.warns(UserWarning, match="lesion with several labels"):
        bunch = load_ham10000(tmp_path, on_error="skip", max_skipped=0.1)
    assert "HAM_2" not in bunch.groups


def test_images_without_a_row_are_reported(tmp_path):
    write_ham(tmp_path, ham_rows(28)[:-2])
    with pytest.raises(
        DatasetError,
        match=r"2 × image without a row \['images/ISIC_26.jpg', 'images/ISIC_27.jpg'\]",
    ):
        load_ham10000(tmp_path)
    with pytest.warns(UserWarning, match="image without a row"):
        bunch = load_ham10000(tmp_path, on_error="skip")
    assert len(bunch.images) == 26


def test_every_problem_is_in_one_error(tmp_path):
    rows = ham_rows(28)
    rows[0] = "HAM_0,ISIC_0,xyz,histo,50,male,back"
    rows[2] = "HAM_1,ISIC_222,,histo,50,male,back"
    rows[4] = "HAM_2,ISIC_4"
    rows[6] = "HAM_3,../ISIC_6,df,histo,50,male,back"
    with pytest.raises(DatasetError) as caught:
        load_ham10000(write_ham(tmp_path, rows))
    text = str(caught.value)
    for kind in (
        "unknown label",
        "no label",
        "no image file",
        "wrong number of cells",
        "unsafe path",
    ):
        assert f"1 × {kind}" in text
    assert "4 of 28 rows cannot be used" in text


def test_thirty_bad_rows_of_a_thousand(tmp_path):
    root = write_ham(tmp_path, n=1000)
    for i in range(100, 700, 20):
        (root / "images" / f"ISIC_{i}.jpg").unlink()
    before = digest(root)
    report = tmp_path / "report.csv"
    with pytest.raises(DatasetError) as caught:
        load_ham10000(root, report=report)
    text = str(caught.value)
    assert "30 of 1000 rows cannot be used: 30 × no image file [line 102 'ISIC_100'" in text
    assert "line 282 'ISIC_280' … and 20 more" in text
    assert f"{report} lists all" in text
    told = list(csv.DictReader(report.read_text().splitlines()))
    report.unlink()
    assert len(told) == 30
    assert told[0] == {"row": "102", "image": "ISIC_100", "problem": "no image file"}
    with pytest.warns(UserWarning, match="30 of 1000 rows") as caught_warnings:
        bunch = load_ham10000(root, on_error="skip", report=report)
    assert caught_warnings[0].filename == __file__
    assert len(bunch.images) == 970
    assert len(bunch.problems) == 30
    assert list(csv.DictReader(report.read_text().splitlines())) == told
    report.unlink()
    assert digest(root) == before


def test_skipping_has_a_limit(tmp_path):
    root = write_ham(tmp_path, n=100)
    for i in range(5):
        (root / "images" / f"ISIC_{i}.jpg").unlink()
    with pytest.warns(UserWarning, match="5 of 100"):
        assert len(load_ham10000(root, on_error="skip").images) == 95
    (root / "images" / "ISIC_5.jpg").unlink()
    with pytest.raises(DatasetError, match=r"more than max_skipped=0.05 .* 6 of 100 rows"):
        load_ham10000(root, on_error="skip")
    with pytest.warns(UserWarning, match="6 of 100"):
        assert len(load_ham10000(root, on_error="skip", max_skipped=0.06).images) == 94


def test_losing_a_whole_class_is_always_an_error(tmp_path):
    root = write_ham(tmp_path, n=280)
    rows = [row for row in ham_rows(280) if ",df," not in row]
    rows.append("HAM_3,ISIC_6666,df,histo,50,male,back")
    write_ham(tmp_path, rows, n=0)
    with pytest.raises(DatasetError, match="no image would be left of class df; 1 of 241 rows"):
        load_ham10000(root, on_error="skip", max_skipped=1)


# Paths that a table must not lead to


@pytest.mark.parametrize(
    ("reference", "kind", "detail"),
    [
        ("../secret/ISIC_5.jpg", "unsafe path", "it leads out of the folder"),
        ("images/../../secret/ISIC_5.jpg", "unsafe path", "it leads out of the folder"),
        ("..\\secret\\ISIC_5.jpg", "unsafe path", "it leads out of the folder"),
        ("{secret}/ISIC_5.jpg", "unsafe path", "it is absolute and outside the folder"),
        ("C:\\secret\\ISIC_5.jpg", "unsafe path", "it is absolute and outside the folder"),
        ("~/ISIC_5.jpg", "unsafe path", "it points to a home folder"),
        ("https://example.org/ISIC_5.jpg", "unsafe path", "it is an address, not a file"),
        ("gs://bucket/ISIC_5.jpg", "unsafe path", "it is an address, not a file"),
        ("ISIC_5.jpg\0.png", "unsafe path", "it has a NUL byte"),
        ("leaving", "unsafe link", "it leads out of the folder"),
        ("leaving_folder/ISIC_5", "no image file", ""),
        ("loop", "unsafe link", "it leads nowhere"),
        ("dangling.jpg", "unsafe link", "it leads nowhere"),
        ("twin", "more than one file", "images/TWIN.jpg and images/twin.jpg"),
        ("folder", "no image file", ""),
        ("scan", "format not read", ".heic: export it as PNG or JPEG"),
        ("missing", "no image file", ""),
        ("x" * 5000, "no image file", ""),
    ],
)
def test_paths_that_are_not_followed(tmp_path, reference, kind, detail):
    root = write_ham(tmp_path / "ham", n=40)
    touch(tmp_path / "secret", ["ISIC_5.jpg"])
    images = root / "images"
    (images / "leaving.jpg").symlink_to(tmp_path / "secret" / "ISIC_5.jpg")
    (images / "leaving_folder").symlink_to(tmp_path / "secret")
    (images / "loop.jpg").symlink_to(images / "loop.jpg")
    (images / "dangling.jpg").symlink_to(images / "nothing.jpg")
    (images / "folder.jpg").mkdir()
    touch(images, ["twin.jpg", "TWIN.jpg", "scan.heic"])
    rows = ham_rows(40)
    reference = reference.format(secret=tmp_path / "secret")
    rows[5] = f"HAM_2,{reference},bkl,histo,50,male,back"
    write_ham(root, rows, n=40)
    with pytest.warns(UserWarning, match=kind):
        bunch = load_ham10000(root, on_error="skip")
    found = [p for p in bunch.problems if p.row == 7]
    assert [(p.kind, p.detail) for p in found] == [(kind, detail)]
    assert len(bunch.images) == 39
    assert all(Path(image).parent == images for image in bunch.images)


@pytest.mark.parametrize("name", ["pair.jpg", "images/Pair.JPG", "pair.jpg.png"])
def test_a_whole_name_means_that_file(tmp_path, name):
    root = write_ham(tmp_path, n=40)
    touch(root / "images", ["pair.jpg", "pair.jpg.png"])
    rows = ham_rows(40)
    rows[5] = f"HAM_2,{name},bkl,histo,50,male,back"
    write_ham(root, rows, n=40)
    with pytest.warns(UserWarning, match="2 × image without a row"):
        bunch = load_ham10000(root, on_error="skip")
    wanted = "pair.jpg.png" if name.endswith("png") else "pair.jpg"
    assert Path(bunch.images[5]).name == wanted


def test_nothing_but_the_table_is_opened(tmp_path):
    root = write_ham(tmp_path / "ham", n=40)
    touch(tmp_path / "secret", ["a.jpg"])
    (root / "images" / "link.jpg").symlink_to(tmp_path / "secret" / "a.jpg")
    rows = ham_rows(40)
    for i, bad in enumerate(("../secret/a.jpg", f"{tmp_path}/secret/a.jpg", "link")):
        rows[i] = f"HAM_{i},{bad},mel,histo,50,male,back"
    write_ham(root, rows, n=40)
    program = (
        "import sys, warnings\n"
        "from skinensemble.datasets import load_ham10000\n"
        "import pandas\n"
        "warnings.simplefilter('ignore')\n"
        f"load_ham10000({str(root)!r}, on_error='skip', max_skipped=1)\n"
        "seen = []\n"
        "sys.addaudithook(lambda e, a: seen.append((e, a[0])) if e in watched else None)\n"
        "watched = {'open', 'os.scandir', 'os.listdir', 'socket.connect'}\n"
        f"load_ham10000({str(root)!r}, on_error='skip', max_skipped=1)\n"
        "watched = set()\n"
        "print(*sorted({f'{e} {p}' for e, p in seen}), sep='\\n')\n"
        "print('keras' in sys.modules, 'PIL' in sys.modules)\n"
    )
    run = [sys.executable, "-c", program]
    cwd = Path(__file__).parents[2]
    output = subprocess.run(run, capture_output=True, text=True, check=True, cwd=cwd).stdout
    assert output.splitlines() == [
        f"open {root}/HAM10000_metadata.csv",
        f"os.scandir {root}",
        f"os.scandir {root}/images",
        "False False",
    ]


def test_a_link_to_an_image_of_the_data_set_is_that_image(tmp_path):
    root = write_ham(tmp_path)
    (root / "images" / "again.jpg").symlink_to(root / "images" / "ISIC_4.jpg")
    rows = [*ham_rows(28), "HAM_2,again,bkl,histo,50,male,back"]
    write_ham(root, rows)
    with pytest.raises(DatasetError, match=r"1 × duplicate of an earlier row \[line 30 'again'\]"):
        load_ham10000(root)
    rows = ham_rows(28)
    rows[4] = rows[4].replace("ISIC_4", "again")
    write_ham(root, rows)
    bunch = load_ham10000(root)
    assert bunch.images[4] == str(root / "images" / "again.jpg")
    assert bunch.problems == []


def test_an_absolute_path_inside_is_accepted(tmp_path):
    rows = ham_rows(28)
    rows[0] = f"HAM_0,{tmp_path}/images/ISIC_0.jpg,akiec,histo,50,male,back"
    assert len(load_ham10000(write_ham(tmp_path, rows)).images) == 28


def test_an_image_folder_that_is_a_link_out_of_the_data_set(tmp_path):
    root = write_ham(tmp_path / "ham")
    (root / "images").rename(tmp_path / "elsewhere")
    (root / "images").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DatasetError, match="a link that leads out of the data set – move"):
        load_ham10000(root)
    (tmp_path / "alias").symlink_to(write_ham(tmp_path / "whole"))
    bunch = load_ham10000(tmp_path / "alias")
    assert bunch.images[0] == str(tmp_path / "alias" / "images" / "ISIC_0.jpg")


# Arguments and folders


def test_folders_that_are_no_data_set(tmp_path):
    with pytest.raises(DatasetError, match=r"no such folder – .* download=True to fetch it"):
        load_ham10000(tmp_path / "missing")
    with pytest.raises(DatasetError, match=r"no table HAM10000_metadata.csv"):
        load_ham10000(tmp_path)
    write_ham(tmp_path, ham_rows(3), n=0)
    touch(tmp_path, ["HAM10000_images_part_1.zip"])
    with pytest.raises(DatasetError, match=r"it holds no image, .* unpack the images"):
        load_ham10000(tmp_path)
    for name, target in {"ISIC_1.jpg": "/elsewhere/1.jpg", "ISIC_2.jpg": "nothing.jpg"}.items():
        (tmp_path / "images" / name).symlink_to(target)
    said = r"ISIC_1.jpg: it leads out of the folder, .*ISIC_2.jpg: it leads nowhere"
    with pytest.raises(DatasetError, match=said):
        load_ham10000(tmp_path)
    (tmp_path / "HAM10000_metadata.csv").write_text("image,label\na,mel\n")
    with pytest.raises(DatasetError, match="no column 'image_id', 'lesion_id', 'dx'"):
        load_ham10000(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [("on_error", "ignore"), ("max_skipped", 5), ("max_skipped", "all"), ("split", "val")],
)
def test_parameters_that_make_no_sense(tmp_path, name, value):
    with pytest.raises(InputError, match=f"{name}: '?{value}'? – "):
        load_ham10000(tmp_path, **{name: value})


def test_reports_that_cannot_be_written(tmp_path):
    root = write_ham(tmp_path)
    with pytest.raises(InputError, match="it is read as data"):
        load_ham10000(root, report=root / "HAM10000_metadata.csv")
    with pytest.raises(SaveError, match=r"cannot save: .* – there is no folder .* – make it first"):
        load_ham10000(root, report=tmp_path / "nowhere" / "report.csv")
    load_ham10000(root, report=tmp_path / "report.csv")
    assert (tmp_path / "report.csv").read_text() == "row,image,problem\n"


# Any table


@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["A", "B", "C", "", "nan"]),
            st.sampled_from(["ISIC_0", "ISIC_1", "isic_1.jpg", "ISIC_2", "ISIC_9", "../x", ""]),
            st.sampled_from(["mel", "nv", "NV", "", "xyz"]),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_whatever_the_table_says_the_rest_is_consistent(tmp_path_factory, rows):
    root = tmp_path_factory.mktemp("ham")
    write_ham(root, [",".join([*row, "histo", "5", "male", "back"]) for row in rows], n=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            bunch = load_ham10000(root, on_error="skip", max_skipped=1)
        except DatasetError as error:
            assert "no image would be left of class" in str(error)
            return
    assert len(set(bunch.images)) == len(bunch.images)
    assert set(bunch.target) <= set(CODES)
    lesions = {(group, label) for group, label in zip(bunch.groups, bunch.target, strict=True)}
    assert len({group for group, _ in lesions}) == len(lesions)
    assert all(Path(image).exists() for image in bunch.images)
    blamed = {problem.row for problem in bunch.problems} - {None}
    assert len(blamed) + len(bunch.images) == len(rows)


# The real one


@pytest.mark.slow
def test_the_whole_data_set(ham10000):
    bunch = load_ham10000(ham10000)
    assert len(set(bunch.images)) == 10_015
    assert len(set(bunch.groups)) == 7_470
    assert Counter(bunch.target.tolist()) == {
        "nv": 6705, "mel": 1113, "bkl": 1099, "bcc": 514, "akiec": 327, "vasc": 142, "df": 115,
    }  # fmt: skip
    assert bunch.problems == []
    assert np.array_equal(bunch.frame["dx"], bunch.target)
    assert Path(bunch.images[0]).stat().st_size > 0
