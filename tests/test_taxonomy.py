from __future__ import annotations

import numpy as np
import pytest

from skinensemble.exceptions import InputError
from skinensemble.taxonomy import DIAGNOSES, MALIGNANT, malignant_mask


def test_the_seven_types_and_the_malignant_ones():
    assert list(DIAGNOSES) == ["akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"]
    assert set(MALIGNANT) == {"akiec", "bcc", "mel"} < set(DIAGNOSES)
    mask = malignant_mask(np.array(list(DIAGNOSES)), MALIGNANT)
    assert mask.tolist() == [True, True, False, False, True, False, False]


@pytest.mark.parametrize(
    ("classes", "malignant", "mask"),
    [
        (["mel", "nv"], MALIGNANT, [True, False]),
        ([0, 1, 2], [2], [False, False, True]),
        ([0, 1, 2], {2, 0}, [True, False, True]),
        ([False, True], [True], [False, True]),
        (["a", "b", "c"], lambda classes: classes != "b", [True, False, True]),
        (["a", "b"], lambda classes: [1, 0], [True, False]),
    ],
)
def test_labels_or_a_callable(classes, malignant, mask):
    assert malignant_mask(np.array(classes), malignant).tolist() == mask


@pytest.mark.parametrize(
    ("malignant", "kind"),
    [([], "benign"), (["scc"], "benign"), (["mel", "nv"], "malignant")],
)
def test_one_side_only_is_refused(malignant, kind):
    text = rf"^malignant: .* – every class in y is {kind} \(mel, nv\); .* – pass other labels"
    with pytest.raises(InputError, match=text):
        malignant_mask(np.array(["mel", "nv"]), malignant)


def test_a_callable_of_another_length_is_refused():
    with pytest.raises(InputError, match=r"shape \(3,\) for 2 classes – return one boolean per"):
        malignant_mask(np.array(["mel", "nv"]), lambda classes: [True, False, True])


def test_a_misspelt_code_is_warned_about():
    with pytest.warns(
        UserWarning, match=r"^malignant: BCC – not among the labels bcc, mel, nv – co"
    ):
        mask = malignant_mask(np.array(["bcc", "mel", "nv"]), ["mel", "BCC"])
    assert mask.tolist() == [False, True, False]


def test_the_default_warns_of_labels_that_it_does_not_know():
    classes = np.array(["BCC", "mel", "nv", "scc"])
    with pytest.warns(UserWarning, match=r"^malignant: BCC, scc – no code of HAM10000, so it cou"):
        mask = malignant_mask(classes, MALIGNANT)
    assert mask.tolist() == [False, True, False, False]
    # Who lists them has looked.
    assert malignant_mask(np.array([*MALIGNANT, "scc"]), list(MALIGNANT)).sum() == 3


@pytest.mark.parametrize("malignant", ["mel", 2])
def test_a_label_alone_is_no_list(malignant):
    with pytest.raises(InputError, match=rf"not a list of labels – pass \[{malignant!r}\]"):
        malignant_mask(np.array(["mel", "nv"]), malignant)
