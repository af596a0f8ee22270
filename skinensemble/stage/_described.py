"""What a stage says about itself to scikit-learn."""

from __future__ import annotations

from typing import Any

from sklearn.utils import get_tags

__all__ = ["DescribedStage"]


class DescribedStage:
    """Tags and the HTML representation of a :class:`Stage`."""

    def __sklearn_tags__(self: Any):
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        members = [get_tags(member).input_tags for _, member in self.members]
        tags.input_tags.sparse = all(member.sparse for member in members)
        tags.input_tags.two_d_array = all(member.two_d_array for member in members)
        tags.input_tags.allow_nan = all(member.allow_nan for member in members)
        return tags

    def _sk_visual_block_(self: Any):
        from sklearn.ensemble import VotingClassifier  # half a second: not to predict

        missing = getattr(self, "failures_", {})
        shown = [(f"{n} (left out)" if n in missing else n, member) for n, member in self.members]
        # What draws members side by side is in another private module of each scikit-learn.
        return VotingClassifier(shown)._sk_visual_block_()
