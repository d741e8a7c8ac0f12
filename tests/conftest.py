"""What every test shares: one thread, and the data sets of the papers."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

# Small graphs: more threads cost more than they give.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data_dir():
    """Folder of the papers' data sets; set SKNM_DATA to run the tests that read it."""
    folder = os.environ.get("SKNM_DATA")
    if not folder:
        pytest.skip("SKNM_DATA is not set: no folder with the papers' data sets")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"SKNM_DATA={folder!r} is not a folder")
    return path


@pytest.fixture(scope="session")
def load_data(data_dir):
    """Return a function from the name of a data set to its ``X, y``."""

    def load(name):
        with np.load(data_dir / f"{name}.npz") as arrays:
            return arrays["X"], arrays["y"]

    return load
