"""The HTML page of the service."""

import hashlib
import importlib.resources
from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import Annotated, Any

import jinja2
from fastapi import APIRouter, FastAPI, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import Field

from resight import __version__
from resight.gallery.corrections import NOT
from resight.gallery.crops import Filter
from resight.gallery.persons import QueryPerson
from resight.gallery.searching import Match
from resight.gallery.sheet import camera_caption
from resight.imaging import encode_jpeg, natural
from resight.service import forms
from resight.service.api import MULTIPART, AnyCaller, Identity, download
from resight.service.case import write_case
from resight.service.core import Service
from resight.service.described import routes_of
from resight.service.guard import COOKIE, Guard
from resight.service.limits import Refusal
from resight.service.marks import GENERATED, different_from, plain
from resight.service.timeline import timeline
from resight.service.tokens import SESSION_SECONDS
from resight.service.uploads import content_of

TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
RATES = (0.0001, 0.001, 0.01)
"""False-match rates that the page offers, if the calibration includes them."""

LISTED = 60
"""Number of stored crops on a page without a query."""


class SearchForm(forms.SearchRequest):
    """The page's form: a search, or a list of stored crops if there is nothing to search for."""

    after_id: forms.Id | None = None
    last_likely: bool = Field(False, description="whether the last match of the previous page was likely")
    name: forms.Word = Field("", description="name of the person, for marks")


def page_routes(service: Service, app: FastAPI, guard: Guard) -> APIRouter:
    """Return the routes of the page."""
    router = APIRouter(include_in_schema=False)
    files = _static_files()
    templates = _templates(service, files)
    gallery = service.gallery

    def html(template: str, status: int = 200, **values: Any) -> HTMLResponse:
        return HTMLResponse(templates.get_template(template).render(**values), status)

    @router.get("/")
    def index(caller: AnyCaller) -> Response:
        calibration = gallery.metadata.calibration
        least = None if calibration is None else calibration.rates[0].false_match_rate
        return html(
            "index.html",
            may_write=caller.role == "write",
            who=caller.name,
            guarded=guard.tokens is not None,
            metadata=gallery.metadata,
            crops=len(gallery),
            times=gallery.times(),
            normalised=gallery.camera_normalisation(),
            cameras=sorted(gallery.values("camera").items(), key=lambda entry: natural(entry[0])),
            persons=sorted(gallery.values("person").items(), key=lambda entry: natural(entry[0])),
            tags=sorted(tag for tag in gallery.values("tags") if not tag.startswith(NOT)),
            rates=[] if least is None else [rate for rate in RATES if rate >= least],
            limits=service.limits,
        )

    @router.post("/search")
    def search(form: Annotated[SearchForm, MULTIPART], caller: AnyCaller) -> Response:
        if not form.pictures and not form.crop:
            where = form.filter(service.zone)
            gallery.check_filter(where)
            crops, following = gallery.page(where, LISTED, form.after_id)
            fit = gallery.count(where)
            return html(
                "stored.html", crops=crops, following=following, fit=fit, more=form.after_id is not None,
                filtered=where != Filter(), may_write=caller.role == "write",
            )  # fmt: skip
        response = service.search(form, caller)
        result = response.result
        place = _line(result.matches, form.last_likely) if not form.rerank else None
        return html(
            "matches.html",
            may_write=caller.role == "write",
            person=response.person,
            result=result,
            line=place,
            lanes=timeline(result.matches, service.zone),
            more=form.offset > 0,
            following=form.offset + len(result.matches) if len(result.matches) == form.top else None,
            likely=sum(bool(match.likely) for match in result.matches),
            thumbs=_persons(response.person),
            refused=response.refused,
        )

    @router.get("/crops/{identity}")
    def details(identity: Identity, caller: AnyCaller) -> Response:
        crop = service.crops([identity])[0]
        same = gallery.count(Filter(persons=(crop.person,))) if crop.person is not None else 0
        return html(
            "details.html",
            may_write=caller.role == "write",
            crop=crop,
            same=same,
            generated=GENERATED.fullmatch(crop.person or "") is not None,
        )

    @router.post("/deletion")
    def deletion(form: Annotated[forms.Forgetting, MULTIPART], caller: AnyCaller) -> Response:
        where = form.filter(service.zone, form.id)
        gallery.check_filter(where)
        return html("deletion.html", cameras=gallery.by_camera(where))

    @router.get("/crops/{identity}/attention")
    def attention(identity: Identity) -> Response:
        return html("attention.html", views=service.attention(identity), model=gallery.metadata.model.name)

    @router.post("/case")
    def case(form: Annotated[forms.Case, MULTIPART], caller: AnyCaller) -> Response:
        crops, query = service.crops(form.crops), service.crops(form.query)
        pictures = [encode_jpeg(service.reader.whole(content_of(file))) for file in form.pictures]
        service.log(caller, "export case", crops=form.crops, query=form.query)
        return download(
            lambda file: write_case(
                service, templates, file, title=form.title, note=form.note, crops=crops, query=query,
                pictures=pictures, by=caller.name,
            ),
            f"{plain(form.title)}.zip",
        )  # fmt: skip

    @router.get("/login")
    def ask_token() -> Response:
        return html("login.html", error="") if guard.tokens is not None else RedirectResponse("/", 303)

    @router.post("/login")
    def log_in(request: Request, token: Annotated[str, Form(max_length=200)] = "") -> Response:
        if guard.tokens is None:
            return RedirectResponse("/", 303)
        try:
            known = guard.token_of(request, token.strip())
        except Refusal as refusal:
            return html("login.html", refusal.status_code, error=refusal.detail)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            COOKIE,
            guard.tokens.log_in(known),
            max_age=int(SESSION_SECONDS),
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return answer

    @router.post("/logout")
    def log_out(request: Request) -> Response:
        if guard.tokens is not None:
            guard.tokens.log_out(request.cookies.get(COOKIE, ""))
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE)
        return answer

    @router.get("/docs")
    def docs() -> Response:
        return html("docs.html", routes=routes_of(app.openapi()))

    @router.get("/static/{name}")
    def static(name: str) -> Response:
        if name not in files:
            raise Refusal(404, "There is no such file.")
        contents, kind = files[name]
        return Response(
            contents, media_type=kind, headers={"cache-control": "public, max-age=31536000, immutable"}
        )

    return router


