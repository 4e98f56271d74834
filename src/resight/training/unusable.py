"""Crops and recipes that nothing can be adapted with: they are refused, with the reason."""

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from resight.data.unlabelled import Unlabelled
from resight.errors import UserError
from resight.imaging import resize
from resight.memory import available_memory
from resight.models.embedding import PixelEmbedder
from resight.people.crops import World
from resight.progress import say, track
from resight.training.labelling import PseudoLabels
from resight.training.recipe import Labelling, Recipe

ENTRIES = 400
"""Estimated bytes for the neighbours and pairs of a crop, for each of its k1 neighbours."""

COMPARED = 1000
"""Crops that are compared with drawn ones, spread over all of them."""

DRAWN = 8, 2, 3
"""Drawn persons, their cameras, and passages of each person under each camera, with one crop each."""

ROWS = 128
"""Height of a drawn crop, in pixels."""


def refuse_large(crops: int, width: int, settings: Labelling) -> None:
    """Refuse more crops than memory holds the vectors, pairs and remembered vectors of.

    Args:
        crops: N.
        width: D.
        settings: of the recipe.

    Raises:
        UserError: they need more than is available.
    """
    needed = crops * (5 * 4 * width + ENTRIES * settings.neighbours)
    available = available_memory()
    if available is not None and needed > available:
        raise UserError(
            f"Adapting to {crops:,} crops with vectors of {width:,} numbers needs about {needed / 1e9:.1f} "
            f"GB of memory for pseudo-labels, and {available / 1e9:.1f} GB are available. Adapt to fewer "
            "crops, such as one day's; the adapted model works for all."
        )


def check_crops(recipe: Recipe, crops: Unlabelled) -> Labelling:
    """Return the recipe's labelling; say how many crops are of cameras that have too few.

    Raises:
        UserError: the recipe is not for adapting, or there are too few crops or cameras.
    """
    sampler = recipe.stages[0].sampler
    if (
        recipe.labelling is None
        or len(recipe.stages) != 1
        or sampler.name != "pk"
        or not isinstance(sampler.settings["epoch"], int)
    ):
        raise UserError(
            f"The recipe {recipe.name} does not say how to adapt: it needs 'labelling', and one stage whose "
            "sampler is pk with a number of batches in 'epoch'. Take the recipe adapt, or build on it."
        )
    count, least = len(crops.tracks), 2 * recipe.labelling.neighbours
    if count < least:
        raise UserError(
            f"Adapting needs {least:,} crops or more, twice the {recipe.labelling.neighbours} neighbours "
            f"that are compared; got {count:,}. Give more crops, or set labelling.neighbours to "
            f"{max(1, count // 2)} or less."
        )
    if crops.cameras is None:
        return recipe.labelling
    sizes = np.unique(crops.cameras, return_counts=True)[1]
    small = sizes[sizes <= recipe.labelling.neighbours]
    if len(sizes) < 2:
        raise UserError(
            "All crops are from one camera, so nothing shows what a person looks like in another one. Give "
            "crops of two cameras or more."
        )
    few = f"{recipe.labelling.neighbours} crops or fewer (labelling.neighbours)"
    if len(sizes) - len(small) < 2:
        raise UserError(
            f"Persons are looked for in each camera, and cameras with {few} are left out. That leaves "
            f"{len(sizes) - len(small)} of {len(sizes):,} cameras, and two are needed. Give more crops."
        )
    if len(small):
        say(f"Note: {small.sum():,} of {count:,} crops are not used, because their cameras have {few}.")
    return recipe.labelling


def why_useless(found: PseudoLabels, crops: int, settings: Labelling) -> str:
    """Return why a first labelling of crops cannot be learnt from."""
    if found.persons:
        return (
            f"{found.share:.0%} of the {crops:,} crops are alike, as if they showed one person, so "
            "nothing can be learnt from them. Give crops of several persons; if there are, set "
            f"labelling.within to less than {settings.within:g}."
        )
    return (
        f"No {settings.crops} of the {crops:,} crops are alike enough to be of one person, so nothing can be "
        "learnt from them. Check that they show persons, and several times each; if so, set labelling.within "
        f"to more than {settings.within:g} or labelling.crops to less than {settings.crops}."
    )


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike crops of one camera are to a network: mean cosines of two of them.

    Attributes:
        crops: of the crops to adapt to.
        one_person: of drawn crops of one person.
        two_persons: of drawn crops of two persons.
    """

    crops: float
    one_person: float
    two_persons: float

    @property
    def share(self) -> float:
        """Return where the crops stand between drawn crops of two persons (0) and of one (1).

        With K persons who have equally many crops it is about 1/K; crops of a new kind shift it.
        """
        return (self.crops - self.two_persons) / max(self.one_person - self.two_persons, 1e-12)


def compare_with_drawn(embedder: PixelEmbedder, crops: Unlabelled) -> Likeness:
    """Compare how alike crops are to a network with how alike drawn people are to it.

    Where cameras are not known, pairs of different cameras count, too.
    """
    persons, cameras, passages = DRAWN
    world, size = World(0, ROWS), embedder.picture_size
    every = range(1, 1 + 3 * persons, 3)  # three in a row look alike
    drawn = list(product(every, range(cameras), range(passages)))
    pictures = [
        resize(np.asarray(world.crop(*one, 0).image), size)
        for one in track(drawn, "Drawing people to compare with", len(drawn))
    ]
    who, where = torch.tensor([one[:2] for one in drawn]).T
    rows = np.linspace(0, len(crops.tracks) - 1, min(COMPARED, len(crops.tracks))).astype(int)
    places = torch.zeros(len(rows), dtype=torch.int64)
    if crops.cameras is None:
        where = torch.zeros_like(where)
    else:
        places = torch.from_numpy(crops.cameras[rows])
    pixels = crops.examples.pixels
    assert isinstance(pixels, np.ndarray)
    cosines = _cosines(embedder.embed(np.stack(pictures), title=None))
    beside, same = _pairs(where), who[:, None] == who
    own = _cosines(embedder.embed(pixels[rows], title="Comparing crops with drawn people"))
    return Likeness(
        float(own[_pairs(places)].mean()),
        float(cosines[beside & same].mean()),
        float(cosines[beside & ~same].mean()),
    )


def _cosines(vectors: Tensor) -> Tensor:
    units = functional.normalize(vectors.double(), dim=1)
    return units @ units.T


def _pairs(places: Tensor) -> Tensor:
    """Return which pairs of different crops are of one place: bool [N, N]."""
    return (places[:, None] == places) & ~torch.eye(len(places), dtype=torch.bool)


def refuse_alike(embedder: PixelEmbedder, crops: Unlabelled, settings: Labelling) -> None:
    """Refuse crops that are as alike to the network as those of one person.

    They show one person, or no persons: a network hardly tells noise, text and the like apart.

    Raises:
        UserError: their ``Likeness.share`` is above ``labelling.alike``.
    """
    found = compare_with_drawn(embedder, crops)
    if not found.share > settings.alike:  # it is not a number if each camera has one of the compared crops
        return
    raise UserError(
        f"The {len(crops.tracks):,} crops are as alike to the model as if they showed one person, or none: "
        f"two of them have a cosine of {found.crops:.2f} on average, where drawn crops of one person have "
        f"{found.one_person:.2f}, and of two persons {found.two_persons:.2f}. Give crops of several persons. "
        "If you did, the model hardly tells persons apart; to adapt it all the same, set labelling.alike to "
        f"more than {found.share:.2f}."
    )
