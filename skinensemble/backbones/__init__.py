"""Backbones: pretrained networks by name, from a 0–255 image to its features."""

from __future__ import annotations

from skinensemble.backbones._backbone import Backbone
from skinensemble.backbones._registry import get_backbone, list_backbones, register_backbone

__all__ = ["Backbone", "get_backbone", "list_backbones", "register_backbone"]
