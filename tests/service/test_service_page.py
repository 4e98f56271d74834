"""The page in a real browser: Debian's Chromium, driven through playwright."""

import csv
import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from browsing import Open
from service_fakes import START, crops, photo, pixels

from resight.gallery.crops import NewCrop

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install playwright")
expect = sync_api.expect


def test_an_uploaded_picture_finds_its_person(visit: Open) -> None:
    there = visit(calibrated=True)
    there.give(photo(2))
    assert {name[0] for name in there.names()[:6]} == {"2"}
    first = there.card(0)
    crop = there.running.gallery.get(there.ids()[:1])[0]
    assert crop.time is not None
    expect(first.locator(".info b")).to_have_text(crop.camera or "")
    expect(first.locator("time")).to_have_text(f"4 May 2026 {crop.time:%H:%M:%S}")
    expect(first).to_contain_text("likely")
    assert 0.9 < float(first.locator("meter").get_attribute("value") or 0) <= 1
    likely = there.page.locator(".card.likely").count()
    assert 6 <= likely < 36
    expect(there.page.locator("#results h1")).to_have_text(f"{likely} likely matches")
    line = there.page.locator(".line")
    expect(line).to_have_count(1)
    assert line.evaluate("line => [...line.parentElement.children].indexOf(line)") == likely
    expect(there.page.locator(".lane-name")).to_have_text(["gate", "lobby", "stairs"])
    expect(there.page.locator(".lane circle")).to_have_count(36)
    there.page.locator(f"[data-go='{there.ids()[0]}']").click()
    expect(first.locator(".shot")).to_be_focused()


def test_numbers_are_said_to_be_cameras_and_persons(visit: Open) -> None:
    numbered = NewCrop(pixels(0), camera="2", time=START, person="1210", tags=("not:7", "not:Bo"))
    there = visit(people=[numbered])
    card = there.card(0)
    expect(card.locator(".info b")).to_have_text("camera 2")
    expect(card.locator(".marks .is")).to_have_text("person 1210")
    expect(card.locator(".marks .not")).to_have_text(["not person 7", "not Bo"])
    card.locator("[data-act=details]").click()
    expect(there.page.locator("#details h2")).to_have_text("camera 2")
    expect(there.page.locator("#details [name=camera]")).to_have_value("2")  # names themselves stay
    there.page.click("#details [data-close]")
    card.locator("[data-act=select]").check()
    there.page.click("#bar [data-act=case]")
    with there.page.expect_download() as download:
        there.page.click("#case button[value=go]")
    with zipfile.ZipFile(download.value.path()) as archive:
        page = archive.read("case.html").decode()
        assert json.loads(archive.read("case.json"))["crops"][0]["camera"] == "2"
    assert "<b>camera 2</b>" in page
    assert "<br>person 1210<br>" in page


def test_pictures_are_pasted_and_dropped(visit: Open) -> None:
    there = visit()
    for kind, person in (("paste", 1), ("drop", 4)):
        there.hand(kind, photo(person))
        assert {name[0] for name in there.names()[:6]} == {str(person)}
        expect(there.page.locator("#veil")).to_be_hidden()
        expect(there.page.locator("#query img")).to_have_count(1)


def test_filters_keep_what_fits(visit: Open) -> None:
    there = visit()
    there.give(photo(3))
    there.click("input[name=camera][value=gate]")
    assert {name[2] for name in there.names()} == {"1"}
    expect(there.page.locator("#filter-count")).to_have_text("1")
    there.click("text=all but ticked")
    assert {name[2] for name in there.names()} == {"0", "2"}
    there.answered(lambda: there.page.fill("input[name=after]", "2026-05-04T10:00"))
    assert {name[2] for name in there.names()} == {"2"}
    there.click("#reset")
    assert len(there.names()) == 36
    expect(there.page.locator("#filter-count")).to_be_hidden()
    there.click("input[name=other_cameras]")
    expect(there.page.locator("#results .warning")).to_contain_text("Name the camera that took the picture")
    there.answered(lambda: there.page.select_option("[name=query_camera]", "lobby"))
    assert {name[2] for name in there.names()} == {"1", "2"}
    assert [text for text in there.troubles if "422" not in text] == []
    there.troubles.clear()


def test_more_like_this_and_the_way_back(visit: Open) -> None:
    there = visit()
    there.give(photo(2))
    before, chosen = there.ids(), there.ids()[0]
    there.answered(there.card(0).locator(".shot").click)
    assert there.page.url.endswith(f"/?crop={chosen}")
    assert chosen not in there.ids()
    assert {name[0] for name in there.names()[:5]} == {"2"}
    there.answered(there.page.go_back)
    assert there.ids() == before
    expect(there.page.locator("#query img[src^=blob]")).to_have_count(1)
    there.answered(there.page.go_forward)
    there.answered(there.page.reload)
    assert {name[0] for name in there.names()[:5]} == {"2"}
    there.click("#clear")
    expect(there.page.locator("#results h1")).to_have_text("Stored crops")


