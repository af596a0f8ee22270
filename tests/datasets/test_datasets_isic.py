"""The ISIC challenges: one-hot tables, lesion tables, and the classes beyond the seven."""

from __future__ import annotations

import pytest
from dataset_files import touch

from skinensemble.datasets import load_isic
from skinensemble.exceptions import DatasetError, InputError, UngroupedWarning

COLUMNS_2018 = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
COLUMNS_2019 = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")


def one_hot(columns, labels, *, on="1.0", off="0.0", extra=""):
    """A ground truth in which image i has the i-th of `labels`."""
    lines = [",".join(("image", *columns)) + (",score_weight" if extra else "")]
    for i, label in enumerate(labels):
        cells = [on if name == label else off for name in columns]
        lines.append(",".join([f"ISIC_{i}", *cells]) + extra)
    return "\n".join(lines) + "\n"


@pytest.fixture
def isic(tmp_path):
    """A function that writes a challenge and returns what load_isic needs."""

    def write(truth, lesions=None, names=None):
        n = truth.count("ISIC_")
        touch(tmp_path / "images", names or [f"ISIC_{i}.jpg" for i in range(n)])
        (tmp_path / "truth.csv").write_text(truth)
        arguments = {"images": tmp_path / "images", "groundtruth_csv": tmp_path / "truth.csv"}
        if lesions is not None:
            (tmp_path / "lesions.csv").write_text(lesions)
            arguments["lesions_csv"] = tmp_path / "lesions.csv"
        return arguments

    return write


def test_2018_with_lesion_groupings(isic):
    rows = "".join(f"ISIC_{i},HAM_{i // 2},histopathology\n" for i in range(7))
    grouping = "image,lesion_id,diagnosis_confirm_type\n" + rows
    truth = one_hot(COLUMNS_2018, ["MEL", "MEL", "NV", "NV", "AKIEC", "AKIEC", "VASC"])
    bunch = load_isic(**isic(truth, grouping))
    assert bunch.target.tolist() == ["mel", "mel", "nv", "nv", "akiec", "akiec", "vasc"]
    assert bunch.groups.tolist() == [f"HAM_{i // 2}" for i in range(7)]
    assert bunch.problems == []
    assert bunch.frame["mel"].tolist()[:2] == ["1.0", "1.0"]


def test_2019_names_ak_and_weights(isic):
    truth = one_hot(COLUMNS_2019, ["AK", "DF", "BKL"], on="1", off="0", extra=",0.5")
    bunch = load_isic(**isic(truth))
    assert bunch.target.tolist() == ["akiec", "df", "bkl"]
    assert bunch.groups is None
    assert bunch.frame["score_weight"].tolist() == [0.5, 0.5, 0.5]


def test_downsampled_names_agree_either_way(isic):
    truth = one_hot(COLUMNS_2019, ["MEL", "NV", "BCC"]).replace("ISIC_1,", "ISIC_1_downsampled,")
    names = ["ISIC_0_downsampled.jpg", "ISIC_1.jpg", "ISIC_2.jpg", "ISIC_2_segmentation.png"]
    lesions = "image,lesion_id\nISIC_0,A\nISIC_1,B\nISIC_2_downsampled.jpg,C\n"
    bunch = load_isic(**isic(truth, lesions, names))
    assert [image.rsplit("/", 1)[1] for image in bunch.images] == names[:3]
    assert bunch.groups.tolist() == ["A", "B", "C"]


def test_images_without_a_lesion_id_are_lesions_of_their_own(isic):
    metadata = "image,age_approx,lesion_id\nISIC_0,55.0,BCN_1\nISIC_1,,\nISIC_2,30.0,NaN\n"
    truth = one_hot(COLUMNS_2019, ["MEL", "NV", "BCC"])
    with pytest.warns(UngroupedWarning, match="2 of 3 images have no lesion id") as caught:
        bunch = load_isic(**isic(truth, metadata))
    assert caught[0].filename == __file__
    assert bunch.groups.tolist() == ["BCN_1", "ISIC_1", "ISIC_2"]


LABELS = ["MEL", "SCC", "UNK", "AK"]


@pytest.mark.parametrize(
    ("other", "target"),
    [
        ("keep", ["mel", "scc", "unk", "akiec"]),
        ({"scc": "akiec", "unk": "benign"}, ["mel", "akiec", "benign", "akiec"]),
        ({"scc": " AKIEC ", "unk": "Other"}, ["mel", "akiec", "Other", "akiec"]),
    ],
)
def test_scc_and_unk_can_be_kept(isic, other, target):
    bunch = load_isic(**isic(one_hot(COLUMNS_2019, LABELS)), other=other)
    assert bunch.target.tolist() == target