def _static_files() -> dict[str, tuple[bytes, str]]:
    """Read the page's files at the start, so that requests cannot name files on the disk."""
    folder = importlib.resources.files("resight.service") / "static"
    return {
        file.name: (file.read_bytes(), TYPES["." + file.name.rpartition(".")[2]]) for file in folder.iterdir()
    }


def _templates(service: Service, files: dict[str, tuple[bytes, str]]) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("resight.service"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    versions = {name: hashlib.sha256(contents).hexdigest()[:12] for name, (contents, _) in files.items()}

    def day(time: datetime) -> str:
        local = time.astimezone(service.zone)
        return f"{local.day} {local:%b %Y}"

    def clock(time: datetime) -> str:
        return f"{time.astimezone(service.zone):%H:%M:%S}"

    def moment(time: datetime | None) -> str:
        return "time unknown" if time is None else f"{day(time)}, {clock(time)}"

    environment.globals |= {
        "version": __version__,
        "file": lambda name: f"/static/{name}?{versions[name]}",
        "is_not": different_from,
        "zone": _zone_names(service.zone),
    }
    environment.filters |= {"moment": moment, "day": day, "clock": clock}
    environment.filters["camera"] = lambda camera: camera_caption(camera or None)
    environment.filters["person"] = lambda person: f"person {person}" if person.isdecimal() else person
    environment.filters["local"] = lambda time: f"{time.astimezone(service.zone):%Y-%m-%dT%H:%M:%S}"
    environment.filters["zone_then"] = lambda time: f"{time.astimezone(service.zone):%Z}"
    environment.filters["days"] = lambda ends: " – ".join(dict.fromkeys(map(day, ends)))
    environment.filters["shown_tags"] = lambda tags: [tag for tag in tags if not tag.startswith(NOT)]
    return environment


def _zone_names(zone: tzinfo) -> str:
    """Return the names of a zone in winter and summer, such as CET/CEST."""
    year = datetime.now(zone).year
    return "/".join(dict.fromkeys(f"{datetime(year, month, 1, tzinfo=zone):%Z}" for month in (1, 7)))


def _line(matches: Sequence[Match], last_likely: bool) -> int | None:
    """Return the index of the match above which to draw the end of likely matches; None for no line."""
    for place, match in enumerate(matches):
        if match.likely is False:
            return place if last_likely or place > 0 else None
    return None


def _persons(query: QueryPerson | None) -> list[dict[str, Any]]:
    """Return the persons in a picture that shows several, to choose from."""
    if query is None or query.persons is None or len(query.persons) < 2:
        return []
    return [
        {"number": number, "box": person.share, "score": person.score, "chosen": number == query.chosen}
        for number, person in enumerate(query.persons)
    ]
