"""Members that have no vote, in a saved file: the record comes back, and nothing else does."""

from __future__ import annotations

import pytest
from codec_edits import REMOVE, edited, put
from committees import Scripted, committee, lesion_table

from skinensemble import Stage, load
from skinensemble.cli import main
from skinensemble.cli.info import describe
from skinensemble.committee import MemberFailure
from skinensemble.exceptions import MemberWarning, ModelFileError
from skinensemble.persistence import save

X, Y, LESIONS = lesion_table()
REASON = "ZeroDivisionError in fit: no such luck"


@pytest.fixture(scope="module")
def stage():
    members = [("odd", Scripted("raise")), *committee(), ("even", Scripted("nan"))]
    with pytest.warns(MemberWarning):
        return Stage(members, cv=2, random_state=0, on_error="drop").fit(X, Y, groups=LESIONS)


def test_the_record_comes_back(stage, tmp_path, capsys):
    path = tmp_path / "stage.h5"
    digest = save(stage, path)
    back = load(path)
    assert list(back.failures_.items()) == list(stage.failures_.items())
    assert back.failures_["odd"] == MemberFailure("fit", REASON)
    assert back.predict_proba(X).tobytes() == stage.predict_proba(X).tobytes()
    assert save(back, tmp_path / "again.h5") == digest
    assert list(back.fit(X, Y, groups=LESIONS).named_members_) == list(stage.named_members_)
    assert back.failures_ == {}
    (odd, even) = describe(str(path))["stages"]["stage"]["failures"]
    assert odd == {"name": "odd", "where": "fit", "reason": REASON}
    assert even["where"] == "predict_proba"
    assert main(["info", str(path)]) == 0
    assert f"  without odd: {REASON}\n" in capsys.readouterr().out


def test_without_failures_the_file_says_nothing_of_them(tmp_path):
    sound = Stage(committee(), cv=2, random_state=0).fit(X, Y, groups=LESIONS)
    twin = Stage(committee(), cv=2, random_state=0, on_error="drop").fit(X, Y, groups=LESIONS)
    assert save(sound, tmp_path / "a.h5") == save(twin, tmp_path / "b.h5")
    assert describe(str(tmp_path / "a.h5"))["stages"]["stage"]["failures"] == []
    assert load(tmp_path / "a.h5").failures_ == {}


FAILURES = "root/failures"
HOSTILE = {
    "none": put(FAILURES, []),
    "text": put(FAILURES, "odd"),
    "an object": put(FAILURES, {"odd": ["fit", "x"]}),
    "a place that is none": put(f"{FAILURES}/0/1", "os.system"),
    "a place missing": put(f"{FAILURES}/0/1", REMOVE),
    "a reason that is a number": put(f"{FAILURES}/0/2", 7),
    "a reason without end": put(f"{FAILURES}/0/2", "x" * 10_000),
    "a reason that a terminal would obey": put(f"{FAILURES}/0/2", "\x1b]0;owned\x07"),
    "a name that is a list": put(f"{FAILURES}/0/0", ["odd"]),
    "a name twice": put(f"{FAILURES}/0/0", "even"),
    "a member that votes": put(f"{FAILURES}/0/0", "linear"),
    "an entry that is text": put(f"{FAILURES}/0", "odd"),
}


def test_a_file_that_says_something_wrong_is_refused(stage, tmp_path):
    save(stage, tmp_path / "sound.h5")
    for label, path in edited(tmp_path / "sound.h5", HOSTILE, tmp_path):
        with pytest.raises(ModelFileError, match=r"^cannot load: .*root\.failures – .* – "):
            load(path)
            pytest.fail(label)
        if "text" in label or "number" in label or "obey" in label:
            with pytest.raises(ModelFileError, match=r"^cannot load: .*root\.failures – "):
                describe(str(path))
