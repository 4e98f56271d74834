#!/usr/bin/env bash
# fastreid 1.4.0 (fast-reid), seen 2026-11-30: non-local blocks are one channel wide, whatever is asked for.
#
# Expected: Non_local(channels, norm, reduc_ratio=2) reduces the channels inside the block to a half, as in
# Wang et al., Non-local Neural Networks (CVPR 2018, Section 3.3), and reduc_ratio=8 to an eighth. Its AGW and SBS
# configurations switch these blocks on.
# Seen: the width is the ratio divided by itself, always 1: g, theta and phi have 1 channel, and the N x N matrix
# has rank 1. So the block adds one number a position, in a fixed direction, and a network that is built by the
# paper does not load its weights.
# Exit status: 0 as long as this is so, 1 once it changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip() { "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "$@"; }
pip torch==2.13.0 --retries 0 --index-url https://download.pytorch.org/whl/cpu 2>/dev/null || pip torch==2.13.0
pip numpy==2.4.6
pip fastreid==1.4.0 --no-deps
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.util
import sys
from pathlib import Path

import torch

# the package's other modules need packages that the block does not
(root,) = importlib.util.find_spec("fastreid").submodule_search_locations
sys.path.insert(0, str(Path(root).parent))
for name in ("fastreid", "fastreid.layers"):
    module = type(sys)(name)
    module.__path__ = [str(Path(root).parent / name.replace(".", "/"))]
    sys.modules[name] = module
from fastreid.layers.non_local import Non_local

torch.manual_seed(0)
wrong = True
for ratio in (2, 4, 8):
    block = Non_local(256, "BN", reduc_ratio=ratio)
    x = torch.randn(1, 256, 6, 4)
    theta, phi = (getattr(block, name)(x).flatten(2)[0] for name in ("theta", "phi"))
    rank = int(torch.linalg.matrix_rank(theta.T @ phi))
    count = sum(parameter.numel() for parameter in block.parameters())
    print(f"reduc_ratio={ratio}: {len(theta)} channel of {256 // ratio} expected; matrix of rank {rank}; {count:,} parameters")
    wrong &= len(theta) == 1 and rank == 1 and block(x).shape == x.shape
sys.exit(0 if wrong else 1)
PYTHON
