"""The page for whoever comes: with a token, by keys, on a phone, in the dark; when something goes wrong."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from browsing import DARK, PHONE, Open
from service_fakes import encoded, photo, pixels

from resight.service.tokens import Tokens

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install playwright")
expect = sync_api.expect


def test_a_token_is_asked_for_and_one_for_reading_has_no_buttons_that_change(
    visit: Open, tmp_path: Path
) -> None:
    tokens = Tokens(tmp_path / "tokens.json")
    reading = tokens.add("anna", "read")
    there = visit(tokens=tokens)
    assert there.page.url == f"{there.address}/login"
    there.page.fill("[name=token]", "resight_wrong")
    there.page.keyboard.press("Enter")
    expect(there.page.locator(".warning")).to_contain_text("This token is not valid.")
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
    expect(there.page.locator("#details")).to_contain_text("Model attention")
    expect(there.page.locator("#details")).to_contain_text("no attention maps")
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
    expect(there.page.locator("#results .warning")).to_contain_text("The picture is a PDF document.")
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
    expect(there.page.locator("#results h1")).to_have_text("No crops to compare")


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
    there = visit(network=network)
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
    before = there.running.gallery.get([identity])[0]
    assert (before.person, set(before.tags)) == ("Ann <b>", {"tall", "red bag"})
    there.page.fill("#label-form [name=camera]", "roof")
    there.page.fill("#label-form [name=time]", "2026-05-05T10:00:00")
    there.click("#label-form button")
    expect(there.page.locator(f"#c-{identity} .info b")).to_have_text("roof")
    after = there.running.gallery.get([identity])[0]
    assert after == replace(before, camera="roof", time=datetime(2026, 5, 5, 10, tzinfo=UTC))
    # a name that was made by a mark is changed in all crops of the person
    there.running.gallery.label(there.running.ids(1), "person-0923")
    there.page.keyboard.press("Escape")
    there.page.locator(f"#c-{there.running.ids(1)[0]} [data-act=details]").click()
    expect(there.page.locator("#label-form .tick")).to_have_text(
        "Give the new name to all 6 crops of person-0923"
    )
    there.page.fill("#label-form [name=person]", "Bob")
    there.page.click("#label-form button")
    expect(there.page.locator(f"#c-{there.running.ids(1)[1]} .marks")).to_have_text("Bob")
    assert there.running.gallery.values("person")["Bob"] == 6
    there.page.keyboard.press("Escape")
    there.page.locator(f"#c-{identity} [data-act=details]").click()
    there.answered(there.page.locator("#details [data-more]").click)
    expect(there.page.locator("#name")).to_have_value("Ann <b>")


def test_the_page_of_the_api_describes_every_route(visit: Open) -> None:
    there = visit()
    there.page.click("text=API")
    expect(there.page.locator(".route h2 code").first).to_be_visible()
    paths = there.page.locator(".route h2 code").all_text_contents()
    assert {"/api/search", "/api/items", "/api/forget", "/api/marks", "/metrics"} <= set(paths)
    assert there.overflow() == 0
