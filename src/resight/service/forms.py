"""Fields of requests, validated: filters, searches, marks, cases."""

from collections.abc import Sequence
from datetime import tzinfo
from typing import Annotated, Any

from fastapi import UploadFile
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from resight.gallery.crops import FILTERS, Filter, make_filter
from resight.gallery.searching import Combine
from resight.service.limits import Limits

LIMITS = Limits()

Id = Annotated[
    str,
    StringConstraints(to_lower=True, pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"),
]
Word = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=LIMITS.words, pattern=r"^[^\x00-\x1f\x7f]*$"),
]
Words = Annotated[list[Word], Field(max_length=100)]
Ids = Annotated[list[Id], Field(max_length=LIMITS.case_crops)]
Pictures = Annotated[list[UploadFile], Field(max_length=LIMITS.pictures)]


class Form(BaseModel):
    """A request's fields. Empty fields count as missing; unknown ones are refused."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def leave_out_empty(cls, given: Any) -> Any:
        """Drop empty strings, which browsers send for empty fields and for files that were not chosen."""
        if not isinstance(given, dict):
            return given
        kept = {
            name: [entry for entry in value if entry != ""] if isinstance(value, list) else value
            for name, value in given.items()
        }
        return {name: value for name, value in kept.items() if value not in ("", [])}


class FilterForm(Form):
    """Selects the crops that meet all conditions; see ``Filter``."""

    camera: Words = Field([], description=FILTERS["camera"][1])
    not_camera: Words = Field([], description=FILTERS["not_camera"][1])
    after: Word = Field("", description=FILTERS["after"][1])
    before: Word = Field("", description=FILTERS["before"][1])
    tag: Words = Field([], description=FILTERS["tag"][1])
    person: Words = Field([], description=FILTERS["person"][1])
    source: Words = Field([], description=FILTERS["source"][1])
    labelled: bool = Field(False, description=FILTERS["labelled"][1])

    def filter(self, zone: tzinfo, ids: Sequence[str] = ()) -> Filter:
        """Return the filter, limited to crops with the given ids if there are any.

        Raises:
            UserError: a time cannot be read.
        """
        return make_filter(self.model_dump(include=set(FILTERS)), zone, ids)

    def describe(self) -> dict[str, Any]:
        """Return the conditions for the audit log: times, and the number of strings in each other field.

        Strings may name persons, and the log remains after their crops are deleted.
        """
        given = self.model_dump(include=set(FILTERS), exclude_defaults=True)
        return {field: len(value) if isinstance(value, list) else value for field, value in given.items()}


class ListForm(FilterForm):
    """A page of stored crops."""

    top: int = Field(50, ge=1, le=LIMITS.top, description="crops to return")
    after_id: Id | None = Field(None, description="'next' of the previous page")


class SearchRequest(FilterForm):
    """A search for one person, given pictures, stored crops or both."""

    pictures: Pictures = Field([], description="of one person: JPEG, PNG, WebP, GIF or BMP")
    crop: Ids = Field([], description="ids of stored crops of the person")
    choice: int | None = Field(
        None,
        ge=0,
        le=999,
        description="number of the detected person in the first picture, from 0",
    )
    query_camera: Word = Field(
        "", description="camera that took the pictures; without it, the overall mean is subtracted"
    )
    other_cameras: bool = Field(False, description="leave out crops of the query's cameras")
    combine: Combine = Field(
        "average", description="score for several pictures: to their average, or the highest"
    )
    top: int = Field(48, ge=1, le=LIMITS.top, description="matches to return")
    offset: int = Field(0, ge=0, le=LIMITS.offset, description="matches to skip")
    rerank: bool = Field(False, description="re-rank the best 200 matches by their neighbours")
    false_match_rate: float | None = Field(None, gt=0, lt=1, description="of likely matches")


class Addition(Form):
    """Crops to add, with fields for all of them."""

    pictures: Pictures = Field(description="one crop each")
    camera: Word = ""
    time: Word = Field("", description="when they were taken, such as 2024-05-31T14:30")
    source: Word = "upload"
    person: Word = ""
    tag: Words = []
    detect: bool = Field(False, description="add each person that the detector finds")
    update: bool = Field(False, description="store the values of crops that are already in the gallery")
    add_again: bool = Field(False, description="also add pictures that were deleted from the gallery")


class Forgetting(FilterForm):
    """Crops to delete: those that a filter selects, or those with the given ids."""

    id: Ids = []
    dry_run: bool = Field(False, description="only show which crops would be deleted")


class Marking(Form):
    """A mark: whether crops show the person of a query."""

    crops: Ids = Field(min_length=1, description="ids of the crops to mark")
    query: Ids = Field([], description="ids of the query's stored crops")
    person: Word = Field(
        "", description="name of the person; by default the query's label, or a new one, which it replaces"
    )
    same: bool | None = Field(description="whether it is the same person; null removes the mark")


class Renaming(Form):
    """A person's new name."""

    person: Word = Field(min_length=1, description="present name")
    name: Word = Field(min_length=1, description="new name")
    merge: bool = Field(False, description="allow that a person of the new name exists: both become one")


class Correction(Form):
    """Person, tags, camera and time of crops; missing fields change nothing."""

    crops: Ids = Field(min_length=1)
    person: Word | None = Field(None, description="empty to remove it")
    tags: Words | None = Field(None, description="replace the current ones")
    add_tags: Words = Field([], description="are added to the current ones")
    camera: Word | None = Field(None, description="replaces the current one; empty if it is not known")
    time: Word | None = Field(None, description="when they were taken; empty if it is not known")

    @model_validator(mode="before")
    @classmethod
    def leave_out_empty(cls, given: Any) -> Any:
        """Keep empty fields: here they remove a value."""
        return given


class Case(Form):
    """A case to export: crops, and the query."""

    title: Word = "Case"
    note: Annotated[str, StringConstraints(max_length=10_000)] = ""
    crops: Annotated[Ids, Field(min_length=1)]
    query: Ids = []
    pictures: Pictures = []
