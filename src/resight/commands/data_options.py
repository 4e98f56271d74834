"""Options shared by all commands that read a data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from resight.errors import UserError

if TYPE_CHECKING:
    from resight.features.crop_list import CropList, Part


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """How a data set is read.

    Args:
        reader: reader of the data and its options, such as cuhk03,boxes=labelled (see 'resight data
            readers'). For several data sets: one for each, or one for all.
        listing: file written by 'resight data split', with the crops of each part.
        split: which split of a set that has several, such as 0 to 19 of CUHK03's old protocol.
        holdout: persons to hold out for testing (the last ones), 0 for none; by default the set's own test
            part, or else the last fifth of the persons ('resight evaluate': all persons of a set that the run
            was not trained on).
        pattern: regular expression with named groups person and/or camera, searched in each file's path below
            the folder; if that does not match, with the folder's own name before it.
    """

    reader: Annotated[Sequence[str], Parameter(negative="")] = ()
    listing: Path | None = None
    split: int | None = None
    holdout: int | None = None
    pattern: str | None = None

    def arguments(self) -> dict[str, Any]:
        """Return the arguments for ``data.opening.open_data``."""
        others = ("listing", "split", "holdout", "pattern")
        return {"reader": self.reader or None} | {name: getattr(self, name) for name in others}

    def given(self) -> list[str]:
        """Return the options that were given."""
        return [f"--{name}" for name, value in self.arguments().items() if value is not None]

    def refuse_without_data(self, otherwise: str) -> None:
        """Refuse the options where no data are named.

        Args:
            otherwise: a sentence that says what the command does without data.
        """
        if given := self.given():
            raise UserError(f"{' and '.join(given)} can only be given with --data. {otherwise}")

    def crops(
        self, path: Path, part: "Part", unlabelled: bool, camera_pattern: str | None = None
    ) -> "CropList":
        """List the crops to embed; see ``features.crop_list.crops_to_embed``."""
        from resight.features.crop_list import crops_to_embed

        if len(self.reader) > 1:
            raise UserError(f"Give one --reader for the data; got {len(self.reader)}.")
        arguments = self.arguments() | {"reader": next(iter(self.reader), None)}
        return crops_to_embed(
            path, part=part, unlabelled=unlabelled, camera_pattern=camera_pattern, **arguments
        )


DEFAULT = DataOptions()

CrossCamera = Annotated[
    bool,
    Parameter(help="with --no-cross-camera, matches by the query's own camera count too."),
]