def test_several_crops_search_as_one_person(visit: Open) -> None:
    there = visit()
    own = there.running.ids(5)
    for identity in own[:2]:
        there.page.locator(f"#c-{identity} [data-act=select]").check()
    expect(there.page.locator("#bar-count")).to_have_text("2 selected")
    expect(there.page.locator("#bar [data-act=add]")).to_be_hidden()
    there.click("#bar [data-act=search]")
    expect(there.page.locator("#query img")).to_have_count(2)
    assert set(there.ids()[:4]) == set(own[2:])
    there.answered(lambda: there.page.select_option("[name=combine]", "max"))
    assert set(there.ids()[:4]) == set(own[2:])
    there.page.locator(f"#c-{own[2]} [data-act=select]").check()
    there.click("#bar [data-act=add]")
    assert set(there.ids()[:3]) == set(own[3:])
    there.click("#query li:first-child button")
    expect(there.page.locator("#query img")).to_have_count(2)
    assert set(there.ids()[:4]) == {own[0], *own[3:]}


def test_a_selection_outlasts_filters_and_more_crops(visit: Open) -> None:
    there = visit(people=crops(persons=10))
    there.give(photo(1))
    assert len(there.ids()) == 48
    there.card(0).locator("[data-act=select]").check()
    there.click(".next button")
    expect(there.cards).to_have_count(60)
    assert len(set(there.ids())) == 60
    there.click("input[name=camera][value=stairs]")
    expect(there.page.locator("#bar-count")).to_have_text("1 selected")
    there.click("#reset")
    expect(there.card(0)).to_have_class("card selected")


def test_marks_are_kept_shown_and_taken_back(visit: Open) -> None:
    there = visit()
    there.give(photo(4))
    same, different = there.card(0), there.card(8)
    same.locator("[data-act=same]").click()
    expect(same.locator("[data-act=same]")).to_have_attribute("aria-pressed", "true")
    name = there.page.input_value("#name")
    expect(same.locator(".marks")).to_have_text(name)
    different.locator("[data-act=different]").click()
    expect(different.locator(".marks")).to_have_text(f"not {name}")
    ids = there.ids()
    first, other = there.running.gallery.get([ids[0], ids[8]])
    assert (first.person, other.person, other.tags) == (name, None, (f"not:{name}",))
    there.page.select_option("#person", name)  # is offered at once
    expect(there.cards).to_have_count(1)
    there.click("#reset")
    there.card(8).locator("[data-act=different]").click()
    expect(there.card(8).locator(".marks")).to_be_hidden()
    assert there.running.gallery.get([ids[8]])[0].tags == ()
    for place in (1, 2):
        there.card(place).locator("[data-act=select]").check()
    there.page.locator("#bar [data-act=same]").click()
    expect(there.card(2).locator(".marks")).to_have_text(name)
    assert there.running.gallery.values("person") == {name: 3}
    there.page.click("[data-open=help]")
    with there.page.expect_download() as download:
        there.page.click("a[href='/api/labels.zip']")
    with zipfile.ZipFile(download.value.path()) as archive:
        assert len([one for one in archive.namelist() if one.endswith(".jpg")]) == 3


def test_naming_renames_and_merging_is_asked(visit: Open) -> None:
    there = visit()
    there.running.gallery.label(there.running.ids(5), "Bob")
    there.page.reload()
    first = there.running.ids(4)[0]
    there.answered(there.page.locator(f"#c-{first} .shot").click)
    there.card(0).locator("[data-act=same]").click()
    expect(there.card(0).locator(".marks")).not_to_be_empty()
    made = there.page.input_value("#name")
    there.page.fill("#name", "Anna")
    there.card(1).locator("[data-act=same]").click()  # the name is given just before
    expect(there.card(1).locator(".marks")).to_have_text("Anna")
    expect(there.card(0).locator(".marks")).to_have_text("Anna")
    assert there.running.gallery.values("person") == {"Anna": 3, "Bob": 6}
    assert made not in there.page.locator("#person option").all_text_contents()
    # a name that somebody gave is asked about, and so is a name that is taken
    there.page.fill("#name", "Bob")
    there.page.keyboard.press("Enter")
    expect(there.page.locator("#rename-title")).to_have_text("Rename Anna")
    there.page.click("#rename [data-close]")
    expect(there.page.locator("#name")).to_have_value("Anna")
    there.page.fill("#name", "Bob")
    there.page.keyboard.press("Enter")
    there.page.click("#rename-go")
    expect(there.page.locator("#rename-note")).to_contain_text("6 crops are labelled as 'Bob' already")
    expect(there.page.locator("#rename-go")).to_have_text("Merge")
    assert there.running.gallery.values("person") == {"Anna": 3, "Bob": 6}
    there.page.click("#rename-go")
    expect(there.page.locator(".toast", has_text="Anna is now Bob, in 3 crops.")).to_have_count(1)
    assert there.running.gallery.values("person") == {"Bob": 9}
    there.answered(lambda: there.page.select_option("#person", "Bob"))
    there.page.click("#rename-open")
    there.page.fill("#rename [name=name]", "Carl")
    there.page.keyboard.press("Enter")
    expect(there.card(0).locator(".marks")).to_have_text("Carl")
    expect(there.page.locator("#person")).to_have_value("Carl")
    assert there.running.gallery.values("person") == {"Carl": 9}
    assert [text for text in there.troubles if "409" not in text] == []
    there.troubles.clear()


