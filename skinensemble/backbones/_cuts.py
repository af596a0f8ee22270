"""Where a network can be cut in two, so that the lower part runs once and the upper is trained."""

from __future__ import annotations

import numbers
from collections import Counter
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from skinensemble.exceptions import InputError, first_few, message

if TYPE_CHECKING:
    import keras

__all__ = ["Cut", "block_cuts", "possible_cuts", "resolve_cut", "split_at"]


@dataclass(frozen=True)
class Cut:
    """A layer through whose output everything passes that reaches the end of the network.

    Attributes
    ----------
    name : str
        The layer; it and all before it lie below the cut. Names that Keras numbers, such as
        ``add_3``, change from one build of a network to the next.
    place : int
        Its number, in the order of the network, which does not change.
    shape : tuple of int
        Of its output for one image: (height, width, channels).
    merges : bool
        Whether branches meet in it.
    """

    name: str
    place: int
    shape: tuple[int, ...]
    merges: bool

    @property
    def size(self) -> int:
        """Numbers to keep for one image."""
        height, width, channels = self.shape
        return height * width * channels


def possible_cuts(model: keras.Model) -> list[Cut]:
    """Return every layer at which a network can be cut, from the images on.

    Parameters
    ----------
    model : keras.Model
        From images to features, as :meth:`Backbone.build` returns it.

    Returns
    -------
    list of Cut
        Feature maps with weights below and above them; none of a layer that is used twice.

    Examples
    --------
    >>> from skinensemble.backbones import get_backbone
    >>> model = get_backbone("vgg16").build(weights=None, image_size=32)
    >>> [cut.name for cut in possible_cuts(model)][:3]
    ['block1_conv1', 'block1_conv2', 'block1_pool']
    """
    nodes = _in_order(model)
    last_use = {id(tensor): place for place, node in enumerate(nodes) for tensor in _flat(node)}
    last_use[id(model.outputs[0])] = len(nodes)
    uses = Counter(id(node.operation) for node in nodes)
    total = sum(bool(node.operation.weights) for node in nodes if _is_layer(node))
    cuts: list[Cut] = []
    needed_until, passed, candidates = -1, 0, 0
    for place, node in enumerate(nodes):
        passed += _is_layer(node) and bool(node.operation.weights)
        # What was computed before this layer must not be needed after it.
        alone = needed_until <= place and len(node.outputs) == 1
        needed_until = max([needed_until, *(last_use.get(id(one), 0) for one in node.outputs)])
        shape = tuple(node.outputs[0].shape[1:])
        if alone and 0 < passed < total and len(shape) == 3:
            # A name that stands for several places says none.
            if uses[id(node.operation)] == 1:
                cuts.append(Cut(node.operation.name, candidates, shape, len(_flat(node)) > 1))
            candidates += 1
    return cuts


def block_cuts(model: keras.Model) -> list[Cut]:
    """Return one cut for each block of a network: where least has to be kept.

    A new block begins where branches meet, or the resolution falls. The normalisation and the
    activation that follow the narrowest layer belong to its block.

    Examples
    --------
    >>> from skinensemble.backbones import get_backbone
    >>> model = get_backbone("vgg16").build(weights=None, image_size=64)
    >>> [cut.name for cut in block_cuts(model)]
    ['block1_conv1', 'block1_pool', 'block2_pool', 'block3_pool', 'block4_pool']
    """
    blocks: list[list[Cut]] = []
    for cut in possible_cuts(model):
        if not blocks or cut.merges or cut.shape[0] < blocks[-1][-1].shape[0]:
            blocks.append([])
        blocks[-1].append(cut)
    return [_narrowest(model, block) for block in blocks]


def resolve_cut(model: keras.Model, unfreeze: str | float) -> Cut | None:
    """Return the cut that the parameter `unfreeze` of a classifier stands for.

    Parameters
    ----------
    model : keras.Model
    unfreeze : str, int or float
        The name of the last layer that stays frozen; how many blocks, counted from the end, are
        trained; the share of the blocks, above 0 and below 1; or ``"all"``.

    Returns
    -------
    Cut or None
        None where everything is trained.

    Raises
    ------
    InputError
        When there is no such cut; it names those that there are.
    """
    if unfreeze == "all":
        return None
    if isinstance(unfreeze, str):
        known = {cut.name: cut for cut in possible_cuts(model)}
        if unfreeze in known:
            return known[unfreeze]
        raise _no_cut(model, unfreeze, list(known))
    blocks = block_cuts(model)
    n_blocks = len(blocks) + 1
    whole = isinstance(unfreeze, numbers.Integral)
    share = isinstance(unfreeze, numbers.Real) and not whole and 0 < unfreeze < 1
    count = max(1, round(unfreeze * n_blocks)) if share else unfreeze
    if isinstance(unfreeze, bool) or not (whole or share) or not 1 <= count < n_blocks:
        why = f"{model.name} has {n_blocks} blocks"
        remedy = (
            f'pass an int from 1 to {n_blocks - 1}, a share such as 0.3, "all", or a layer\'s name'
        )
        if not blocks:
            why, remedy = f"{model.name} cannot be cut anywhere", 'pass "all"'
        raise InputError(message("unfreeze", repr(unfreeze), why, remedy))
    return blocks[n_blocks - 1 - int(count)]


def split_at(model: keras.Model, cut: Cut) -> tuple[keras.Model, keras.Model]:
    """Return the two parts of a network as models; they share its layers.

    Returns
    -------
    lower : keras.Model
        From images to the activations at the cut.
    upper : keras.Model
        From these to what the network gives.
    """
    import keras

    tensor = _node(model, cut).outputs[0]
    lower = keras.Model(model.inputs[0], tensor, name=model.name)
    return lower, keras.Model(tensor, model.outputs[0], name=model.name)


def _in_order(model: keras.Model) -> list[Any]:
    """Return the nodes of a functional model, each after those that it takes its inputs from."""
    depths = sorted(model._nodes_by_depth, reverse=True)
    return [node for depth in depths for node in model._nodes_by_depth[depth]]


def _node(model: keras.Model, cut: Cut) -> Any:
    return next(node for node in _in_order(model) if node.operation.name == cut.name)


def _flat(node: Any) -> list[Any]:
    import keras

    return keras.tree.flatten(node.input_tensors)


def _is_layer(node: Any) -> bool:
    return hasattr(node.operation, "weights")  # an operation such as `x * 2` has none


def _narrowest(model: keras.Model, block: list[Cut]) -> Cut:
    import keras

    place = min(range(len(block)), key=lambda i: block[i].size)
    while place + 1 < len(block) and block[place + 1].size == block[place].size:
        following = _node(model, block[place + 1]).operation
        normalises = isinstance(following, keras.layers.BatchNormalization)
        if getattr(following, "weights", ()) and not normalises:
            break
        place += 1
    return block[place]


def _no_cut(model: keras.Model, name: str, known: list[str]) -> InputError:
    layers = [node.operation.name for node in _in_order(model)]
    near = get_close_matches(name, known, 3) or [cut.name for cut in block_cuts(model)[::-1]]
    if name in layers:
        why = (
            f"other paths lead past this layer of {model.name}, nothing to train lies above it, or "
            "it is used twice"
        )
    else:
        why = f"{model.name} has no such layer"
    remedy = f"cut it at one of {len(known)} layers, such as {first_few(near)}"
    if not known:
        remedy = f'pass "all": {model.name} cannot be cut anywhere'
    return InputError(message("unfreeze", repr(name), why, remedy))
