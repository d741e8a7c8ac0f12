"""Baselines: what graphs that learn their topology are measured against."""

from sknm.baselines.dag import DAGClassifier, DAGRegressor
from sknm.baselines.deq import DEQClassifier, DEQRegressor
from sknm.baselines.feed_forward import FeedForwardClassifier, FeedForwardRegressor
from sknm.baselines.optnet import OptNetClassifier, OptNetRegressor

__all__ = [
    "DAGClassifier",
    "DAGRegressor",
    "DEQClassifier",
    "DEQRegressor",
    "FeedForwardClassifier",
    "FeedForwardRegressor",
    "OptNetClassifier",
    "OptNetRegressor",
]
