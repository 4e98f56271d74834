"""Two networks share a fingerprint exactly where their descriptors may stand side by side."""

import copy
from pathlib import Path

import torch
from small import small

from resight.models.fingerprint import fingerprint
from resight.models.weights import load_weights, save_weights


def test_it_is_that_of_the_file_on_any_device_in_any_mode(tmp_path: Path) -> None:
    model = small("han", "han-small")
    own = fingerprint(model)
    assert len(own) == 32
    save_weights(model, tmp_path / "weights.safetensors")
    loaded = load_weights(tmp_path / "weights.safetensors", torch.device("cpu"))
    assert fingerprint(loaded) == own
    ordered = loaded.train().to(memory_format=torch.channels_last)
    assert fingerprint(ordered) == own


def test_whatever_decides_the_descriptor_changes_it() -> None:
    model = small("pooled", "resnet-50")
    own = fingerprint(model)
    for name in ("mean", "trunk.conv1.weight", "trunk.bn1.running_var"):
        other = copy.deepcopy(model)
        value = other.state_dict()[name].flatten()
        value[0] = torch.nextafter(value[0], torch.tensor(torch.inf))
        assert fingerprint(other) != own, name
    other = copy.deepcopy(model)
    other.views = "mirror"
    assert fingerprint(other) != own
    other = copy.deepcopy(model)
    other.input_size = (80, 32)
    assert fingerprint(other) != own
    assert fingerprint(small("han", "han-small")) != own


def test_branches_are_part_of_it() -> None:
    model = small("han", "han-small")
    prints = {fingerprint(model, branches) for branches in (None, ["global"], ["local"], ["local", "global"])}
    assert len(prints) == 4
