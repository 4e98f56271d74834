"""Sets of tracks: MARS and iLIDS-VID. Query and gallery are tracks, each the mean of its crops' features."""

import re
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from resight.data.benchmark import Benchmark, DataSource, Protocol
from resight.data.crop import JUNK, Crop
from resight.data.drawing import draw_persons
from resight.data.matlab import read_matlab
from resight.data.opening import READERS
from resight.errors import UserError
from resight.folders import examples, list_images, sub_folders

NAME = re.compile(r"(?:00)?(?P<person>-1|\d{4})C(?P<camera>\d)T(?P<track>\d{4})F\d+\.\w+", re.IGNORECASE)
"""``PPPPCcTttttFfff.jpg``: person, camera, track, frame. 00-1 is junk, 0000 a distractor."""


@READERS.register("mars")
class MARS:
    """MARS: 1,261 persons, 6 cameras, 20,478 tracks; published queries if info/query_IDX.mat is there."""

    source = DataSource(
        "MARS",
        "https://zheng-lab.cecs.anu.edu.au/Project/project_mars.html",
        "For research; see the page.",
    )

    def recognises(self, root: Path) -> bool:
        """Return whether the parts are there, with such names."""
        folders = [root / "bbox_train", root / "bbox_test"]
        if not all(folder.is_dir() for folder in folders):
            return False
        persons = sub_folders(folders[0])[:1]
        return any(NAME.fullmatch(path.name) for person in persons for path in list_images(person))

    def read(self, root: Path) -> Benchmark:
        """Return the tracks: one query of each person under each camera, the others as gallery.

        Raises:
            UserError: names are of another form, or the published queries do not fit the files.
        """
        train, test = (_crops(root / folder) for folder in ("bbox_train", "bbox_test"))
        tracks: dict[tuple[int, int | None, int | None], list[Crop]] = defaultdict(list)
        for crop in test:
            if crop.person != JUNK:
                tracks[crop.person, crop.camera, crop.track].append(crop)
        if (root / "info" / "query_IDX.mat").is_file():
            wanted, note = _published_queries(root / "info"), "Queries are those of info/query_IDX.mat."
        else:
            first: dict[tuple[int, int | None], Any] = {}
            for track in tracks:
                if track[0] > 0:
                    first.setdefault(track[:2], track)
            wanted = set(first.values())
            note = "No info/query_IDX.mat: the first track of each person under each camera is a query."
        if missing := wanted - tracks.keys():
            raise UserError(f"{len(missing)} query tracks of {root}/info are not in {root}/bbox_test.")
        return Benchmark(
            name=root.resolve().name,
            root=root,
            train=tuple(train),
            query=tuple(crop for track in tracks if track in wanted for crop in tracks[track]),
            gallery=tuple(crop for track in tracks if track not in wanted for crop in tracks[track]),
            protocol=Protocol("mars", tracks=True),
            notes=(f"{note} {len(wanted):,} of {len(tracks):,} test tracks are queries.",),
        )


