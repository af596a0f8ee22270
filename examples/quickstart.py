"""From images to verdicts, on synthetic lesions: no data, no weights host, two minutes.

    pip install ".[offline,plots]"
    python examples/quickstart.py

``skinensemble demo`` takes the same steps and tells more about them. The lesions are drawn, not
photographed: the figures show how the library works and say nothing about patients.
"""

from sklearn.model_selection import StratifiedGroupKFold

from skinensemble import evaluate, load, make_cascade
from skinensemble.datasets import make_lesions
from skinensemble.plots import plot_rules, plot_verdicts

# Labelled images: of HAM10000 by load_ham10000(path), or your own by load_image_folder(path).
lesions = make_lesions(
    400, images_per_lesion=(1, 2), size=160, weights="balanced", difficulty=0.3, random_state=0
)

# Keep a quarter of the lesions aside: images of one lesion must never be on both sides.
folds = StratifiedGroupKFold(4, shuffle=True, random_state=0)
train, test = next(folds.split(lesions.images, lesions.target, lesions.groups))

# Two stages, one member per backbone in each. The triage gets a threshold with a certificate: it
# finds 95 % of the malignant lesions, with 95 % confidence (approximate: on out-of-fold ballots).
cascade = make_cascade(
    "efficientnet_lite0",
    "efficientnet_lite1",
    "efficientnet_lite2",
    voting="threshold",
    min_sensitivity=0.95,
    image_size=128,
    batch_size=32,
    cv=3,
    random_state=0,
)
cascade.fit(lesions.images[train], lesions.target[train], groups=lesions.groups[train])
print(cascade.certificate_, end="\n\n")

# Members and voting rules side by side, on lesions that none of them has seen.
report = evaluate(cascade, lesions.images[test], lesions.target[test], groups=lesions.groups[test])
print(report, end="\n\n")

# One file holds it all; whoever loads it gets the same verdicts.
cascade.save("quickstart-cascade.h5")
some = test[:: len(test) // 8][:8]
verdicts = load("quickstart-cascade.h5").verdicts(lesions.images[some])
for truth, verdict in zip(lesions.target[some], verdicts, strict=True):
    print(f"({truth}) {verdict}")

plot_verdicts(lesions.images[some], verdicts, truth=lesions.target[some]).savefig("verdicts.png")
plot_rules(report).savefig("rules.png")
