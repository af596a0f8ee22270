"""Backbones: pretrained networks by name, from a 0–255 image to its features."""

from __future__ import annotations

from skinensemble.backbones._backbone import Backbone
from skinensemble.backbones._cuts import (
    Cut,
    block_cuts,
    possible_cuts,
    resolve_cut,
    split_at,
)
from skinensemble.backbones._registry import get_backbone, list_backbones, register_backbone

__all__ = [
    "Backbone",
    "Cut",
    "block_cuts",
    "get_backbone",
    "list_backbones",
    "possible_cuts",
    "register_backbone",
    "resolve_cut",
    "split_at",
]
