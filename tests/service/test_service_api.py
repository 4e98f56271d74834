"""The JSON API: what it finds, lists and logs, and what it says to those who ask wrongly."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from service_fakes import CAMERAS, START, Colours, Make, Running, crops, encoded, photo, pixels

from resight.imaging import Pixels
from resight.service.limits import Refusal

NOBODY = "00000000-0000-0000-0000-000000000000"


def test_a_picture_finds_its_person_in_every_camera(shared: Running) -> None:
    found = shared.search(photo(2), top=6)
    assert {match["name"] for match in found["matches"]} == {f"2-{c}-{n}" for c in range(3) for n in range(2)}
    scores = [match["score"] for match in found["matches"]]
    assert scores == sorted(scores, reverse=True)
    assert found["searched"] == 36
    assert found["threshold"] is None
    assert found["persons"] is None


def test_a_stored_crop_finds_the_others_of_its_person_and_not_itself(shared: Running) -> None:
    own = shared.ids(3)
    found = shared.search(crop=own[0], top=5)
    assert {match["id"] for match in found["matches"]} == set(own[1:])


def test_several_pictures_search_as_one_person(shared: Running) -> None:
    found = shared.search(photo(1, 90), photo(1, 91), crop=shared.ids(1)[:2], combine="max", top=4)
    assert {match["id"] for match in found["matches"]} == set(shared.ids(1)[2:])


def test_pages_of_a_search_go_on_where_the_last_one_ended(shared: Running) -> None:
    whole = shared.search(photo(1), top=10)["matches"]
    pages = [shared.search(photo(1), top=5, offset=offset)["matches"] for offset in (0, 5)]
    assert pages[0] + pages[1] == whole


@pytest.mark.parametrize(
    ("fields", "cameras"),
    [
        ({"camera": "gate"}, {"gate"}),
        ({"camera": ["gate", "lobby"]}, {"gate", "lobby"}),
        ({"not_camera": "gate"}, {"lobby", "stairs"}),
        ({"after": "2026-05-04T09:00:00Z"}, {"gate", "stairs"}),
        ({"after": "2026-05-04T09:00", "before": "2026-05-04T12:00+02:00"}, {"gate"}),
        ({"query_camera": "gate", "other_cameras": "true"}, {"lobby", "stairs"}),
        ({"source": "stairs.mp4"}, {"stairs"}),
    ],
)
def test_filters_keep_what_fits(shared: Running, fields: dict[str, str], cameras: set[str]) -> None:
    found = shared.search(photo(0), top=36, **fields)
    assert {match["camera"] for match in found["matches"]} == cameras
    assert found["searched"] == len(found["matches"]) == 12 * len(cameras)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"camera": "gatte"}, "Did you mean 'gate'?"),
        ({"not_camera": "roof"}, "No crop in the gallery has the camera 'roof'."),
        ({"after": "yesterday"}, "'yesterday' is not a time. Write it as"),
        ({"after": "0001-01-01T00:00"}, "lies before 1970"),
        ({"after": "2026-05-05", "before": "2026-05-04"}, "Swap the two."),
        ({"top": "0"}, "top: Input should be greater than or equal to 1."),
        ({"top": "1e9"}, "top: Input should be a valid integer"),
        ({"offset": "-1"}, "offset"),
        ({"crop": "../../etc/passwd"}, "crop.0: String should match pattern"),
        ({"crop": NOBODY}, f"No crop in the gallery has the id '{NOBODY}'"),
        ({"camera": "x" * 300}, "at most 200 characters"),
        ({"camera": "a\x00b"}, "should match pattern"),
        ({"combine": "sum"}, "combine"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted."),
        ({"false_match_rate": "0.001"}, "not calibrated"),
        ({"false_match_rate": "nan"}, "false_match_rate"),
        ({"other_cameras": "true"}, "Name the camera that took the picture"),
    ],
)
def test_a_search_that_cannot_be_done_is_told_why(
    shared: Running, fields: dict[str, str], sentence: str
) -> None:
    assert sentence in shared.search(photo(0), status=422, **fields)["error"]


@pytest.mark.parametrize("path", ["cameras", "persons", "items"])
def test_a_camera_that_no_crop_has_is_refused(shared: Running, path: str) -> None:
    answer = shared.client.get(f"/api/{path}", params={"camera": "gatte"})
    assert answer.status_code == 422
    assert "Did you mean 'gate'?" in answer.json()["error"]


def test_a_search_for_nothing_and_too_many_pictures_are_refused(shared: Running) -> None:
    assert "Give a picture" in shared.search(status=422)["error"]
    assert "at most 16" in shared.search(*[photo(0)] * 17, status=422)["error"]


class Broken(Colours):
    """Embeds pictures that begin with white as NaN."""

    def __call__(self, pictures: Sequence[Pixels]) -> NDArray[np.float32]:
        found = super().__call__(pictures)
        found[[int(picture[0, 0].min()) == 255 for picture in pictures]] = np.nan
        return found


def test_a_query_or_a_crop_that_the_model_embeds_as_nan_is_refused(make: Make) -> None:
    running = make(model=Broken())
    white = encoded(np.full((64, 32, 3), 255, np.uint8))
    assert "as NaN or infinity, so it cannot be used" in running.search(white, status=422)["error"]
    answer = running.client.post("/api/items", files=[("pictures", ("white.png", white))])
    assert answer.status_code == 422
    assert "embeds white.png as NaN or infinity" in answer.json()["error"]
    assert len(running.search(photo(2), top=100)["matches"]) == 36


def test_a_calibrated_gallery_says_which_matches_are_likely(make: Make) -> None:
    running = make(people=crops(labelled=True))
    running.gallery.calibrate(false_match_rate=0.05)
    found = running.search(photo(4), top=36, false_match_rate="0.05")
    likely = [match["name"] for match in found["matches"] if match["likely"]]
    assert {name[0] for name in likely[:6]} == {"4"}
    assert not found["matches"][-1]["likely"]
    assert found["expected_false"] == pytest.approx(36 * found["false_match_rate"])


def test_crops_are_listed_page_by_page(shared: Running) -> None:
    seen: list[str] = []
    after = None
    while True:
        asked = {"top": 10, "camera": "gate"} | ({} if after is None else {"after_id": after})
        page = shared.client.get("/api/items", params=asked).json()
        assert page["fit"] == 12
        seen += [item["id"] for item in page["items"]]
        if (after := page["next"]) is None:
            break
    assert len(seen) == len(set(seen)) == 12


def test_pictures_and_thumbnails_are_jpeg(make: Make) -> None:
    running = make(people=[])
    added = running.client.post("/api/items", files={"pictures": encoded(pixels(1, height=400))}).json()
    for what, height in (("picture", 400), ("thumbnail", 256)):
        answer = running.client.get(f"/api/items/{added['ids'][0]}/{what}")
        assert answer.headers["content-type"] == "image/jpeg"
        with Image.open(io.BytesIO(answer.content)) as image:
            assert (image.format, image.size) == ("JPEG", (height // 2, height))


@pytest.mark.parametrize("what", ["", "/picture", "/thumbnail", "/attention"])
def test_what_is_not_there_is_not_found(shared: Running, what: str) -> None:
    answer = shared.client.get(f"/api/items/{NOBODY}{what}")
    assert answer.status_code == 404
    assert NOBODY in answer.json()["error"]
    assert shared.client.get(f"/api/items/none{what}").status_code == 422


def test_about_cameras_health_and_metrics(running: Running) -> None:
    about = running.client.get("/api/gallery").json()
    assert (about["crops"], about["role"], about["detector"]) == (36, "write", False)
    assert about["first"] == START.isoformat()
    assert about["camera_normalise"] == {
        "on": True,
        "active": True,
        "too_few": sorted(CAMERAS),
        "trained": [],
    }
    cameras = running.client.get("/api/cameras").json()["cameras"]
    assert cameras == [{"camera": name, "crops": 12} for name in sorted(CAMERAS)]
    assert running.client.get("/health").json() == {"status": "ok"}
    running.search(photo(1))
    text = running.client.get("/metrics").text
    assert "resight_searches_total 1.0" in text
    assert "resight_gallery_crops 36.0" in text
    assert 'resight_requests_total{method="POST",route="/api/search",status="200"} 1.0' in text
    assert "process_resident_memory_bytes" in text


def test_the_api_describes_itself_without_the_internet(running: Running) -> None:
    described = running.client.get("/api/openapi.json").json()
    assert {"/api/search", "/api/items", "/api/forget", "/api/marks", "/metrics"} <= described["paths"].keys()
    page = running.client.get("/docs").text
    assert "http://" not in page.replace("http://127.0.0.1:8008", "")
    assert "https://" not in page
    for path in described["paths"]:
        assert path in page
    assert "leave out crops of the query" in page


def test_every_answer_to_a_mistake_is_a_sentence_in_json(shared: Running) -> None:
    for method, path in (("GET", "/nothing"), ("DELETE", "/api/items"), ("POST", "/api/marks")):
        answer = shared.client.request(method, path)
        assert 400 <= answer.status_code < 500
        assert isinstance(answer.json()["error"], str)


def test_the_log_tells_who_searched_and_forgot_what(running: Running) -> None:
    own = running.ids(1)
    running.search(photo(1), crop=own[0], camera="gate")
    running.client.post("/api/forget", data={"id": own[:1]})
    search, forget = (json.loads(line) for line in running.service.audit.path.read_text().splitlines())
    assert (search["what"], search["who"], search["crops"]) == ("search", "local", own[:1])
    assert search["where"] == {"camera": 1}
    assert len(search["pictures"][0]) == 64
    assert (forget["what"], forget["ids"], forget["crops"]) == ("forget", own[:1], 1)
    assert forget["address"] == "testclient"


def test_the_log_holds_no_words_that_may_name_a_person(running: Running) -> None:
    words = {"person": "anna", "tag": "red-coat", "source": "film.mp4", "camera": "yard"}
    running.client.post("/api/items", data=words, files=[("pictures", ("anna.jpg", photo(900)))])
    own = running.client.get("/api/items", params={"person": "anna"}).json()["items"]
    assert [crop["person"] for crop in own] == ["anna"]
    crops = [own[0]["id"]]
    running.search(photo(1), **words)
    running.client.post("/api/marks", json={"crops": crops, "person": "anna", "same": True})
    running.client.patch("/api/items", json={"crops": crops, "person": "anna b", "tags": ["red-coat"]})
    running.client.post("/case", data={"crops": crops, "title": "anna", "note": "anna in red"})
    running.client.post("/api/forget", data={"person": "anna b"})
    log = running.service.audit.path.read_text()
    assert [json.loads(line)["what"] for line in log.splitlines()] == [
        *("add", "search", "mark", "correct", "export case", "forget")
    ]
    assert not [word for word in ("anna", "red", "film", "yard") if word in log]
    assert running.gallery.metadata.traces
    running.service.compact()
    assert not running.gallery.metadata.traces
    files = [path.read_bytes() for path in Path(running.gallery.place).rglob("*") if path.is_file()]
    assert not [word for word in words.values() if any(word.encode() in content for content in files)]
    assert json.loads(running.service.audit.path.read_text().splitlines()[-1])["what"] == "compact"


def test_what_cannot_be_logged_is_not_done(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("resight.service.audit.os.write", full)
    assert "No space left" in running.search(photo(1), status=507)["error"]
    answer = running.client.post("/api/forget", data={"camera": "gate"})
    assert answer.status_code == 507
    running.gallery.keep_for(30)  # all are older
    with pytest.raises(Refusal) as refused:
        running.service.forget_expired()
    assert refused.value.status_code == 507
    assert len(running.gallery) == 36


def test_what_is_not_there_is_told_in_sentences(shared: Running) -> None:
    assert "nothing at this address" in shared.client.get("/api/nothing").json()["error"]
    assert "does not support that method" in shared.client.put("/api/search").json()["error"]


def test_nothing_is_told_of_where_things_lie(shared: Running) -> None:
    about = shared.client.get("/api/gallery").json()
    assert about["model"]["name"] == "colours"
    assert "weights" not in about["model"]
    assert str(shared.gallery.place) not in str(about)
