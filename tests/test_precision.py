"""In float32 a GPU computes in float32."""

import pytest
import torch

from resight.device import autocast


def test_float32_is_not_tf32_in_convolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    autocast(torch.device("cpu"), "float32")
    assert torch.backends.cudnn.allow_tf32
    autocast(torch.device("cuda"), "float32")
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
