"""Processes that test side by side share the cores, as do the commands that they start."""

import os

workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if workers > 1:  # or the threads of each wait for cores that another one's are on
    each = max(1, (os.cpu_count() or 1) // workers)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # read when PyTorch and NumPy are imported
        os.environ.setdefault(name, str(each))
