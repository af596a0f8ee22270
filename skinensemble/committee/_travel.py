"""What a member needs in a process that does not share this one's memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from skinensemble.backbones._registry import register_here, registered_by_user
from skinensemble.features._recipe import Parcel
from skinensemble.features._spread import n_workers, on_every_worker
from skinensemble.features._stored_rows import StoredRows

__all__ = ["Luggage", "pack", "train_anywhere"]


@dataclass(frozen=True)
class Luggage:
    """Rows that networks computed, and backbones that users registered.

    Parameters
    ----------
    rows : list of StoredRows
    backbones : dict
        As from ``registered_by_user``.
    """

    rows: list[StoredRows] = field(default_factory=list)
    backbones: dict = field(default_factory=dict)

    def unpack(self) -> None:
        """Put everything where the member looks for it; nothing changes where it comes from."""
        register_here(self.backbones)
        for rows in self.rows:
            rows.put()


def pack(members, data, n_jobs, *, rows_of=None) -> tuple[list[tuple], object]:
    """Return members and data as they go to those who train them.

    Parameters
    ----------
    members : list of (str, classifier)
    data : object
        What all of them are trained on.
    n_jobs : int or None
    rows_of : images, or whatever the members take, optional
        Their rows go along, of stores in memory; by default none.

    Returns
    -------
    packed : list of (Parcel, Luggage)
        The luggage is empty for threads, which see the stores of this process.
    data : object
        Or what Dask puts in its place.
    """
    if not n_workers(n_jobs):
        return [(Parcel(named), Luggage()) for named in members], data
    packed = []
    for name, member in members:
        rows = [] if rows_of is None else _rows(member, rows_of)
        luggage = Luggage(rows, _backbones(member))
        packed.append((Parcel((name, member)), on_every_worker(luggage)))
    return packed, on_every_worker(data)


def train_anywhere(train, packed, *task) -> Parcel:
    """Train a member in whatever process this is; `train` takes it and the rest of the task."""
    parcel, luggage = packed
    luggage.unpack()
    return Parcel(train(parcel.content, *task))


def _rows(member, X) -> list[StoredRows]:
    if hasattr(member, "rows_at_hand"):
        return member.rows_at_hand(X)
    # In a pipeline it is the first step that sees the samples.
    return _rows(member.steps[0][1], X) if hasattr(member, "steps") else []


def _backbones(member) -> dict:
    return registered_by_user(_texts([member]))


def _texts(values) -> Iterator[str]:
    for value in values:
        # One by one, for a frozen estimator does not tell what is in the one that it holds.
        if hasattr(value, "get_params") and not isinstance(value, type):
            yield from _texts(value.get_params(deep=False).values())
        elif isinstance(value, list | tuple):  # such as the steps of a pipeline
            yield from _texts(value)
        elif isinstance(value, str):
            yield value