@READERS.register("ilids-vid")
class ILIDSVID:
    """iLIDS-VID: 300 persons, one track in each of two cameras; half of the persons train, half test.

    Args:
        split: one of the ten published halves (train_test_splits_ilidsvid.mat), or of seeded ones.
    """

    source = DataSource(
        "iLIDS-VID",
        "https://xiatian-zhu.github.io/downloads_qmul_iLIDS-VID_ReID_dataset.html",
        "For academic research only; see the page.",
    )

    def __init__(self, *, split: Annotated[int, Field(ge=0, le=9)] = 0) -> None:
        self.split = split

    def recognises(self, root: Path) -> bool:
        """Return whether the two cameras' folders are there, with folders such as person001 in the first."""
        cameras = [_sequences(root) / camera for camera in ("cam1", "cam2")]
        if not all(camera.is_dir() for camera in cameras):
            return False
        persons = sub_folders(cameras[0])
        return bool(persons) and all(re.fullmatch(r"person\d+", person.name) for person in persons)

    def read(self, root: Path) -> Benchmark:
        """Return half of the persons for training; of the others, camera 1 as queries, camera 2 as gallery.

        Raises:
            UserError: a person's folder has no number, or there are too few persons under both cameras.
        """
        views: dict[int, dict[int, list[Crop]]] = {}
        for camera in (1, 2):
            folders = sub_folders(_sequences(root) / f"cam{camera}")
            persons = {folder: re.search(r"\d+$", folder.name) for folder in folders}
            if wrong := [folder for folder, number in persons.items() if number is None]:
                raise UserError(f"{wrong[0]} is no person of iLIDS-VID: its name ends with no number.")
            views[camera] = {
                int(number[0]): [Crop(path, int(number[0]), camera, track=1) for path in list_images(folder)]
                for folder, number in persons.items()
                if number is not None
            }
        both = sorted(set(views[1]) & set(views[2]))
        if len(both) < 2:
            raise UserError(
                f"{root} has {len(both)} persons with a track under both cameras; two are needed."
            )
        file = next(root.rglob("train_test_splits_ilidsvid.mat"), None)
        if file is None:
            test = draw_persons(both, len(both) // 2, "ilids-vid", self.split)
            note = f"Split {self.split} of seeded halves, as there is no train_test_splits_ilidsvid.mat."
        else:
            order = read_matlab(file, "ls_set")[self.split]
            test = {both[place - 1] for place in order[: len(order) // 2].tolist() if place <= len(both)}
            note = f"Split {self.split} of the ten published halves: papers average them."
        crops = [crop for view in views.values() for person in sorted(view) for crop in view[person]]
        tested = [crop for crop in crops if crop.person in test]
        return Benchmark(
            name=root.resolve().name,
            root=root,
            train=tuple(crop for crop in crops if crop.person in both and crop.person not in test),
            query=tuple(crop for crop in tested if crop.camera == 1),
            gallery=tuple(crop for crop in tested if crop.camera == 2),
            protocol=Protocol("ilids-vid", tracks=True),
            notes=(note,),
        )


def _sequences(root: Path) -> Path:
    inner = (root / "i-LIDS-VID" / "sequences", root / "sequences")
    return next((folder for folder in inner if folder.is_dir()), root)


def _crops(folder: Path) -> list[Crop]:
    paths = list_images(folder, deep=True)
    found = [(path, NAME.fullmatch(path.name)) for path in paths]
    if strange := [path for path, match in found if match is None]:
        raise UserError(
            f"{len(strange)} of {len(paths)} images in {folder} are not named PPPPCcTttttFfff.jpg (person, "
            f"camera, track, frame), for instance {examples(strange, folder)}. Move them away."
        )
    return [
        Crop(path, int(match["person"]), int(match["camera"]), track=int(match["track"]))
        for path, match in found
        if match is not None
    ]


def _published_queries(info: Path) -> set[tuple[int, int | None, int | None]]:
    """Return person, camera and track of the queries."""
    rows = read_matlab(info / "tracks_test_info.mat", "track_test_info")
    try:
        names = (info / "test_name.txt").read_text().split()
    except (OSError, UnicodeError) as error:
        raise UserError(f"{info / 'test_name.txt'} cannot be read: {error}.") from None
    wanted: set[tuple[int, int | None, int | None]] = set()
    for place in read_matlab(info / "query_IDX.mat", "query_IDX").ravel().tolist():
        if not 0 < place <= len(rows):
            raise UserError(
                f"{info / 'query_IDX.mat'} names the track {place}, but tracks_test_info.mat has {len(rows)}."
            )
        line = int(rows[place - 1][0])
        found = NAME.fullmatch(names[line - 1]) if 0 < line <= len(names) else None
        if found is None:
            raise UserError(
                f"Line {line} of {info / 'test_name.txt'}, which the queries name, is missing or not of the "
                "form PPPPCcTttttFfff.jpg."
            )
        wanted.add((int(found["person"]), int(found["camera"]), int(found["track"])))
    return wanted
