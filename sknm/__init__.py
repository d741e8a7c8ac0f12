"""Neural networks whose topology is learned, as scikit-learn estimators."""

from importlib.metadata import version

from sknm.neural_module import NeuralModuleClassifier, NeuralModuleRegressor

__all__ = ["NeuralModuleClassifier", "NeuralModuleRegressor"]

__version__ = version("sknm")
