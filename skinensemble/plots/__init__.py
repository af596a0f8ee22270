"""Verdicts, rules, risk and searches drawn, for people who cannot tell red from green as well.

Needs matplotlib (extra ``plots``). Figures are made without pyplot: nothing is shown, no global
state is touched; call ``savefig`` on what is returned, or leave the last line of a notebook cell
to show it.
"""

from skinensemble.plots._leaderboard import plot_leaderboard
from skinensemble.plots._risk import plot_risk_coverage
from skinensemble.plots._rules import plot_rules
from skinensemble.plots._verdicts import plot_verdicts

__all__ = ["plot_leaderboard", "plot_risk_coverage", "plot_rules", "plot_verdicts"]
