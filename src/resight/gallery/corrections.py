"""Corrections of what is stored with crops: camera, time, person and tags."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from resight.errors import UserError
from resight.gallery.catalogue import Catalogue
from resight.gallery.crops import CAMERA_KEY, Filter, NewCrop, camera_key, from_payload, time_fields
from resight.timestamps import check_time, from_seconds, show_time

NOT = "not:"
"""Beginning of a tag of a crop that does not show a person, whose name follows."""

SAME_TIME = 0.001
"""Seconds by which two equal times may differ."""


class NameTaken(UserError):
    """Two persons would get one name."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A crop that is added again with another value of a field than it has in the gallery.

    Attributes:
        id: of the crop.
        name: of the crop that is added.
        field: camera, time, person or tags.
        given: value that it is added with.
        stored: value in the gallery.
        guessed: whether the given and the stored time are guesses.
    """

    id: str
    name: str
    field: str
    given: Any
    stored: Any
    guessed: tuple[bool, bool] = (False, False)

    def describe(self) -> str:
        """Return both values as text."""
        given, stored = map(_text, (self.given, self.stored), self.guessed)
        return f"{given}, in the gallery {stored}"


class CorrectedCatalogue(Catalogue):
    """A catalogue whose crops can be corrected."""

    def label(self, ids: Sequence[str], person: str | None) -> None:
        """Label crops with the person that they show; None removes the label.

        Raises:
            UserError: a crop is not in the gallery.
        """
        self._change(ids, {"person": person})

    def tag(self, ids: Sequence[str], tags: Sequence[str]) -> None:
        """Replace the tags of crops.

        Raises:
            UserError: a crop is not in the gallery.
        """
        self._change(ids, {"tags": list(dict.fromkeys(tags))})

    def change_tags(self, ids: Sequence[str], add: Sequence[str] = (), remove: Sequence[str] = ()) -> None:
        """Add tags to crops, and remove others.

        Raises:
            UserError: a crop is not in the gallery.
        """
        with self._changing:
            changed: dict[tuple[str, ...], list[str]] = defaultdict(list)
            for crop in self.get(ids):
                tags = tuple(dict.fromkeys(tag for tag in (*crop.tags, *add) if tag not in remove))
                if tags != crop.tags:
                    changed[tags].append(crop.id)
            for tags, some in changed.items():
                self.tag(some, tags)

    def set_time(self, ids: Sequence[str], time: datetime | None, *, guessed: bool = False) -> None:
        """Correct when crops were taken; None: not known. The retention period counts from the new time.

        Args:
            ids: of the crops.
            time: with its zone.
            guessed: whether it is a guess.

        Raises:
            UserError: a crop is not in the gallery, or the time has no zone or is before 1970.
        """
        if time is not None:
            check_time(time)
        seconds = None if time is None else time.timestamp()
        self._set_times(ids, lambda payload: (seconds, guessed))

    def shift_time(self, ids: Sequence[str], seconds: float) -> None:
        """Correct when crops were taken by a number of seconds; unknown times stay unknown.

        Raises:
            UserError: a crop is not in the gallery, or would be taken before 1970.
        """

        def shifted(payload: Mapping[str, Any]) -> tuple[float | None, bool]:
            stored = payload.get("time")
            return None if stored is None else stored + seconds, payload.get("time_guessed", False)

        self._set_times(ids, shifted)

    def set_camera(self, ids: Sequence[str], camera: str | None) -> None:
        """Correct which camera took crops; None: not known.

        Raises:
            UserError: a crop is not in the gallery.
        """
        with self._compacting, self._changing:
            records = self._records(ids, "vector")
            self._note_traces()
            self._means.remove(records)
            fields = {"camera": camera, CAMERA_KEY: None if camera is None else camera_key(camera)}
            set_fields = {} if camera is None else fields
            moved = [
                replace(
                    record,
                    payload={key: value for key, value in record.payload.items() if key not in fields}
                    | set_fields,
                )
                for record in self._means.restored(records)
            ]
            for store in self._stores():
                if there := list(store.get(ids)):
                    store.change(there, fields)
            self._store.update(self._means.add(moved))
            self._means.save()
        self._renew_means()

    def rename(self, person: str, name: str, *, merge: bool = False) -> int:
        """Give a person another name: in labels, and in tags of crops that do not show this person.

        Args:
            person: present name.
            name: new name.
            merge: allow that crops of a person with the new name exist: the two become one.

        Returns:
            the number of crops of the person.

        Raises:
            UserError: no crop has that label, or the new name is empty.
            NameTaken: another person has the new name.
        """
        name = name.strip()
        if not name:
            raise UserError(f"Give the new name of '{person}'.")
        with self._changing:
            own = [crop.id for crop in self.crops(Filter(persons=(person,)))]
            if not own:
                raise UserError(f"No crop in the gallery is labelled as '{person}'.")
            if name == person:
                return len(own)
            if (others := self.count(Filter(persons=(name,)))) and not merge:
                raise NameTaken(f"{others:,} crops are labelled as '{name}' already.")
            self.label(own, name)
            marked = [crop.id for crop in self.crops(Filter(tags=(NOT + person,)))]
            self.change_tags(marked, [NOT + name], [NOT + person])
            both = Filter(persons=(name,), tags=(NOT + name,))
            self.change_tags([crop.id for crop in self.crops(both)], remove=[NOT + name])
        return len(own)

    def compare(self, known: Iterable[tuple[str, NewCrop]], update: bool = False) -> list[Difference]:
        """Compare crops that are added again with those in the gallery.

        What a new crop does not say (a camera or time that is not known, no label) is no difference, nor is
        a tag that only the stored crop has.

        Args:
            known: ids of crops, and what they are added with.
            update: store the new values.
        """
        given = list(known)
        found: list[Difference] = []
        stored = self._store.get([identity for identity, _ in given])
        for identity, new in given:
            if identity not in stored:  # deleted in the meantime
                continue
            old = from_payload(identity, stored[identity].payload)
            for field in ("camera", "time", "person"):
                value, present = getattr(new, field), getattr(old, field)
                guessed = (new.time_guessed, old.time_guessed) if field == "time" else (False, False)
                # a guess may be known for sure in the gallery, and what was a guess there may be sure now
                if value is not None and not (_same(value, present) and guessed[0] >= guessed[1]):
                    found.append(Difference(identity, new.name, field, value, present, guessed))
            if missing := tuple(tag for tag in new.tags if tag not in old.tags):
                found.append(Difference(identity, new.name, "tags", missing, old.tags))
        if update:
            groups: dict[tuple[str, Any, bool], list[str]] = defaultdict(list)
            for one in found:
                groups[one.field, one.given, one.guessed[0]].append(one.id)
            for (field, value, guess), ids in groups.items():
                self._set(ids, field, value, guess)
        return found

    def _set(self, ids: Sequence[str], field: str, value: Any, guessed: bool) -> None:
        if field == "camera":
            self.set_camera(ids, value)
        elif field == "time":
            self.set_time(ids, value, guessed=guessed)
        elif field == "person":
            self.label(ids, value)
        else:
            self.change_tags(ids, value)

    def _set_times(
        self, ids: Sequence[str], new: Callable[[Mapping[str, Any]], tuple[float | None, bool]]
    ) -> None:
        """Set times to what ``new`` returns for a crop's fields: seconds, and whether these are a guess."""
        with self._changing:
            changed: dict[tuple[tuple[str, Any], ...], list[str]] = defaultdict(list)
            for record in self._records(ids):
                payload = record.payload
                taken, guessed = new(payload)
                if taken is not None:
                    check_time(from_seconds(taken))
                fields = time_fields(taken, payload.get("added", payload["since"]), guessed)
                changed[tuple(fields.items())].append(record.id)
            for key, some in changed.items():
                self._change(some, dict(key))

    def _change(self, ids: Sequence[str], fields: dict[str, Any]) -> None:
        with self._changing:
            if any(record.payload.get(field) for record in self._records(ids) for field in fields):
                self._note_traces()
            for store in self._stores():
                if there := list(store.get(ids)):
                    store.change(there, fields)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, datetime) and isinstance(other, datetime):
        return abs(one.timestamp() - other.timestamp()) < SAME_TIME
    return bool(one == other)


def _text(value: Any, guessed: bool = False) -> str:
    if isinstance(value, datetime):
        return show_time(value, guessed=guessed)
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return "not known" if value is None else str(value)
