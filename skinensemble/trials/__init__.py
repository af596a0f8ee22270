"""Trial and error made cheap: many candidates are tried, few of them for long."""

from __future__ import annotations

from skinensemble.trials._candidates import make_candidates
from skinensemble.trials._result import Place, SearchResult
from skinensemble.trials._search import search
from skinensemble.trials._trial import Trial

__all__ = ["Place", "SearchResult", "Trial", "make_candidates", "search"]
