import numpy as np
import pytest


@pytest.fixture(autouse=True)
def wrapping_integers():
    """Without compilation NumPy would warn that the generators' 32-bit products wrap around."""
    with np.errstate(over="ignore"):
        yield
