"""Draw the pictures of the README and of docs/methods, all of synthetic people that no run has trained on.

resight synthesize people --persons 260 --test-persons 60 --cameras 4 --crops 3 --height 128
for recipe in han-small-fast sal-fast sona-2-fast sharp-fast sn-fast; do
    resight train $recipe --data people
done
python docs/images/draw.py people runs/*-fast
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sheets import FOLDER, INK, RIGHT, WRONG, Tile, coloured, overlays, ranked_lists_png, save, sheet
from torch import Tensor
from torch.nn import functional

import resight
from resight.data.benchmark import Benchmark
from resight.data.crop import Crop
from resight.imaging import Pixels, read_image
from resight.losses.mining import squared_distances
from resight.losses.support_neighbour import SupportNeighbour
from resight.losses.term import TERMS
from resight.models.attention.second_order import SecondOrder
from resight.models.attention.sharp import Sharp, sample, stretched
from resight.models.han import HAN
from resight.models.network import Network, build_model
from resight.models.representation import Representation
from resight.models.sal import SAL
from resight.report.lists import ranked_lists
from resight.seeds import derive_seed
from resight.training.fitting import bare_model
from resight.training.recipe import Recipe
from resight.training.run import Run

CROPS, WIDEST = 6, 1140


def main(data: Path, folders: Sequence[Path]) -> None:
    benchmark = resight.open_benchmark(data)
    for folder in folders:
        run = Run.open(folder)
        figures = figures_of(run.recipe)
        for draw in figures:
            draw(run, benchmark)
            print(f"{run.recipe.name}: {draw.__name__}")
        if not figures:
            print(f"{run.recipe.name}: no picture is of such a network or loss")


def ranked(run: Run, benchmark: Benchmark) -> None:
    embedded = resight.embed_benchmark(resight.Embedder(resight.load_model(run)), benchmark)
    scores = resight.evaluate(embedded.query, embedded.gallery, benchmark.protocol)
    lists = ranked_lists(embedded, scores, benchmark.protocol, count=1, hits=9)
    path = FOLDER / "ranked-lists.png"
    ranked_lists_png(lists, path, width=64, scale=2)
    picture = Image.open(path)
    picture.thumbnail((WIDEST, picture.height), Image.Resampling.LANCZOS)
    save(picture, path.name)


def han(run: Run, benchmark: Benchmark) -> None:
    """HAN's regions and soft maps at its three levels."""
    model = run.load_network("cpu")
    pixels = read(some_crops(benchmark, CROPS - 1), model)  # two rows more than the others have
    found = look(model, pixels)
    rows = {}
    for level in ("1", "2", "3"):
        boxes = found.regions[f"level{level}"].clamp(0, 1).tolist()
        rows[f"regions,\nlevel {level}"] = [
            Tile(crop, boxes=own) for crop, own in zip(pixels, boxes, strict=True)
        ]
    for level in ("1", "2", "3"):
        rows[f"soft map,\nlevel {level}"] = overlays(pixels, found.attention[f"soft{level}"])
    sheet(rows, "han.png")


def sal(run: Run, benchmark: Benchmark) -> None:
    """SAL's three maps."""
    model = run.load_network("cpu")
    pixels = read(some_crops(benchmark, CROPS), model)
    found = look(model, pixels)
    rows = {"crop": [Tile(crop) for crop in pixels]}
    for name, heat in found.attention.items():
        rows[name.replace("stage", "stage ")] = overlays(pixels, heat)
    before = apart(look(untrained(run, model), pixels))
    for tile, *distances in zip(rows["stage 6"], before, apart(found), strict=True):
        tile.note = "{:.2f} → {:.2f}".format(*distances)
    sheet(rows, "sal.png")


def apart(found: Representation) -> list[float]:
    """Return SAL's Eq. 2 of each crop."""
    *others, last = (found.attention[name] for name in ("stage4", "stage5", "stage6"))
    return torch.stack([(last - other).square().sum((1, 2)) for other in others]).sum(0).tolist()


SEEN_FROM = {
    "the head": (0.12, 0.5),
    "the chest": (0.35, 0.5),
    "a knee": (0.7, 0.45),
    "the ground": (0.95, 0.1),
}
"""Row and column of the reference positions, in fractions."""


def sona(run: Run, benchmark: Benchmark) -> None:
    """What a few positions attend to in second-order attention, as multiples of an even spread."""
    model = run.load_network("cpu")
    pixels = read(some_crops(benchmark, CROPS), model)
    module = next(part for part in model.modules() if isinstance(part, SecondOrder))
    (given,) = inputs_of(module, model, pixels)
    height, width = given.shape[2:]
    rows = {"crop": [Tile(crop) for crop in pixels]}
    for name, (down, right) in SEEN_FROM.items():
        row, column = int(down * height), int(right * width)
        with torch.inference_mode():
            weights = module.seen_from(given, row, column) * height * width
        tiles = overlays(pixels, weights)
        for tile, own in zip(tiles, weights, strict=True):
            tile.dot = (column + 0.5) / width, (row + 0.5) / height
            tile.note = f"{own.min():.2f}–{own.max():.2f}"
        rows[f"seen from\n{name}"] = tiles
    sheet(rows, "sona.png")


