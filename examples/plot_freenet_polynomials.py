"""
====================================
Polynomials from few nodes
====================================

In an acyclic graph without layers a path may pass through all nodes, and every node
may be read by all later ones and by the output. With the activation "squared_relu"
each node on a path doubles the degree, so that few nodes represent polynomials of a
high degree (theorem 1 of "FreeNets: Learning Layerfree Neural Network Topologies"). A
:class:`~sknm.FreeNetRegressor` is compared with two layers of as many nodes, and with
two layers of at least as many parameters, in the same training loop.
"""

# %%
# What is fitted
# --------------
# Monomials, a sparse polynomial and a trigonometric one, seen at 200 points of [0, 1],
# without noise.
import matplotlib.pyplot as plt
import numpy as np

from sknm import FeedForwardRegressor, FreeNetRegressor

TARGETS = {
    "$x^2$": (2, lambda x: x**2),
    "$x^4$": (4, lambda x: x**4),
    "$x^8$": (4, lambda x: x**8),
    "$x^{16}$": (8, lambda x: x**16),
    "$x^{32}$": (8, lambda x: x**32),
    "$x^{12} - 1.5 x^5 + x$": (8, lambda x: x**12 - 1.5 * x**5 + x),
    r"$\sin 2\pi x + 0.5 \cos 4\pi x$": (
        8,
        lambda x: np.sin(2 * np.pi * x) + 0.5 * np.cos(4 * np.pi * x),
    ),
}


def standardise(x):
    """Return a column of features with mean 0 and variance 1 on [0, 1]."""
    return ((x - 0.5) * 12**0.5)[:, None]


x_train, x_test = np.linspace(0, 1, 200), np.linspace(0, 1, 10_000)
X_train, X_test = standardise(x_train), standardise(x_test)

# %%
# The models
# ----------
# The graph is complete and stays so: with so few nodes there is nothing to prune. One
# batch holds all rows, and nothing regularises, for there is no noise.
options = {
    "activation": "squared_relu",
    "alpha": 0.0,
    "dropout": 0.0,
    "batch_size": len(x_train),
    "learning_rate_init": 0.05,
    "max_iter": 400,
}


def layers_of_equal_parameters(n_nodes):
    """Return the smallest two equal layers that have at least as many parameters."""
    n_parameters = 3 * n_nodes + n_nodes * (n_nodes - 1) / 2 + 1
    h = 1
    while h * h + 4 * h + 1 < n_parameters:
        h += 1
    return h, h


def contestants(n_nodes):
    """Return a function per model that makes it, given a seed."""
    half, wide = (n_nodes // 2,) * 2, layers_of_equal_parameters(n_nodes)
    return {
        "FreeNet": lambda seed: FreeNetRegressor(
            n_nodes, max_evolutions=0, random_state=seed, **options
        ),
        "two layers, equal nodes": lambda seed: FeedForwardRegressor(
            hidden_layer_sizes=half, random_state=seed, **options
        ),
        "two layers, equal parameters": lambda seed: FeedForwardRegressor(
            hidden_layer_sizes=wide, random_state=seed, **options
        ),
    }


def best_fit(make, y_train, y_test):
    """Fit with three seeds, and return the smallest error and its predictions."""
    fits = []
    for seed in range(3):
        predicted = make(seed).fit(X_train, y_train).predict(X_test)
        fits.append((np.mean((predicted - y_test) ** 2), predicted))
    return min(fits, key=lambda fit: fit[0])


# %%
# Mean squared errors
# -------------------
# On 10 000 points; the best of three seeds of each model.
results = {}
for target, (n_nodes, function) in TARGETS.items():
    for name, make in contestants(n_nodes).items():
        results[target, name] = best_fit(make, function(x_train), function(x_test))

names = list(contestants(2))
print(f"{'target':36s}{'nodes':>6s}" + "".join(f"{name:>30s}" for name in names))
for target, (n_nodes, _) in TARGETS.items():
    errors = "".join(f"{results[target, name][0]:30.1e}" for name in names)
    print(f"{target:36s}{n_nodes:6d}{errors}")

# %%
# Errors over the degree of the monomial, and what is left of two of the targets.
figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
monomials = list(TARGETS)[:5]
for name, marker in zip(names, "osv", strict=True):
    errors = [results[target, name][0] for target in monomials]
    axes[0].semilogy(errors, f"{marker}-", label=name)
axes[0].set_xticks(range(5), [2, 4, 8, 16, 32])
axes[0].set(xlabel="degree of the monomial", ylabel="mean squared error")
axes[0].legend(fontsize=8)
for axis, target in zip(axes[1:], list(TARGETS)[5:], strict=True):
    for name in names:
        residual = results[target, name][1] - TARGETS[target][1](x_test)
        axis.plot(x_test, residual, lw=1.2, label=name)
    axis.set(title=target, xlabel="x", ylabel="predicted - true")
plt.show()
