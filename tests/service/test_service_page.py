"""The page in a real browser: Debian's Chromium, driven through playwright."""

import csv
import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from browsing import DARK, DESKTOP, PHONE, SECONDS, Visit, chromium, listening
from service_fakes import Make, crops, encoded, photo, pixels

from resight.service.tokens import Tokens

if TYPE_CHECKING:
    from playwright.sync_api import Browser

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install playwright")
expect = sync_api.expect

Open = Callable[..., Visit]


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Return a browser."""
    with chromium() as started:
        yield started


@pytest.fixture
def visit(make: Make, browser: "Browser") -> Iterator[Open]:
    """Open the page of a new service; at the end nothing may have gone wrong or elsewhere."""
    with ExitStack() as stack:
        visits: list[Visit] = []

        def opened(device: dict[str, Any] = DESKTOP, calibrated: bool = False, **options: Any) -> Visit:
            running = make(**({"people": crops(labelled=True)} if calibrated else {}), **options)
            if calibrated:
                running.gallery.calibrate(false_match_rate=0.05)
                running.gallery.label([crop.id for crop in running.gallery.page(top=1000)[0]], None)
            address = stack.enter_context(listening(running.app))
            context = browser.new_context(**device)
            stack.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(1000 * SECONDS)
            one = Visit(page, running, address)
            one.listen()
            visits.append(one)
            one.page.goto(address)
            if running.tokens is None:
                expect(page.locator("#results")).to_have_attribute("aria-busy", "false")
                expect(page.locator("#results h1, #results .empty")).not_to_have_count(0)
            return one

        yield opened
        for one in visits:
            assert one.troubles == []


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
    expect(there.page.locator("#results .warning")).to_contain_text("Say which camera took the picture.")
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


def test_forgetting_asks_first_and_deletes(visit: Open) -> None:
    there = visit()
    own = there.running.ids(1)[:2]
    for identity in own:
        there.page.locator(f"#c-{identity} [data-act=select]").check()
    there.page.click("#bar [data-act=forget]")
    expect(there.page.locator("#forget")).to_contain_text("Forget 2 crops?")
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


def test_a_token_is_asked_for_and_one_for_reading_has_no_buttons_that_change(
    visit: Open, tmp_path: Path
) -> None:
    tokens = Tokens(tmp_path / "tokens.json")
    reading = tokens.add("anna", "read")
    there = visit(tokens=tokens)
    assert there.page.url == f"{there.address}/login"
    there.page.fill("[name=token]", "resight_wrong")
    there.page.keyboard.press("Enter")
    expect(there.page.locator(".warning")).to_contain_text("This token is not in force.")
    there.page.fill("[name=token]", reading)
    there.answered(lambda: there.page.keyboard.press("Enter"))
    there.give(photo(1))
    assert {name[0] for name in there.names()[:6]} == {"1"}
    there.card(0).locator("[data-act=select]").check()
    expect(there.page.locator("#bar [data-act=search]")).to_be_visible()
    expect(there.page.locator("#bar [data-act=case]")).to_be_visible()
    for act in ("same", "different", "forget"):
        expect(there.page.locator(f"[data-act={act}]")).to_have_count(0)
    there.card(0).locator(".shot").focus()
    there.page.keyboard.press("s")
    assert there.running.gallery.values("person") == {}
    assert [text for text in there.troubles if "401" not in text] == []
    there.troubles.clear()
    there.page.click("text=Log out")
    expect(there.page.locator("[name=token]")).to_be_visible()
    there.page.goto(there.address)
    assert there.page.url == f"{there.address}/login"
    there.troubles.clear()


def test_a_token_that_is_revoked_leads_back_to_the_door(visit: Open, tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "tokens.json")
    there = visit(tokens=tokens)
    there.page.fill("[name=token]", tokens.add("bert", "write"))
    there.answered(lambda: there.page.keyboard.press("Enter"))
    Tokens(tmp_path / "tokens.json").revoke("bert")
    there.page.set_input_files("#pictures", {"name": "x.png", "mimeType": "image/png", "buffer": photo(1)})
    there.page.wait_for_url("**/login")
    there.troubles.clear()  # the browser notes the 401


def test_everything_is_reached_by_keys(visit: Open) -> None:
    there = visit()
    keys = there.page.keyboard
    there.page.on("filechooser", lambda chooser: None)  # is known in time
    there.give(photo(5))
    across = there.page.evaluate(
        "(() => { const all = [...document.querySelectorAll('.card')];"
        " return all.filter((one) => one.offsetTop === all[0].offsetTop).length; })()"
    )
    keys.press("ArrowRight")
    expect(there.card(0).locator(".shot")).to_be_focused()
    keys.press("ArrowDown")
    expect(there.card(across).locator(".shot")).to_be_focused()
    keys.press("ArrowUp")
    keys.press("ArrowRight")
    expect(there.card(1).locator(".shot")).to_be_focused()
    keys.press("x")
    expect(there.page.locator("#bar-count")).to_have_text("1 selected")
    keys.press("Escape")
    expect(there.page.locator("#bar")).to_be_hidden()
    keys.press("s")
    expect(there.card(1).locator("[data-act=same]")).to_have_attribute("aria-pressed", "true")
    keys.press("n")
    expect(there.card(1).locator("[data-act=different]")).to_have_attribute("aria-pressed", "true")
    keys.press("d")
    expect(there.page.locator("#details")).to_contain_text("Where the model looks")
    expect(there.page.locator("#details")).to_contain_text("no attention to show")
    keys.press("Escape")
    expect(there.page.locator("#details")).to_be_hidden()
    expect(there.card(1).locator(".shot")).to_be_focused()
    keys.press("?")
    expect(there.page.locator("#help")).to_be_visible()
    keys.press("Enter")
    expect(there.page.locator("#help")).to_be_hidden()
    with there.page.expect_file_chooser():
        keys.press("/")
    there.card(1).locator(".shot").focus()
    there.answered(lambda: keys.press("Enter"))
    expect(there.page.locator("#query img")).to_have_attribute("alt", "Stored crop")


def test_a_phone_never_scrolls_sideways(visit: Open) -> None:
    there = visit(PHONE, calibrated=True)
    assert there.overflow() == 0
    there.page.locator(".filters summary").click()
    assert there.overflow() == 0
    there.page.locator(".filters summary").click()
    there.give(photo(2))
    assert there.overflow() == 0
    there.card(1).locator("[data-act=select]").tap()
    for button in there.page.locator("#bar button:visible").all():
        box = button.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
        assert box["height"] >= 30
    there.card(0).locator("[data-act=details]").tap()
    expect(there.page.locator("#details")).to_be_visible()
    assert there.overflow() == 0
    there.page.locator("#details [data-close]").tap()
    there.answered(there.card(0).locator(".shot").tap)
    expect(there.page.locator("#query img")).to_have_count(1)


def test_dark_rooms_get_a_dark_page(visit: Open) -> None:
    there = visit(DARK)
    back, text = there.page.evaluate(
        "['background-color', 'color'].map((name) => getComputedStyle(document.body).getPropertyValue(name))"
    )
    brightness = [sum(int(part) for part in colour.strip("rgb()").split(",")) / 3 for colour in (back, text)]
    assert brightness[0] < 40
    assert brightness[1] > 200


def test_what_goes_wrong_is_said_in_place_of_old_results(visit: Open) -> None:
    there = visit()
    there.give(photo(1))
    there.give(b"%PDF-1.7")
    expect(there.page.locator("#results .warning")).to_contain_text("The file is a PDF document.")
    assert there.ids() == []
    there.give(photo(1))
    assert len(there.ids()) == 36
    there.page.route("**/search", lambda route: route.abort())
    there.page.locator("input[name=labelled]").check()
    expect(there.page.locator("#results .warning")).to_have_text("The service does not answer.")
    there.page.unroute("**/search")
    there.click("#reset")
    assert len(there.ids()) == 36
    there.page.goto(f"{there.address}/?crop=00000000-0000-0000-0000-000000000000")
    expect(there.page.locator("#results .warning")).to_contain_text("No crop in the gallery has the id")
    assert all(
        "status of 4" in text or "ERR_" in text or "htmx" in text or "Code 4" in text
        for text in there.troubles
    )
    there.troubles.clear()


def test_an_empty_gallery_says_how_to_fill_it(visit: Open) -> None:
    there = visit(people=[])
    expect(there.page.locator("#results .empty")).to_contain_text("resight gallery add")
    there.give(photo(1))
    expect(there.page.locator("#results h1")).to_have_text("Nothing to compare with")


def test_of_several_persons_in_a_picture_another_one_is_chosen(visit: Open) -> None:
    scene = np.full((120, 120, 3), 127, np.uint8)
    scene[28:92, 14:46], scene[28:92, 74:106] = pixels(1), pixels(4)
    boxes = np.array([[14.0, 28.0, 46.0, 92.0], [74.0, 28.0, 106.0, 92.0]])
    there = visit(detect=lambda picture: (boxes, np.array([0.9, 0.8])))
    there.give(encoded(scene))
    assert {name[0] for name in there.names()[:6]} == {"1"}
    expect(there.page.locator("#people button")).to_have_count(2)
    drawn = "canvas => canvas.getContext('2d').getImageData(24, 48, 1, 1).data[3]"
    assert there.page.locator("#people canvas").nth(1).evaluate(drawn) == 255
    there.click("#people button >> nth=1")
    assert {name[0] for name in there.names()[:6]} == {"4"}
    expect(there.page.locator("#people button").nth(1)).to_have_attribute("aria-pressed", "true")


def test_details_show_the_crop_take_labels_and_show_where_the_model_looks(visit: Open) -> None:
    from resight.models.network import build_model

    network = build_model("han", 3, input_size=(64, 32)).eval()
    there = visit(network=lambda: network)
    identity = there.ids()[0]
    there.card(0).locator("[data-act=details]").click()
    expect(there.page.locator(".views img")).to_have_count(6)
    expect(there.page.locator(".views rect")).to_have_count(12)
    seen = "all => all.map((one) => one.complete && one.naturalWidth > 0)"
    assert all(there.page.eval_on_selector_all("#details img", seen))
    there.page.fill("#label-form [name=person]", "Ann <b>")
    there.page.fill("#label-form [name=tags]", "tall, red bag")
    there.page.click("#label-form button")
    expect(there.page.locator(".toast")).to_have_text("Saved.")
    crop = there.running.gallery.get([identity])[0]
    assert (crop.person, set(crop.tags)) == ("Ann <b>", {"tall", "red bag"})
    there.answered(there.page.locator("#details [data-more]").click)
    expect(there.page.locator("#name")).to_have_value("Ann <b>")


def test_the_page_of_the_api_describes_every_route(visit: Open) -> None:
    there = visit()
    there.page.click("text=API")
    paths = there.page.locator(".route h2 code").all_text_contents()
    assert {"/api/search", "/api/items", "/api/forget", "/api/marks", "/metrics"} <= set(paths)
    assert there.overflow() == 0
