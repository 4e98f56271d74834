"""What a command leaves out, counted by reason."""

from dataclasses import dataclass, field
from typing import Any

_UNREADABLE = {
    " is empty (": "an empty file",
    " is animated or ": "a picture that is animated or has several pages",
    " file is expected.": "a file of another format than those that are read",
    " is a HEIC picture.": "a HEIC picture, which is read with the extra 'heic'",
    " holds no whole image": "a damaged picture",
    " are read.": "a picture with too many bytes or pixels",
}
"""Words of the sentences of ``image_files.ImageError`` -> reason."""


@dataclass(slots=True)
class LeftOut:
    """Counts what is left out, by reason, and keeps the first example of each.

    Whatever reads something for a command takes one and counts in it. A command ends with one table of it:
    ``print_left_out(left_out)`` of ``commands.output``. With ``--json``, the same is in the result under
    ``left_out``: ``result | {"left_out": left_out.as_list()}``, also when it is empty.

    >>> left_out = LeftOut()
    >>> left_out.add("an empty file", "0001/a.jpg")
    >>> left_out.add("boxes of class 2, not a person", "frame 12", count=57)
    >>> left_out.as_list()[1]
    {'reason': 'boxes of class 2, not a person', 'count': 57, 'example': 'frame 12'}

    A reason is a noun phrase without the example in it, so that equal reasons are counted together.
    """

    _found: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add(self, reason: str, example: object, count: int = 1) -> None:
        """Count so many items as left out; nothing if ``count`` is 0."""
        if count:
            before, first = self._found.get(reason, (0, str(example)))
            self._found[reason] = before + count, first

    def add_unreadable(self, example: object, why: object = "", count: int = 1) -> None:
        """Count pictures that cannot be read or decoded, by the kind of the error that says why."""
        kinds = (kind for words, kind in _UNREADABLE.items() if words in f" {why}")
        self.add(next(kinds, "a picture that cannot be read"), example, count)

    def update(self, other: "LeftOut") -> None:
        """Add the counts of another one."""
        for reason, (count, example) in other._found.items():
            self.add(reason, example, count)

    def total(self) -> int:
        """Return how many items were left out."""
        return sum(count for count, _ in self._found.values())

    def __bool__(self) -> bool:
        return bool(self._found)

    def as_list(self) -> list[dict[str, Any]]:
        """Return reason, count and first example of each, the highest count first, as plain data."""
        rows = sorted(self._found.items(), key=lambda item: -item[1][0])
        return [{"reason": reason, "count": count, "example": example} for reason, (count, example) in rows]