def test_selected_crops_are_corrected(visit: Open) -> None:
    there = visit()
    own = there.running.ids(1)[:2]
    for identity in own:
        there.page.locator(f"#c-{identity} [data-act=select]").check()
    there.page.click("#bar [data-act=edit]")
    expect(there.page.locator("#edit-title")).to_have_text("Correct 2 crops")
    there.page.fill("#edit [name=camera]", "roof")
    there.page.fill("#edit [name=time]", "2026-05-05T10:00:00")
    there.page.fill("#edit [name=person]", "Anna")
    there.page.fill("#edit [name=add_tags]", "tall, red bag")
    there.click("#edit button[value=go]")
    expect(there.page.locator(f"#c-{own[0]} .info b")).to_have_text("roof")
    expect(there.page.locator(f"#c-{own[0]} time")).to_have_text("5 May 2026 10:00:00")
    for crop in there.running.gallery.get(own):
        assert (crop.camera, crop.person, crop.tags) == ("roof", "Anna", ("tall", "red bag"))
        assert crop.time == datetime(2026, 5, 5, 10, tzinfo=UTC)
    there.click("input[name=camera][value=roof]")  # is offered at once
    expect(there.cards).to_have_count(2)


def test_one_unreadable_picture_does_not_stop_a_search(visit: Open) -> None:
    there = visit()
    there.give(photo(2), b"no picture")
    assert {name[0] for name in there.names()[:6]} == {"2"}
    expect(there.page.locator("#results .warning")).to_contain_text("1.png was left out.")


def test_forgetting_asks_first_and_deletes(visit: Open) -> None:
    there = visit()
    own = there.running.ids(1)[:2]
    for identity in own:
        there.page.locator(f"#c-{identity} [data-act=select]").check()
    there.page.click("#bar [data-act=forget]")
    expect(there.page.locator("#forget")).to_contain_text("Delete 2 crops?")
    row = ["lobby", "2", "4 May 2026, 08:01:00", "4 May 2026, 08:01:01"]
    assert there.page.locator("#forget td").all_text_contents() == row
    there.page.keyboard.press("Enter")  # keeps: that button has the focus
    expect(there.page.locator("#forget")).to_be_hidden()
    assert len(there.running.gallery) == 36
    there.page.click("#bar [data-act=forget]")
    there.click("#forget button[value=go]")
    expect(there.cards).to_have_count(34)
    expect(there.page.locator("#count")).to_have_text("34 crops")
    assert len(there.running.gallery) == 34
    there.card(0).locator("[data-act=details]").click()
    there.page.click("#details [data-forget]")
    there.click("#forget button[value=go]")
    expect(there.page.locator("#details")).to_be_hidden()
    assert len(there.running.gallery) == 33


def test_a_case_is_saved(visit: Open, tmp_path: Path) -> None:
    there = visit()
    there.give(photo(3))
    for place in (2, 0):
        there.card(place).locator("[data-act=select]").check()
    there.page.click("#bar [data-act=case]")
    there.page.fill("#case [name=title]", "Rote Tasche für 李")
    there.page.fill("#case [name=note]", "Seen twice.")
    with there.page.expect_download() as download:
        there.page.click("#case button[value=go]")
    assert download.value.suggested_filename == "Rote-Tasche-für-李.zip"
    with zipfile.ZipFile(download.value.path()) as archive:
        archive.extractall(tmp_path / "case")
    case = json.loads((tmp_path / "case" / "case.json").read_text())
    assert [row["id"] for row in case["crops"]] == [there.ids()[0], there.ids()[2]]
    assert (case["note"], case["uploads"]) == ("Seen twice.", ["query/upload_1.jpg"])
    rows = list(csv.DictReader((tmp_path / "case" / "crops.csv").open()))
    assert [row["camera"] for row in rows] == [row["camera"] for row in case["crops"]]
    page = there.page.context.new_page()
    page.goto((tmp_path / "case" / "case.html").as_uri())
    assert page.eval_on_selector_all("img", "all => all.map(one => one.naturalWidth > 0)") == [True] * 3