@pytest.mark.parametrize(
    ("other", "text", "target"),
    [
        ("drop", "1 scc, 1 unk are not among the seven types", ["mel", "akiec"]),
        ({"scc": "akiec"}, "1 unk are not among", ["mel", "akiec", "akiec"]),
    ],
)
def test_scc_and_unk_are_dropped_with_a_warning(isic, other, text, target):
    with pytest.warns(UserWarning, match=text) as caught:
        bunch = load_isic(**isic(one_hot(COLUMNS_2019, LABELS)), other=other)
    assert caught[0].filename == __file__
    assert bunch.target.tolist() == target
    assert bunch.problems == []


@pytest.mark.parametrize("other", ["remove", {"mel": "nv"}, 3, {"scc": 5}, {"scc": " "}])
def test_other_is_checked(isic, other):
    with pytest.raises(InputError, match=r"other: .* pass 'drop', 'keep', or a mapping"):
        load_isic(**isic(one_hot(COLUMNS_2019, LABELS)), other=other)


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ("0,0,0,0,0,0,0", "no label"),
        (",,,,,,", "no label"),
        ("1,0,1,0,0,0,0", r"several labels in a row \[line 2 'ISIC_0' \(mel, bcc\)\]"),
        ("0.5,0.5,0,0,0,0,0", r"cells other than 0 and 1 \[line 2 'ISIC_0' \('0.5', '0.5'\)\]"),
        ("mel,0,0,0,0,0,0", "cells other than 0 and 1"),
        ("1,,0,0,0,0,0", "cells other than 0 and 1"),
    ],
)
def test_rows_that_are_not_one_hot(isic, cells, kind):
    truth = one_hot(COLUMNS_2018, ["MEL"] * 40, on="1", off="0")
    truth = truth.replace("ISIC_0,1,0,0,0,0,0,0", f"ISIC_0,{cells}")
    arguments = isic(truth)
    with pytest.raises(DatasetError, match=f"1 of 40 rows cannot be used: 1 × {kind}"):
        load_isic(**arguments)
    with pytest.warns(UserWarning, match=kind):
        assert len(load_isic(**arguments, on_error="skip").images) == 39


def test_lesion_tables_that_do_not_fit(isic):
    truth = one_hot(COLUMNS_2018, ["MEL", "NV", "BCC"])
    with pytest.raises(DatasetError, match="it names none of the images"):
        load_isic(**isic(truth, "image,lesion_id\nISIC_77,A\n"))
    lesions = "image,lesion_id\nISIC_0,A\nISIC_0,B\nISIC_1,C,x\n"
    with pytest.raises(DatasetError) as caught:
        load_isic(**isic(truth, lesions))
    text = str(caught.value)
    assert "1 × image with several lesions [line 2 'ISIC_0' (A, B)]" in text
    assert "2 × not in the lesion table [line 3 'ISIC_1', line 4 'ISIC_2']" in text
    assert "(lesion table, 3 instead of 2)" in text
    several = truth.replace("ISIC_2,0", "ISIC_2,1")
    with pytest.raises(DatasetError) as caught:
        load_isic(**isic(several, "image,lesion_id\nISIC_0,A\nISIC_1,B\n"))
    assert "1 × several labels in a row [line 4 'ISIC_2' (mel, bcc)]" in str(caught.value)
    assert "1 × not in the lesion table [line 4 'ISIC_2']" in str(caught.value)
    with pytest.raises(DatasetError, match="no column 'lesion_id', only image, patient"):
        load_isic(**isic(truth, "image,patient\nISIC_0,A\n"))


def test_missing_images_and_files_without_a_row(isic):
    truth = one_hot(COLUMNS_2018, ["MEL", "NV", "BCC"])
    arguments = isic(truth, names=["ISIC_0.jpg", "ISIC_1.jpg", "ISIC_9.jpg"])
    with pytest.raises(DatasetError) as caught:
        load_isic(**arguments)
    assert "1 × no image file [line 4 'ISIC_2']" in str(caught.value)
    assert "1 × image without a row ['ISIC_9.jpg']" in str(caught.value)


def test_tables_of_other_tasks(isic):
    with pytest.raises(DatasetError, match="no one-hot columns such as MEL and NV, only image, x"):
        load_isic(**isic("image,x\nISIC_0,1\n"))
    with pytest.raises(DatasetError, match="no column 'image' or 'image_id'"):
        load_isic(**isic("name,MEL,NV\nISIC_0,1,0\n"))
    with pytest.raises(DatasetError, match="no such folder"):
        load_isic("nowhere", "truth.csv")


@pytest.mark.parametrize("name", ["truth.csv", "lesions.csv", "images/ISIC_0.jpg"])
def test_a_report_replaces_nothing_that_is_read(isic, tmp_path, name):
    lesions = "image,lesion_id\nISIC_0,A\nISIC_1,B\n"
    arguments = isic(one_hot(COLUMNS_2018, ["MEL", "NV"]), lesions)
    before = (tmp_path / name).read_bytes()
    with pytest.raises(InputError, match=rf"^report: .*{name} – it is read as data – choose anoth"):
        load_isic(**arguments, report=tmp_path / name)
    assert (tmp_path / name).read_bytes() == before
