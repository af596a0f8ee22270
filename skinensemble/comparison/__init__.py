"""Does the vote earn its keep? Members, rules and the best single member on the same lesions."""

from skinensemble.comparison._compare import compare
from skinensemble.comparison._comparison import Comparison, Contender
from skinensemble.comparison._diversity import Diversity, diversity
from skinensemble.comparison._paired import PairedTest, holm, mcnemar_exact

__all__ = [
    "Comparison",
    "Contender",
    "Diversity",
    "PairedTest",
    "compare",
    "diversity",
    "holm",
    "mcnemar_exact",
]
