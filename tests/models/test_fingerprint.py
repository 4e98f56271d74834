"""Two networks share a fingerprint exactly where their descriptors may stand side by side."""

import copy
from pathlib import Path

import pytest
import torch
from small import every_variant, small

from resight.models.fingerprint import fingerprint
from resight.models.network import MODELS, build_model
from resight.models.trunk import ATTENTIONS, TRUNKS
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


@pytest.mark.parametrize("variant", every_variant(), ids=[name for _, name in every_variant()])
def test_raw_and_unit_descriptors_do_not_share_one(variant: tuple[str, str], tmp_path: Path) -> None:
    model = small(*variant)
    own = fingerprint(model)
    model.descriptor = "unit" if model.descriptor == "raw" else "raw"
    other = fingerprint(model)
    assert other != own
    rebuilt = build_model(model.name, model.num_persons, **model.settings | {"descriptor": model.descriptor})
    rebuilt.load_state_dict(model.state_dict())
    assert fingerprint(rebuilt) == other


def test_branches_are_part_of_it() -> None:
    model = small("han", "han-small")
    prints = {fingerprint(model, branches) for branches in (None, ["global"], ["local"], ["local", "global"])}
    assert len(prints) == 4


def test_a_setting_that_a_later_version_adds_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    attention = {"layer2": {"name": "second-order"}}
    model = build_model("pooled", 3, trunk={"name": "resnet", "depth": 18}, attention=attention)
    own = fingerprint(model)
    before = {registry: registry.defaults for registry in (MODELS, TRUNKS, ATTENTIONS)}
    for registry, defaults in before.items():
        monkeypatch.setattr(
            registry, "defaults", lambda name, given, defaults=defaults: defaults(name, given) | {"new": 1}
        )
    later = copy.deepcopy(model)
    later.settings["new"] = later.settings["trunk"]["new"] = 1
    later.settings["attention"]["layer2"][0]["new"] = 1
    assert fingerprint(later) == own
    for part in (later.settings, later.settings["trunk"], later.settings["attention"]["layer2"][0]):
        part["new"] = 2
        assert fingerprint(later) != own
        part["new"] = 1


def test_all_networks_have_one_and_no_two_the_same() -> None:
    prints = [fingerprint(small(*variant)) for variant in every_variant()]
    assert len(set(prints)) == len(prints)
