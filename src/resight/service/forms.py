"""What requests say, checked: filters, searches, marks, cases."""

from datetime import tzinfo
from typing import Annotated, Any

from fastapi import UploadFile
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from resight.gallery.crops import Filter
from resight.gallery.searching import Combine
from resight.service.limits import Limits
from resight.timestamps import parse_time

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
    """A request's fields; empty ones are as if they were not there, unknown ones are refused."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def leave_out_empty(cls, given: Any) -> Any:
        """Drop empty strings: browsers send every field, and every picture that was not chosen."""
        if not isinstance(given, dict):
            return given
        kept = {
            name: [entry for entry in value if entry != ""] if isinstance(value, list) else value
            for name, value in given.items()
        }
        return {name: value for name, value in kept.items() if value not in ("", [])}


class FilterForm(Form):
    """Which crops to look at: those that fit everything said."""

    camera: Words = Field([], description="taken by one of these cameras")
    not_camera: Words = Field([], description="taken by none of these cameras")
    after: Word = Field(
        "", description="taken at or after this time, ISO 8601; without a zone, the service's"
    )
    before: Word = Field("", description="taken before this time")
    tag: Words = Field([], description="having all of these tags")
    person: Words = Field([], description="said to be one of these persons")
    source: Words = Field([], description="cut out of one of these sources")
    labelled: bool = Field(False, description="only crops that somebody said the person of")

    def filter(self, zone: tzinfo, **more: Any) -> Filter:
        """Return it as the gallery takes it.

        Raises:
            UserError: a time cannot be read, or lies before 1970.
        """
        return Filter(
            cameras=tuple(self.camera),
            not_cameras=tuple(self.not_camera),
            after=parse_time(self.after, zone) if self.after else None,
            before=parse_time(self.before, zone) if self.before else None,
            tags=tuple(self.tag),
            persons=tuple(self.person),
            sources=tuple(self.source),
            labelled=self.labelled,
            **more,
        )

    def describe(self) -> dict[str, Any]:
        """Return what it says, for the audit log."""
        return self.model_dump(include=set(FilterForm.model_fields), exclude_defaults=True)


class ListForm(FilterForm):
    """A page of stored crops."""

    top: int = Field(50, ge=1, le=LIMITS.top, description="crops to return")
    after_id: Id | None = Field(None, description="what the page before returned as 'next'")


class SearchRequest(FilterForm):
    """A search: for pictures, for stored crops, or for both as one person."""

    pictures: Pictures = Field([], description="of one person: JPEG, PNG, WebP, GIF or BMP")
    crop: Ids = Field([], description="ids of stored crops of the person")
    choice: int | None = Field(
        None, ge=0, le=999, description="which of the persons that the detector finds in the first picture"
    )
    query_camera: Word = Field("", description="camera that the pictures were taken by")
    other_cameras: bool = Field(False, description="leave out the cameras of what is searched for")
    combine: Combine = Field("average", description="how several pictures search as one")
    top: int = Field(48, ge=1, le=LIMITS.top, description="matches to return")
    offset: int = Field(0, ge=0, le=LIMITS.offset, description="matches to skip")
    rerank: int = Field(0, ge=0, le=500, description="re-rank so many of the first by their neighbours")
    false_match_rate: float | None = Field(None, gt=0, lt=1, description="of a likely match")


class Addition(Form):
    """Crops to add; what is said holds for all of them."""

    pictures: Pictures = Field(description="one crop each")
    camera: Word = ""
    time: Word = Field("", description="when they were taken, ISO 8601")
    source: Word = "upload"
    person: Word = ""
    tag: Words = []
    detect: bool = Field(False, description="cut out each person that the detector finds")


class Forgetting(FilterForm):
    """What to forget: crops that fit, or those of these ids."""

    id: Ids = []
    dry_run: bool = Field(False, description="only count them")


class Marking(Form):
    """Whether crops show the person of a query."""

    crops: Ids = Field(min_length=1, description="what is marked")
    query: Ids = Field([], description="stored crops that were searched for")
    person: Word = Field("", description="name of the query's person; by default its label, or a new one")
    same: bool | None = Field(description="the same person, somebody else, or null: not known after all")


class Labelling(Form):
    """What crops are: a person, tags, or neither any more; what is not given stays."""

    crops: Ids = Field(min_length=1)
    person: Word | None = Field(None, description="empty: nobody knows")
    tags: Words | None = Field(None, description="in place of those that they have")

    @model_validator(mode="before")
    @classmethod
    def leave_out_empty(cls, given: Any) -> Any:
        """Keep what is empty: here it says something."""
        return given


class Case(Form):
    """What to export: the crops of a case, with what was searched for."""

    title: Word = "Case"
    note: Annotated[str, StringConstraints(max_length=10_000)] = ""
    crops: Annotated[Ids, Field(min_length=1)]
    query: Ids = []
    pictures: Pictures = []
