"""Makes ``data/format-1.h5`` and ``data/format-1.json``: a saved file and what it predicts.

    python tests/persistence/make_format_1.py

Run once for each version of the format, under its number, and never again for that one: the point
of the file is that it was written by the release that introduced the version.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from skinensemble import CalibratedVote, Cascade, DenseHead, Referral, Stage, ThresholdVote

DATA = Path(__file__).parent / "data"


def main() -> None:
    """Train on drawn numbers, save, write down the answers."""
    rng = np.random.default_rng(0)
    codes = np.array(["akiec", "bcc", "bkl", "mel", "nv"])
    kind = np.arange(200) % 5
    X = 1.5 * np.random.default_rng(1).standard_normal((5, 4))[kind] + rng.standard_normal((200, 4))
    rule = ThresholdVote(CalibratedVote("greedy", "platt"), min_sensitivity=0.9)
    members = [("bayes", GaussianNB()), ("logistic", LogisticRegression())]
    types = [("lda", LinearDiscriminantAnalysis()), ("dense", DenseHead((4,), epochs=3))]
    cascade = Cascade(
        Stage(members, voting=rule, cv=3),
        Stage(types, voting="stacking", cv=3),
        refer=Referral(coverage=0.7),
        random_state=0,
    )
    cascade.fit(X, codes[kind], groups=np.arange(200))
    DATA.mkdir(exist_ok=True)
    cascade.save(DATA / "format-1.h5")
    asked = X[:20]
    answers = {
        "X": asked.tolist(),
        "predict_proba": cascade.predict_proba(asked).tolist(),
        "predict": cascade.predict(asked).tolist(),
        "answers": [verdict.answer for verdict in cascade.verdicts(asked)],
        "certificate": str(cascade.certificate_),
    }
    (DATA / "format-1.json").write_text(json.dumps(answers, indent=1) + "\n")


if __name__ == "__main__":
    main()
