"""The JSON API: adding, correcting, labelling, deleting and forgetting crops."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

from PIL import Image
from service_fakes import START, Make, Running, crops, encoded, photo, pixels

from resight.gallery.crops import Filter

NOBODY = "00000000-0000-0000-0000-000000000000"


def test_added_crops_are_found_and_the_same_picture_is_not_added_twice(running: Running) -> None:
    said = {"camera": "roof", "time": "2026-05-05T10:00", "person": "ann", "tag": ["red", "tall"]}
    files = [("pictures", ("../../a b.png", photo(50))), ("pictures", ("c.png", photo(51)))]
    first = running.client.post("/api/items", files=files, data=said)
    assert first.status_code == 201
    assert (first.json()["new"], first.json()["known"]) == (2, 0)
    again = running.client.post("/api/items", files=files, data=said).json()
    assert (again["new"], again["known"]) == (0, 2)
    assert again["ids"] == first.json()["ids"]
    item = running.client.get(f"/api/items/{again['ids'][0]}").json()
    assert (item["camera"], item["person"], item["tags"]) == ("roof", "ann", ["red", "tall"])
    assert item["time"] == "2026-05-05T10:00:00+00:00"
    assert item["name"] == "a b.png"
    assert running.search(photo(50, 7), top=1)["matches"][0]["id"] == again["ids"][0]


def test_an_added_photograph_has_the_time_in_its_exif_data(make: Make) -> None:
    running = make(people=[])
    taken = Image.Exif()
    taken.get_ifd(0x8769)[0x9003] = "2024:05:31 14:30:00"  # DateTimeOriginal
    files = {"pictures": encoded(pixels(1), "JPEG", exif=taken)}
    (identity,) = running.client.post("/api/items", files=files).json()["ids"]
    assert running.client.get(f"/api/items/{identity}").json()["time"] == "2024-05-31T14:30:00+00:00"


def test_a_time_that_is_a_guess_is_shown_as_one(make: Make) -> None:
    running = make(people=[replace(crop, time_guessed=at == 0) for at, crop in enumerate(crops(1))])
    listed = running.client.get("/api/items").json()["items"]
    assert sum(item["time_guessed"] for item in listed) == 1
    for item in listed:
        details = running.client.get(f"/crops/{item['id']}").text
        assert ("(a guess)" in details) == item["time_guessed"]


def test_one_unreadable_picture_does_not_stop_the_others(running: Running) -> None:
    bad = ("pictures", ("b.png", b"%PDF-1.7"))
    files = [bad, ("pictures", ("a.png", photo(50)))]
    added = running.client.post("/api/items", files=files)
    assert added.status_code == 201
    assert (added.json()["new"], added.json()["ids"][0], len(added.json()["ids"])) == (1, None, 2)
    assert added.json()["refused"] == [{"name": "b.png", "reason": added.json()["refused"][0]["reason"]}]
    assert "a PDF document" in added.json()["refused"][0]["reason"]
    found = running.client.post("/api/search", files=files).json()
    assert found["refused"] == added.json()["refused"]
    assert found["matches"] == running.search(photo(50))["matches"]
    for url in ("/api/items", "/api/search"):
        alone = running.client.post(url, files=[bad])
        assert alone.status_code == 415
        assert "a PDF document" in alone.json()["error"]
    assert len(running.gallery) == 37


def test_a_deleted_crop_comes_back_on_request_alone(running: Running) -> None:
    said: dict[str, Any] = {"files": [("pictures", ("a.png", photo(50)))], "data": {"camera": "roof"}}
    (own,) = running.client.post("/api/items", **said).json()["ids"]
    said["data"] = {"camera": "yard"}
    (told,) = running.client.post("/api/items", **said).json()["differences"]
    assert told == {"id": own, "field": "camera", "values": "yard, in the gallery roof"}
    said["data"] = {"camera": "yard", "update": "true"}
    running.client.post("/api/items", **said)
    assert running.gallery.get([own])[0].camera == "yard"
    running.client.post("/api/forget", data={"id": own})
    again = running.client.post("/api/items", **said).json()
    assert (again["new"], again["ids"], again["erased"]) == (0, [None], ["a.png"])
    said["data"] = {"add_again": "true"}
    assert running.client.post("/api/items", **said).json()["new"] == 1


def test_forgetting_deletes_what_fits_and_nothing_else(running: Running) -> None:
    ids = running.ids(5)[:2]
    dry = running.client.post("/api/forget", data={"id": ids, "dry_run": "true"})
    lobby = {
        "camera": "lobby",
        "crops": 2,
        "first": "2026-05-04T08:05:00+00:00",
        "last": "2026-05-04T08:05:01+00:00",
    }
    assert dry.json() == {"forgotten": 0, "found": 2, "cameras": [lobby]}
    assert len(running.gallery) == 36
    done = running.client.post("/api/forget", data={"id": ids}).json()
    assert done == {"forgotten": 2, "found": 2, "cameras": [lobby]}
    assert running.client.get(f"/api/items/{ids[0]}/picture").status_code == 404
    assert running.client.post("/api/forget", data={"camera": "gate"}).json()["forgotten"] == 12
    assert running.gallery.values("camera") == {"lobby": 12 - 2, "stairs": 12}


def test_forgetting_needs_to_be_told_what(running: Running) -> None:
    for fields, sentence in (({}, "Say which"), ({"camera": "roof"}, "roof"), ({"id": "x"}, "pattern")):
        answer = running.client.post("/api/forget", data=fields)
        assert answer.status_code == 422
        assert sentence in answer.json()["error"]
    assert len(running.gallery) == 36


def test_crops_that_are_too_old_are_forgotten_while_the_service_runs(make: Make) -> None:
    running = make()
    running.gallery.keep_for(30)
    old = running.gallery.count(Filter(before=START + timedelta(days=1)))
    assert old == 36
    assert running.service.forget_expired() == 36
    assert len(running.gallery) == 0
    assert '"who": "retention"' in running.service.audit.path.read_text()


def test_crops_are_corrected(running: Running) -> None:
    own = running.ids(1)[:2]
    running.gallery.tag(own, ["tall"])
    said = {"crops": own, "camera": "roof", "time": "2026-05-05T10:00", "person": "ann", "add_tags": ["red"]}
    items = running.client.patch("/api/items", json=said).json()["items"]
    assert [(one["camera"], one["person"], one["tags"]) for one in items] == [
        ("roof", "ann", ["tall", "red"])
    ] * 2
    assert {one["time"] for one in items} == {"2026-05-05T10:00:00+00:00"}
    said = {"crops": own[:1], "camera": "", "time": "", "person": ""}
    (item,) = running.client.patch("/api/items", json=said).json()["items"]
    assert (item["camera"], item["time"], item["person"]) == (None, None, None)
    bad = running.client.patch("/api/items", json={"crops": own, "time": "noon", "camera": "x"})
    assert (bad.status_code, running.gallery.get(own)[1].camera) == (422, "roof"), "all or nothing"
    lines = running.service.audit.path.read_text().splitlines()
    assert json.loads(lines[0])["fields"] == ["person", "add_tags", "camera", "time"]


def test_persons_are_listed_and_renamed(running: Running) -> None:
    running.gallery.label(running.ids(1), "person-0923")
    running.gallery.label(running.ids(2), "Bob")
    rename = {"person": "person-0923", "name": "Anna"}
    assert running.client.post("/api/rename", json=rename).json() == {"person": "Anna", "crops": 6}
    persons = [{"person": "Anna", "crops": 6}, {"person": "Bob", "crops": 6}]
    assert running.client.get("/api/persons").json() == {"persons": persons}
    assert running.client.get("/api/persons?camera=gate&person=Bob").json()["persons"] == [
        {"person": "Bob", "crops": 2}
    ]
    taken = running.client.post("/api/rename", json={"person": "Anna", "name": "Bob"})
    assert (taken.status_code, "6 crops are labelled as 'Bob' already" in taken.json()["error"]) == (
        409,
        True,
    )
    merged = running.client.post("/api/rename", json={"person": "Anna", "name": "Bob", "merge": True})
    assert merged.json()["crops"] == 6
    assert running.gallery.values("person") == {"Bob": 12}
    gone = running.client.post("/api/rename", json=rename)
    assert (gone.status_code, gone.json()["error"]) == (
        422,
        "No crop in the gallery is labelled as 'person-0923'.",
    )
    text = running.service.audit.path.read_text()
    assert '"what": "rename"' in text
    assert "Anna" not in text


def test_labels_and_tags_are_set_and_taken_back(running: Running) -> None:
    own = running.ids(0)[:2]
    answer = running.client.patch("/api/items", json={"crops": own, "person": "bob", "tags": ["hat"]})
    assert [(item["person"], item["tags"]) for item in answer.json()["items"]] == [("bob", ["hat"])] * 2
    assert running.client.get("/api/items", params={"person": "bob", "tag": "hat"}).json()["fit"] == 2
    answer = running.client.patch("/api/items", json={"crops": own, "camera": "roof"})
    assert {item["camera"] for item in answer.json()["items"]} == {"roof"}
    assert running.gallery.values("camera")["roof"] == len(own)
    answer = running.client.patch("/api/items", json={"crops": own[:1], "person": ""})
    assert (answer.json()["items"][0]["person"], answer.json()["items"][0]["tags"]) == (None, ["hat"])
    assert running.client.patch("/api/items", json={"crops": [NOBODY], "person": "x"}).status_code == 404
