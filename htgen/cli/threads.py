"""How many cores NumPy takes."""

import os


def one_thread() -> None:
    """Let NumPy's products work on one core, unless the environment says otherwise; before NumPy is imported.

    What generation and prediction multiply is so small that sharing it out takes longer.
    """
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
