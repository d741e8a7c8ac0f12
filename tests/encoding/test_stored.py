"""Modules that are pickled as arrays."""

import copy
import pickle
import pickletools

import numpy as np
import pytest
import torch
from torch import nn

from sknm.encoding.stored import Stored

COPIED = pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))]
)


class Part(Stored):
    def __init__(self, dtype=torch.float32):
        super().__init__()
        self.keep("kept", np.array([1.5, 0.1, -0.0]), dtype)
        self.keep("numbers", [3, 1], torch.int64)
        self.keep("empty", np.zeros((0, 4)), dtype)
        self.weight = nn.Parameter(torch.rand(2, 3, dtype=dtype))
        self.nothing, self.names, self.size = None, ["a", 1.0], 7


class Whole(Stored):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.missing = Part(), Part(torch.float64), Part()
        self.missing = None


def same(one, other):
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(
        a == b and torch.equal(x, y) and x.dtype == y.dtype for (a, x), (b, y) in pairs
    )


@COPIED
def test_copies_are_the_same_to_the_bit(copied):
    whole = Whole().train()
    other = copied(whole)
    assert same(other, whole)
    assert other.missing is None
    assert not other.training  # ready to predict
    assert not other.first.training
    for part in (other.first, other.second):
        assert (part.nothing, part.names, part.size) == (None, ["a", 1.0], 7)
        assert torch.signbit(part.kept[2])
        assert part.empty.shape == (0, 4)
    assert all(p.requires_grad and p.is_leaf for p in other.parameters())
    assert len(list(other.parameters())) == len(list(whole.parameters())) == 2


def test_pickles_hold_arrays_only():
    written = pickle.dumps(Whole())
    strings = {arg for _, arg, _ in pickletools.genops(written) if isinstance(arg, str)}
    assert not [text for text in strings if text.startswith("torch")]


@COPIED
def test_modes_of_the_caller_do_not_reach_in(copied):
    whole = Whole()
    with torch.inference_mode(), torch.device("meta"):
        other = copied(whole)
    assert same(other, whole)
    assert all(p.requires_grad and not p.is_inference() for p in other.parameters())
    other.first.weight.sum().backward()
