"""Networks that diverge or take too long, in a stage that goes on without them."""

from __future__ import annotations

import threading
import time

import keras
import numpy as np
import pytest
from taking_part import taking_part
from tiny_backbone import TINY

from skinensemble import DenseHead, Stage, TransferClassifier
from skinensemble._deadline import time_limit
from skinensemble.datasets import make_lesions
from skinensemble.exceptions import MemberWarning, TimeLimitError
from skinensemble.features import FeatureStore, load_extractor
from skinensemble.images import as_images

QUICK = {**TINY, "units": (), "epochs": 2, "random_state": 0}


@pytest.fixture(scope="module")
def lesions():
    return make_lesions(42, size=32, weights="balanced", random_state=0)


def fitted(members, lesions, **options):
    stage = Stage(members, cv=2, random_state=0, **options)
    return stage.fit(lesions.images, lesions.target, groups=lesions.groups)


@pytest.mark.parametrize("tuned", [{}, {"unfreeze": 1, "views": 2}])
def test_a_network_that_diverges_is_left_out(lesions, tuned):
    sound = TransferClassifier(**QUICK, **tuned)
    wild = TransferClassifier(**{**QUICK, **tuned, "learning_rate": 1e30, "backbone": "tiny_twin"})
    with pytest.warns(MemberWarning, match=r"^members: wild – left out, .*the loss is not finite"):
        stage = fitted([("sound", sound), ("wild", wild)], lesions, on_error="drop", refit=False)
    assert stage.failures_["wild"].where == "fit"
    alone = fitted([("sound", sound)], lesions, refit=False)
    assert stage.ballots_.tobytes() == alone.ballots_.tobytes()


def test_a_network_stops_in_the_middle_of_its_training(lesions):
    quick = ("quick", TransferClassifier(**QUICK))
    fitted([quick], lesions)  # its graphs are there from now on
    start = time.monotonic()
    alone = fitted([quick], lesions)
    enough = 3 + 5 * (time.monotonic() - start)  # on a busy machine, too
    members = [quick, ("endless", TransferClassifier(**{**QUICK, "epochs": 10**6}))]
    with pytest.warns(MemberWarning, match=r"^members: endless – left out"):
        stage = fitted(members, lesions, on_error="drop", time_limit=enough)
    assert stage.failures_["endless"].where == "time limit"
    assert "were over at epoch " in stage.failures_["endless"].reason
    assert stage.ballots_.tobytes() == alone.ballots_.tobytes()


@pytest.mark.slow
def test_a_head_ends_within_a_tenth_of_its_limit():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((400, 8)), np.arange(400) % 2
    head = DenseHead(epochs=10**6, random_state=0)
    DenseHead(epochs=1, random_state=0).fit(X, y)  # the graph is there
    start = time.monotonic()
    with time_limit(5, "the head"), pytest.raises(TimeLimitError, match=r"5 s for the head – over"):
        head.fit(X, y)
    assert 5 <= time.monotonic() - start < 5.5


class Clock:
    """Time that passes only where it is told to."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


CLOCK = Clock()


@pytest.mark.slow
def test_fine_tuning_that_ran_out_of_time_goes_on_from_its_checkpoint(
    lesions, tmp_path, monkeypatch
):
    monkeypatch.setattr("skinensemble._deadline.time", CLOCK)

    def pass_a_second(epoch, logs):
        CLOCK.now += 1

    params = {**QUICK, "unfreeze": 1, "views": 2, "epochs": 12, "batch_size": 16}
    slow = keras.callbacks.LambdaCallback(on_epoch_end=pass_a_second)
    member = TransferClassifier(**params, checkpoint=tmp_path)
    epochs = []
    for _ in range(2):
        over = pytest.raises(TimeLimitError)
        with time_limit(5, "the member"), over as raised, taking_part(slow):
            member.fit(lesions.images, lesions.target)
        epochs.append(int(raised.value.reason.split("epoch ")[1].split(" of")[0]))
    assert epochs == [6, 11]
    with time_limit(5, "the member"), taking_part(slow):
        member.fit(lesions.images, lesions.target)
    undisturbed = TransferClassifier(**params).fit(lesions.images, lesions.target)
    for one, other in zip(
        member.head_.model_.get_weights(), undisturbed.head_.model_.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_features_that_were_computed_in_time_are_kept(monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (100, 32, 32, 3), dtype=np.uint8)
    extractor, store = load_extractor("tiny_transfer", None), FeatureStore()
    real = extractor._predict

    def slow(batch):
        CLOCK.now += 0.05
        return real(batch)

    monkeypatch.setattr("skinensemble._deadline.time", CLOCK)
    monkeypatch.setattr(extractor, "_predict", slow)
    text = r"^time limit: 0\.15 s for the stage – over at the features of tiny_transfer – "
    with time_limit(0.15, "the stage"), pytest.raises(TimeLimitError, match=text):
        extractor(as_images(images), store)
    monkeypatch.setattr(extractor, "_predict", real)
    time.sleep(0.2)  # batches that are still in the network
    _, missing = store.get(extractor.fingerprint, as_images(images).digests)
    assert 0 < missing.sum() < len(images)
    np.testing.assert_array_equal(
        extractor(as_images(images), store), extractor(as_images(images), FeatureStore())
    )


def test_nobody_waits_for_a_slow_network_when_the_time_is_over(monkeypatch):
    images = np.random.default_rng(1).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    extractor = load_extractor("tiny_transfer", None)
    extractor(as_images(images[:2]), FeatureStore())
    done = threading.Event()
    monkeypatch.setattr(extractor, "_predict", lambda batch: done.wait(30))
    start = time.monotonic()
    with time_limit(0.5, "the stage"), pytest.raises(TimeLimitError, match="tiny_transfer"):
        extractor(as_images(images), FeatureStore())
    assert time.monotonic() - start < 5
    done.set()
