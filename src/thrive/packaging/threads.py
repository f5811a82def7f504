"""How many threads the compiled code below a model may use."""

from collections.abc import Mapping
from types import MappingProxyType

THREAD_SETTINGS: Mapping[str, str] = MappingProxyType(
    {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
)
"""Environment of a serving process, to be set before it starts: for small requests the thread
pools of scikit-learn's compiled code cost more than they give (2.3 times the processor time)."""