def sharp(run: Run, benchmark: Benchmark) -> None:
    """Sharp attention's masks: their mean over channels, block by block."""
    model = run.load_network("cpu")
    pixels = read(some_crops(benchmark, CROPS), model)
    found = look(model, pixels)
    rows = {"crop": [Tile(crop) for crop in pixels]}
    for name, mask in found.attention.items():
        rows[f"mask after\n{name.replace('layer', 'block ')}"] = overlays(pixels, mask.mean(1))
    sheet(rows, "sharp.png")


def sharp_draws(run: Run, benchmark: Benchmark) -> None:
    """One channel after block 1: what is sampled, some draws, and the soft gate."""
    model = run.load_network("cpu")
    pixels = read(some_crops(benchmark, 4), model)
    module = next(part for part in model.modules() if isinstance(part, Sharp))
    (given,) = inputs_of(module, model, pixels)
    with torch.inference_mode():
        source = module.context(given)
        share = stretched(source)
        channel = int(share.var((2, 3)).mean(0).argmax())
        torch.manual_seed(0)
        columns = {
            "crop": None,
            "π₁ (Eq. 3)": share,
            "draw, τ = 1": sample(share, torch.tensor(1.0), noisy=True),
            "draw, τ = 0.5": sample(share, torch.tensor(0.5), noisy=True),
            "test, τ = 0.5": sample(share, torch.tensor(0.5), noisy=False),
            "soft gate": torch.sigmoid(source),
        }
    rows = {
        f"crop {index + 1}": [
            Tile(crop) if values is None else Tile(coloured(values[index, channel].numpy()))
            for values in columns.values()
        ]
        for index, crop in enumerate(pixels)
    }
    sheet(rows, "sharp-draws.png", heads=list(columns))


def neighbours(run: Run, benchmark: Benchmark) -> None:
    """The support neighbours of two anchors, before training and after it."""
    (settings,) = (term for term in run.recipe.stages[0].objective if term.term == "support-neighbour")
    term = TERMS.build(settings.term, **settings.settings)
    assert isinstance(term, SupportNeighbour)
    batch = people(benchmark)[:: len(people(benchmark)) // 8][:8]
    crops = [crop for crop in benchmark.query if crop.person in batch]
    after = run.load_network("cpu")
    before = untrained(run, after)
    pixels = read(crops, after)
    persons = torch.tensor([crop.person for crop in crops])
    rows: dict[str, list[Tile]] = {}
    for anchor in (0, 13):
        for when, model in {"before": before, "after": after}.items():
            embedding = functional.normalize(look(model, pixels).branches["global"].embedding, dim=1)
            distance = squared_distances(embedding)[anchor]
            order = [int(place) for place in distance.argsort() if place != anchor][: term.neighbours]
            anchor_tile = Tile(read_image(crops[anchor].path), "anchor", INK)
            rows[f"person {len(rows) // 2 + 1},\n{when}"] = [anchor_tile] + [
                Tile(
                    read_image(crops[place].path),
                    f"{'✓' if persons[place] == persons[anchor] else '✗'} {distance[place]:.2f}",
                    RIGHT if persons[place] == persons[anchor] else WRONG,
                )
                for place in order
            ]
    sheet(rows, "sn.png", size=(108, 54))


def figures_of(recipe: Recipe) -> list[Callable[[Run, Benchmark], None]]:
    """Return the pictures that a run of the recipe is good for, whatever its name."""
    modules = {type(module) for module in bare_model(recipe.model).modules()}
    terms = {term.term for term in recipe.stages[0].objective}
    found: list[Callable[[Run, Benchmark], None]] = []
    found += [ranked, han] if HAN in modules else []
    found += [sal] if SAL in modules else []
    found += [sona] if SecondOrder in modules else []
    found += [sharp, sharp_draws] if Sharp in modules else []
    return found + ([neighbours] if "support-neighbour" in terms else [])


def people(benchmark: Benchmark) -> list[int]:
    """Return the test persons in order."""
    return sorted({crop.person for crop in benchmark.query})


def some_crops(benchmark: Benchmark, count: int) -> list[Crop]:
    """Choose a query of each of some persons, spread over the set, under one camera after the other."""
    persons = people(benchmark)
    chosen = [persons[index * len(persons) // count] for index in range(count)]
    queries = {person: [crop for crop in benchmark.query if crop.person == person] for person in chosen}
    return [queries[person][index % len(queries[person])] for index, person in enumerate(chosen)]


def read(crops: Sequence[Crop], model: Network) -> Pixels:
    """Return crops as uint8 [N, H, W, 3] at the model's input size."""
    return np.stack([read_image(crop.path, model.input_size) for crop in crops])


def untrained(run: Run, model: Network) -> Network:
    """Return the network as the run's training began with it."""
    torch.manual_seed(derive_seed(run.recipe.seed, "model"))
    return build_model(model.name, model.num_persons, **model.settings).eval()


def look(model: Network, pixels: Pixels) -> Representation:
    """Return what the model says of crops."""
    with torch.inference_mode():
        found: Representation = model(model.normalise(torch.from_numpy(pixels).permute(0, 3, 1, 2)))
    return found


def inputs_of(module: torch.nn.Module, model: Network, pixels: Pixels) -> tuple[Tensor, ...]:
    """Return what a module inside the model is given for crops."""
    seen: list[tuple[Tensor, ...]] = []
    handle = module.register_forward_pre_hook(lambda _, given: seen.append(given))
    look(model, pixels)
    handle.remove()
    return seen[0]


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(folder) for folder in sys.argv[2:]])
