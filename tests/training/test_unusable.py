"""What cannot be adapted to is refused: one person, no persons, too few crops or cameras."""

import itertools
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from adapting_jobs import LABELLING, crops_of, network, pictures, recipe, run, unlabelled
from PIL import Image

from resight.data.unlabelled import Unlabelled, read_unlabelled
from resight.errors import UserError
from resight.inference.loading import load_model
from resight.models.embedding import PixelEmbedder
from resight.models.network import Network
from resight.models.packaged import NAME
from resight.people.crops import World
from resight.training.adapting import adapt
from resight.training.reading import load_recipe
from resight.training.recipe import Labelling
from resight.training.unusable import Likeness, compare_with_drawn, refuse_alike, refuse_large


def test_crops_from_which_nothing_can_be_learnt_are_refused(tmp_path: Path) -> None:
    one_person = [replace(crop, camera=None) for crop in crops_of(pictures(tmp_path / "one", 1, 14, 20.0))]
    chosen = recipe(labelling=LABELLING | {"neighbours": 7, "within": 0.99})
    with pytest.raises(UserError, match="100% of the 14 crops are alike, as if they showed one person"):
        adapt(network(), chosen, read_unlabelled(one_person, (16, 8)), tmp_path / "a", device="cpu")
    noise = pictures(tmp_path / "noise", 7, 2, 90.0)
    with pytest.raises(UserError, match="No 8 of the 14 crops are alike enough to be of one person"):
        run(tmp_path / "b", noise, recipe(labelling=LABELLING | {"crops": 8, "within": 0.1}))
    with pytest.raises(UserError, match=r"needs 12 crops or more, twice the 6 neighbours .* got 8"):
        run(tmp_path / "c", pictures(tmp_path / "few", 4, 2, 9.0))
    with pytest.raises(UserError, match="All crops are from one camera"):
        run(tmp_path / "d", pictures(tmp_path / "camera", 7, 2, 9.0, cameras=1))
    with pytest.raises(
        UserError,
        match=r"cameras with 6 crops or fewer \(labelling\.neighbours\) are left out. .* 0 of 3 cameras",
    ):
        run(tmp_path / "f", pictures(tmp_path / "cameras", 6, 3, 9.0, cameras=3))
    with pytest.raises(UserError, match="The recipe tiny does not say how to adapt"):
        run(tmp_path / "e", noise, tiny.tiny_recipe())


def drawn(folder: Path, persons: int, passages: int) -> Unlabelled:
    """Draw crops of persons under two cameras, eight in a passage."""
    world = World(1, 128)
    folder.mkdir()
    for person, camera, passage, crop in np.ndindex(persons, 2, passages, 8):
        picture = world.crop(1 + 3 * person, camera, passage, crop).image
        picture.save(folder / f"{person}-{passage}-{crop}_c{camera + 1}.png")
    return read_unlabelled(crops_of(folder), (128, 64))


def noise(folder: Path) -> Unlabelled:
    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(16):
        pixels = generator.integers(0, 256, (128, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}_c{number % 2 + 1}.png")
    return read_unlabelled(crops_of(folder), (128, 64))


def test_crops_of_one_person_and_pictures_of_none_are_refused(tmp_path: Path) -> None:
    model = load_model(NAME, device="cpu").network
    assert isinstance(model, Network)
    embedder = PixelEmbedder(model, device=torch.device("cpu"))
    several = compare_with_drawn(embedder, drawn(tmp_path / "several", 5, 1)).share
    one = compare_with_drawn(embedder, drawn(tmp_path / "one", 1, 2)).share
    none = compare_with_drawn(embedder, noise(tmp_path / "none")).share
    assert several < 0.35
    assert one > 0.8
    assert none > 1
    chosen = load_recipe("adapt", fitting=False)
    for name in ("one", "none"):
        crops, folder = read_unlabelled(crops_of(tmp_path / name), (128, 64)), tmp_path / f"adapted-{name}"
        message = f"The {len(crops.tracks)} crops are as alike to the model as if they showed one person, or"
        with pytest.raises(UserError, match=message):
            adapt(model, chosen, crops, folder, device="cpu")
        assert not folder.exists()
    refuse_alike(embedder, crops, Labelling(alike=none + 0.01))
    with pytest.raises(UserError, match=r"labelling\.alike"):
        load_recipe("adapt", ["labelling.alike=nan"], fitting=False)


def test_likeness_is_the_mean_cosine_of_two_crops_of_one_camera(tiny_data: Path) -> None:
    crops = tiny_data / "bounding_box_train"
    embedder = PixelEmbedder(network(), device=torch.device("cpu"), precision="float32")
    for read in (unlabelled(crops), replace(unlabelled(crops), cameras=None)):
        found = compare_with_drawn(embedder, read)
        vectors = embedder.embed(read.examples.pixels).double()
        cosines = [
            float(torch.cosine_similarity(vectors[one], vectors[other], dim=0))
            for one, other in itertools.combinations(range(len(vectors)), 2)
            if read.cameras is None or read.cameras[one] == read.cameras[other]
        ]
        assert found.crops == pytest.approx(np.mean(cosines), abs=1e-6)
        assert found.one_person > found.two_persons
    assert Likeness(0.3, 0.9, 0.1).share == pytest.approx(0.25)


def test_crops_of_small_cameras_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = pictures(tmp_path / "crops", 8, 4, 9.0)
    for number in range(5):
        shutil.copy(folder / f"{number}-0_c1.png", folder / f"9-{number}_c3.png")
    run(tmp_path / "run", folder)
    note = "5 of 37 crops are not used, because their cameras have 6 crops or fewer (labelling.neighbours)"
    assert note in " ".join(capsys.readouterr().err.split())


def test_more_crops_than_memory_holds_are_refused() -> None:
    with pytest.raises(
        UserError, match=r"1,000,000,000 crops .* about [\d,.]+ GB of memory .* are available"
    ):
        refuse_large(10**9, 512, Labelling())
