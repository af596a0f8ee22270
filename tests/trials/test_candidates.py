"""Candidates from a grid: all combinations that differ, each with a name of its own."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_backbone import TINY

from skinensemble import Stage, TransferClassifier, make_candidates, search
from skinensemble.datasets import make_lesions
from skinensemble.exceptions import InputError

OPTIONS = {
    "units": [(), (128,), (128, 64)],
    "dropout": [0.2, 0.5, "auto"],
    "unfreeze": [None, 0.3, 2, "all", "block_9_add"],
    "loss": ["cross_entropy", "focal"],
    "class_weight": [None, 0.5, {"mel": 3.0}],
    "pooling": ["avg", "max"],
}


@given(
    backbones=st.lists(st.sampled_from(["vgg16", "resnet50", "mobilenet_v2"]), min_size=1),
    options=st.fixed_dictionaries(
        {},
        optional={
            key: st.lists(st.sampled_from(range(len(values))), min_size=1, unique=True).map(
                lambda at, values=values: [values[i] for i in at]
            )
            for key, values in OPTIONS.items()
        },
    ),
)
def test_every_combination_once_under_its_own_name(backbones, options):
    found = make_candidates(*backbones, weights=None, **options)
    names = [name for name, _ in found]
    assert len(set(names)) == len(names)
    Stage(found).check_members()
    described = {repr(sorted(member.get_params().items(), key=str)) for _, member in found}
    expected = set()
    for backbone, values in itertools.product(backbones, itertools.product(*options.values())):
        params = dict(zip(options, values, strict=True))
        if params.get("unfreeze") is None:
            params.pop("loss", None)
        member = TransferClassifier(backbone, weights=None, **params)
        expected.add(repr(sorted(member.get_params().items(), key=str)))
    assert described == expected and len(found) == len(expected)


def test_names_say_what_differs_and_no_more():
    found = make_candidates("vgg16", weights=None, units=[(), (64, 32)], dropout=0.25, epochs=[3])
    assert [name for name, _ in found] == ["vgg16, units=linear", "vgg16, units=64x32"]
    assert all(member.dropout == 0.25 and member.epochs == 3 for _, member in found)
    assert [name for name, _ in make_candidates("vgg16", "resnet50")] == ["vgg16", "resnet50"]


def test_names_can_be_those_of_members_and_files():
    (one, two) = make_candidates("vgg16", unfreeze=["a__b/c", "ä" * 60])
    for name, _ in (one, two):
        assert name.isascii() and name.isprintable() and "__" not in name and "/" not in name


def test_weights_may_differ_by_backbone():
    found = dict(make_candidates("vgg16", "resnet50", weights={"vgg16": None}))
    assert found["vgg16"].weights is None and found["resnet50"].weights == "imagenet"


@pytest.mark.parametrize(
    ("backbones", "options", "text"),
    [
        ((), {}, r"candidates: no backbone – the search space is empty – pass names of list_"),
        (("vgg16",), {"unitz": [8]}, r"options: unitz – no such parameter – did you mean units"),
        (("vgg16",), {"backbone": "vgg19"}, r"options: backbone – backbones have no keyword – wri"),
        (("vgg16",), {"learning_rate": np.array([0.1, 0.01])}, r"options: learning_rate – an arr"),
        (("vgg16",), {"units": []}, r"candidates: units=\[\] – the search space is empty – give"),
        (("vgg61",), {}, r"backbone: 'vgg61'.*did you mean vgg19 or vgg16"),
        (("vgg16",), {"weights": {"vgg19": None}}, r"weights: vgg19 – not among the backbones"),
    ],
)
def test_what_makes_no_candidates_is_refused(backbones, options, text):
    with pytest.raises(InputError, match=text):
        make_candidates(*backbones, **options)


def test_networks_are_searched_on_images():
    data = make_lesions(70, size=32, weights="balanced", random_state=0)
    found = search(
        make_candidates(TINY["backbone"], "tiny_twin", weights=None, units=[(), (8,)], epochs=3),
        list(data.images),
        data.target,
        groups=data.groups,
        n_finalists=2,
        cv=2,
    )
    assert {trial.error for trial in found.trials} == {None}
    stage = found.committee("soft")
    assert stage.predict_proba(data.images[:3]).shape == (3, 7)
    assert stage.digests_ is not None and len(stage.digests_) == len(data.target)


def test_alternatives_that_read_alike_are_all_tried():
    weights = [{"akiec": a, "bkl": 1.0, "df": 1.0, "mel": 1.0, "nv": 1.0} for a in (1.0, 2.0)]
    found = make_candidates("vgg16", weights=None, class_weight=weights)
    assert [member.class_weight for _, member in found] == weights
    assert [name.endswith(" (2)") for name, _ in found] == [False, True]
    found = make_candidates("vgg16", learning_rate=[1e-3, 1.0000001e-3, 1e-3])
    assert [member.learning_rate for _, member in found] == [1e-3, 1.0000001e-3]


def test_a_list_of_callbacks_is_one_value():
    import keras

    stop, log = keras.callbacks.TerminateOnNaN(), keras.callbacks.History()
    ((_, member),) = make_candidates("vgg16", callbacks=[stop, log])
    assert member.callbacks == [stop, log]
    found = make_candidates("vgg16", callbacks=[None, [stop, log]])
    assert [member.callbacks for _, member in found] == [None, [stop, log]]
    # What cannot be pickled can be tried all the same.
    said = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None)
    found = make_candidates("vgg16", callbacks=[said], units=[(), (8,)])
    assert [name for name, _ in found] == ["vgg16, units=linear", "vgg16, units=8"]
    assert make_candidates("vgg16", callbacks=[])[0][1].callbacks == []
