"""Marks become labels that training reads; a case is a ZIP that needs nothing else."""

import csv
import io
import json
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from service_fakes import Make, Running, photo

from resight.data.opening import open_benchmark


def mark(running: Running, **said: object) -> dict[str, object]:
    answer = running.client.post("/api/marks", json=said)
    assert answer.status_code == 200, answer.text
    return answer.json()


def state(running: Running, identity: str) -> tuple[str | None, tuple[str, ...]]:
    crop = running.gallery.get([identity])[0]
    return crop.person, crop.tags


def test_same_gives_query_and_crops_one_name(running: Running) -> None:
    query, *others = running.ids(2)
    person = mark(running, crops=others[:2], query=[query], same=True)["person"]
    assert isinstance(person, str)
    assert [state(running, one)[0] for one in (query, *others)] == [person] * 3 + [None] * 3
    assert mark(running, crops=others[2:3], query=[query], same=True)["person"] == person
    mark(running, crops=others[:1], query=[query], same=None)
    assert state(running, others[0]) == (None, ())


def test_different_takes_a_wrong_label_back_and_is_remembered(running: Running) -> None:
    query, other = running.ids(2)[0], running.ids(4)[0]
    mark(running, crops=[other], query=[query], person="ann", same=True)
    assert state(running, other) == ("ann", ())
    mark(running, crops=[other], query=[query], same=False)
    assert state(running, other) == (None, ("not:ann",))
    assert state(running, query) == ("ann", ())
    mark(running, crops=[other], query=[query], same=True)
    assert state(running, other) == ("ann", ())


def test_naming_renames_the_whole_person(running: Running) -> None:
    query, second, third, other = running.ids(2)[:4]
    made = mark(running, crops=[second], query=[query], same=True)["person"]
    mark(running, crops=[other], query=[query], same=False)
    assert state(running, other) == (None, (f"not:{made}",))
    assert mark(running, crops=[third], query=[query], person="Anna", same=True)["person"] == "Anna"
    assert running.gallery.values("person") == {"Anna": 3}
    assert state(running, other) == (None, ("not:Anna",))
    # "not Anna" is what it was already, and nothing of the former name comes back
    mark(running, crops=[other], query=[query], person="Anna", same=False)
    assert state(running, other) == (None, ("not:Anna",))


def test_a_name_that_somebody_gave_is_not_replaced_by_a_mark(running: Running) -> None:
    query, second, third = running.ids(2)[:3]
    running.gallery.label([query], "Bob")
    said = {"crops": [second], "query": [query], "person": "Anna", "same": True}
    answer = running.client.post("/api/marks", json=said)
    assert answer.status_code == 422
    assert "labelled as 'Bob'. If this person is called 'Anna', rename 'Bob' first" in answer.json()["error"]
    running.gallery.label([third], "Carl")
    answer = running.client.post(
        "/api/marks", json={"crops": [second], "query": [query, third], "same": True}
    )
    assert "labelled as 2 persons, Bob and Carl" in answer.json()["error"]
    assert running.gallery.values("person") == {"Bob": 1, "Carl": 1}


def test_marks_for_an_uploaded_picture_need_no_query(running: Running) -> None:
    own = running.ids(1)
    name = mark(running, crops=own[:1], same=True)["person"]
    assert mark(running, crops=own[1:2], person=name, same=True)["person"] == name
    assert mark(running, crops=running.ids(5)[:1], person=name, same=False)["person"] == name
    assert state(running, running.ids(5)[0]) == (None, (f"not:{name}",))


def test_a_mark_that_says_nothing_or_of_nobody_is_refused(running: Running) -> None:
    own = running.ids(1)
    for said, status in (
        ({"crops": own}, 422),
        ({"crops": [], "same": True}, 422),
        ({"crops": own, "same": "maybe"}, 422),
        ({"crops": ["00000000-0000-0000-0000-000000000000"], "same": True}, 404),
        ([], 422),
    ):
        assert running.client.post("/api/marks", json=said).status_code == status


