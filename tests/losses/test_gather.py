"""Two processes that train together against one with the joined batch."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from resight.errors import UserError
from resight.losses.centre import Centre
from resight.losses.circle import Circle
from resight.losses.cross_entropy import CrossEntropy
from resight.losses.gather import gather, ranks
from resight.losses.objective import Objective
from resight.losses.quadruplet import Quadruplet
from resight.losses.self_attention import SelfAttention
from resight.losses.support_neighbour import SupportNeighbour
from resight.losses.total_variation import TotalVariation
from resight.losses.triplet import Triplet
from resight.models.representation import Branch, Representation

PERSONS = torch.tensor([0, 1, 2, 0, 1, 0, 2, 2])  # in halves, person 1 has one crop in each
RANKS = 2


class Small(nn.Module):
    """Two layers with maps, a mask, two branches."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 4, 3)
        self.second = nn.Conv2d(4, 5, 3, stride=2)
        self.classifier = nn.Linear(5, 3)
        self.double()

    def forward(self, images: Tensor) -> Representation:
        first = self.first(images)
        mask = torch.sigmoid(first)
        second = self.second(first * mask)
        embedding = second.mean((2, 3))
        return Representation(
            {"global": Branch(embedding, self.classifier(embedding)), "local": Branch(first.amax((2, 3)))},
            attention={"first": mask},
            masked={"first": first},
            features={"first": first, "second": second},
        )


def objective() -> Objective:
    terms = [
        CrossEntropy(label_smoothing=0.1),
        Triplet(),
        Triplet(mining="all", margin=0.3),
        Quadruplet(),
        SupportNeighbour(neighbours=3),
        Circle(gamma=8.0),
        Centre(),
        SelfAttention(),
        TotalVariation(),
        TotalVariation(of="mask"),
    ]
    with torch.no_grad():
        example = Small()(torch.zeros(2, 3, 10, 8).double())
    named = [(f"{n} {type(term).__name__}", 1 + n / 8, term) for n, term in enumerate(terms)]
    return Objective(named, example, 3).double()


def images() -> Tensor:
    return torch.randn(8, 3, 10, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def train(model: nn.Module, pixels: Tensor, persons: Tensor, steps: int = 2) -> dict[str, Any]:
    """Take steps, the second with moved weights and centres; return everything there is to compare."""
    objectives = objective()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        total, terms = objectives(model(pixels), persons)
        total.backward()
        optimizer.step()
    return {
        "total": total.detach(),
        "terms": terms,
        "gradients": [parameter.grad for parameter in model.parameters()],
        "state": objectives.state_dict(),
    }


def work(rank: int, folder: str) -> None:
    """What each process does; assertions are the test's."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=RANKS
    )
    try:
        mine = slice(rank * 4, rank * 4 + 4)
        found = train(DistributedDataParallel(Small()), images()[mine], PERSONS[mine])
        found["joined"] = gather(Small()(images()[mine]), PERSONS[mine])[1]
        half = Representation({"global": Branch(torch.ones(1, 2, dtype=torch.bfloat16))})
        found["bfloat16"] = gather(half, PERSONS[:1])[0].branches["global"].embedding
        try:
            gather(Small()(images()[: rank + 2]), PERSONS[: rank + 2])
        except UserError as error:
            found["uneven"] = str(error)
        torch.save(found, f"{folder}/{rank}.pt")
    finally:
        distributed.destroy_process_group()


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder: Path = tmp_path_factory.mktemp("together")
    multiprocessing.spawn(work, (str(folder),), nprocs=RANKS)
    return [torch.load(folder / f"{rank}.pt") for rank in range(RANKS)]


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    return train(Small(), images(), PERSONS)


def test_every_process_returns_the_loss_of_one_with_the_joined_batch(
    together: list[dict[str, Any]], alone: dict[str, Any]
) -> None:
    for found in together:
        torch.testing.assert_close(found["total"], alone["total"], rtol=1e-12, atol=0)
        torch.testing.assert_close(found["terms"], alone["terms"], rtol=1e-12, atol=0)
    assert all(value > 0 for value in alone["terms"].values())


def test_gradients_are_those_of_one_process_with_the_joined_batch(
    together: list[dict[str, Any]], alone: dict[str, Any]
) -> None:
    for found in together:
        torch.testing.assert_close(found["gradients"], alone["gradients"], rtol=1e-9, atol=1e-12)


def test_centres_stay_equal(together: list[dict[str, Any]], alone: dict[str, Any]) -> None:
    assert alone["state"]
    for found in together:
        torch.testing.assert_close(found["state"], alone["state"], rtol=1e-12, atol=1e-14)


def test_the_halves_alone_would_give_other_gradients(alone: dict[str, Any]) -> None:
    """Without gathering, persons that are split over the processes would have fewer positives."""
    halves = [train(Small(), images()[half], PERSONS[half])["gradients"] for half in (slice(4), slice(4, 8))]
    averaged = [(one + other) / 2 for one, other in zip(*halves, strict=True)]
    assert not torch.allclose(averaged[0], alone["gradients"][0], rtol=1e-2)


def test_persons_are_joined_in_the_order_of_ranks(together: list[dict[str, Any]]) -> None:
    for found in together:
        assert found["joined"].tolist() == PERSONS.tolist()
        assert found["bfloat16"].tolist() == [[1, 1], [1, 1]]


def test_batches_of_unequal_size_are_refused_everywhere(together: list[dict[str, Any]]) -> None:
    for found in together:
        assert "batches of one size; these have 2, 3 crops" in found["uneven"]


def test_alone_nothing_is_gathered() -> None:
    found = Small()(images())
    assert gather(found, PERSONS)[0] is found
    assert ranks() == 1
