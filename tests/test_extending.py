"""The parts in CONTRIBUTING.md work as they stand there, and parts that break a contract are told so."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from resight.errors import UserError
from resight.losses.term import EmbeddingTerm
from resight.models.representation import Branch, Representation
from resight.models.trunk import Attention, Attentions

PAGE = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
TRIAL = """
import torch
from resight.losses.term import TERMS
from resight.models.network import build_model
model = build_model("plain", 3, trunk="tiny", attention={"layer2": "gate"}, input_size=(32, 16))
found = model.train()(torch.randn(4, 3, 32, 16))
loss = TERMS.build("pull")(found, torch.tensor([0, 0, 1, 1]))
loss.backward()
print(list(found.attention), float(loss) > 0, model.trunk.first.weight.grad is not None)
"""


def test_the_examples_work_together() -> None:
    examples = [
        block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if ".register(" in block
    ]
    assert len(examples) == 4
    code = "\n".join([*examples, TRIAL])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "['layer2'] True True\n", done.stderr


class Shrinking(Attention):
    def forward(self, features: Tensor) -> tuple[Tensor, None]:
        return features[..., ::2], None


class Keeping(Attention):
    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return features, features.mean(1, keepdim=True)


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        (Shrinking(), r"The attention after layer1 returned features \[2, 8, 4, 2\] for \[2, 8, 4, 4\]"),
        (Keeping(), r"says that it attended to \[2, 1, 4, 4\]; a map \[B, H, W\]"),
    ],
)
def test_attention_keeps_the_shape(part: Attention, sentence: str) -> None:
    attentions = Attentions({"layer1": 8}, {"layer1": "instance-norm"})
    next(iter(attentions.children()))[0] = part
    with pytest.raises(UserError, match=sentence):
        attentions.attend("layer1", torch.randn(2, 8, 4, 4), Representation(branches={}))


class EachCrop(EmbeddingTerm):
    def loss(self, embedding: Tensor, persons: Tensor) -> Tensor:
        return embedding.sum(1)


def test_a_loss_is_a_scalar() -> None:
    found = Representation(branches={"global": Branch(torch.randn(4, 8), None)})
    with pytest.raises(UserError, match=r"The loss of EachCrop has the shape \[4\]; a scalar is expected"):
        EachCrop(False, None)(found, torch.tensor([0, 0, 1, 1]))