def test_the_labels_are_a_folder_a_person_that_training_reads(running: Running, tmp_path: Path) -> None:
    names = {1: "train", 2: "../query", 3: "-1", 4: "Zoë & co"}
    assert running.client.get("/api/labels.zip").status_code == 404
    for person, name in names.items():
        mark(running, crops=running.ids(person), person=name, same=True)
    mark(running, crops=running.ids(5)[:1], person="train", same=False)
    answer = running.client.get("/api/labels.zip")
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path / "labels")
        different = list(csv.DictReader(archive.read("different.csv").decode().splitlines()))
        told = list(csv.DictReader(archive.read("labels.csv").decode().splitlines()))
    assert not list(tmp_path.glob("query*"))
    benchmark = open_benchmark(tmp_path / "labels")
    crops = {*benchmark.train, *benchmark.query, *benchmark.gallery}
    assert len(crops) == 24
    assert len({crop.person for crop in crops}) == 4
    assert {crop.camera for crop in crops} == {1, 2, 3}
    assert all(crop.person > 0 for crop in crops)
    assert {row["person"] for row in told} == {"train", "../query", "'-1", "Zoë & co"}
    assert different == [{"id": running.ids(5)[0], "person": "", "is_not": "train"}]


def test_labels_without_cameras_are_read_too(make: Make, tmp_path: Path) -> None:
    running = make(people=[])
    for person in (1, 2):
        files = [("pictures", (f"{n}.png", photo(person, n))) for n in range(3)]
        running.client.post("/api/items", files=files, data={"person": f"p{person}"})
    with zipfile.ZipFile(io.BytesIO(running.client.get("/api/labels.zip").content)) as archive:
        archive.extractall(tmp_path / "labels")
    benchmark = open_benchmark(tmp_path / "labels")
    crops = {*benchmark.train, *benchmark.query, *benchmark.gallery}
    assert (len(crops), {crop.camera for crop in crops}) == (6, {None})


def test_a_case_holds_crops_query_tables_and_a_page(running: Running) -> None:
    own = running.ids(3)
    running.gallery.label(own[:1], "=cmd()")
    answer = running.client.post(
        "/case",
        data={"title": "../Bag <b>", "note": "Line 1\nLine 2", "crops": own[:2], "query": own[2:3]},
        files={"pictures": photo(3)},
    )
    assert answer.headers["content-disposition"] == 'attachment; filename="Bag-b.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        names = archive.namelist()
        case = json.loads(archive.read("case.json"))
        rows = list(csv.DictReader(archive.read("crops.csv").decode().splitlines()))
        page = archive.read("case.html").decode()
        for name in names:
            if name.endswith(".jpg"):
                Image.open(io.BytesIO(archive.read(name))).verify()
    assert names[:2] == [
        "crops/0001_lobby_2026-05-04T08-03-00.jpg",
        "crops/0002_lobby_2026-05-04T08-03-01.jpg",
    ]
    assert [row["id"] for row in rows] == own[:2]
    assert rows[0]["person"] == "'=cmd()"
    assert (case["by"], case["gallery"]) == ("local", "gallery")
    assert "weights" not in case["model"]
    assert (case["note"], len(case["query"]), case["uploads"]) == (
        "Line 1\nLine 2",
        1,
        ["query/upload_1.jpg"],
    )
    assert "<b>" not in page.split("<h1>")[1].split("</h1>")[0]
    assert all(name in page for name in names if name.endswith(".jpg"))
    assert '"what": "export case"' in running.service.audit.path.read_text()


@pytest.mark.parametrize("fields", [{}, {"crops": "x"}, {"crops": "00000000-0000-0000-0000-000000000000"}])
def test_a_case_of_nothing_is_refused(shared: Running, fields: dict[str, str]) -> None:
    assert shared.client.post("/case", data=fields).status_code in (404, 422)


def test_attention_is_shown_where_a_model_has_it(make: Make) -> None:
    from resight.models.network import build_model

    network = build_model("han", 3, input_size=(64, 32)).eval()
    running = make(network=network)
    identity = running.ids(1)[0]
    views = running.client.get(f"/api/items/{identity}/attention").json()["views"]
    assert any(view["boxes"] for view in views)
    assert all(view["picture"].startswith("data:image/jpeg;base64,") for view in views)
    page = running.client.get(f"/crops/{identity}/attention").text
    assert page.count("<img") == len(views)
    assert "<rect" in page
    plain = make()
    assert "no attention maps" in plain.client.get(f"/crops/{plain.ids(1)[0]}/attention").text
