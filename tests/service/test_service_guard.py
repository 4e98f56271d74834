"""Who comes in, how often, with how much; and what answers tell browsers."""

import time
from pathlib import Path

import pytest
from service_fakes import HERE, Make, Running, photo
from starlette.testclient import TestClient

from resight.service.app import create_app
from resight.service.guard import COOKIE, HEADERS, LOOPBACK
from resight.service.limits import Limits, RateLimit
from resight.service.tokens import Tokens


@pytest.fixture
def guarded(make: Make, tmp_path: Path) -> tuple[Running, str, str]:
    """Return a service that asks for tokens, one for reading and one for writing."""
    tokens = Tokens(tmp_path / "tokens.json")
    reading, writing = tokens.add("anna", "read"), tokens.add("bert", "write")
    return make(tokens=tokens), reading, writing


def bearing(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


PATHS = (
    "/",
    "/docs",
    "/metrics",
    "/api/gallery",
    "/api/items",
    "/api/cameras",
    "/api/openapi.json",
    "/api/labels.zip",
    "/api/items/00000000-0000-0000-0000-000000000000/picture",
    "/crops/00000000-0000-0000-0000-000000000000",
)


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_told_without_a_token(guarded: tuple[Running, str, str], path: str) -> None:
    running, _, _ = guarded
    answer = running.client.get(path)
    assert answer.status_code == 401
    assert "A token is needed" in answer.json()["error"]
    assert answer.headers["www-authenticate"] == "Bearer"
    browser = running.client.get(path, headers={"accept": "text/html"}, follow_redirects=False)
    assert (browser.status_code, browser.headers["location"]) == (303, "/login")


def test_every_route_needs_a_token_but_three(guarded: tuple[Running, str, str]) -> None:
    running, _, _ = guarded
    opened = set()
    for route in running.app.app.router.routes:  # type: ignore[attr-defined]
        for found in getattr(route, "routes", [route]):
            path = getattr(found, "path", None)
            if path is None:
                continue
            for method in getattr(found, "methods", None) or ():
                shown = path.replace("{identity}", "0" * 8).replace("{name}", "app.css")
                if running.client.request(method, shown, follow_redirects=False).status_code != 401:
                    opened.add(path)
    assert opened <= {"/health", "/login", "/static/{name}"}


def test_a_token_for_reading_looks_and_does_not_touch(guarded: tuple[Running, str, str]) -> None:
    running, reading, writing = guarded
    own = running.ids(1)[:1]
    look = running.client.get("/api/gallery", headers=bearing(reading))
    assert (look.status_code, look.json()["role"]) == (200, "read")
    found = running.client.post("/api/search", data={"crop": own}, headers=bearing(reading))
    assert found.status_code == 200
    touches = (
        ("POST", "/api/items", {"files": {"pictures": photo(60)}}),
        ("POST", "/api/forget", {"data": {"id": own}}),
        ("POST", "/api/marks", {"json": {"crops": own, "same": True}}),
        ("PATCH", "/api/items", {"json": {"crops": own, "person": "x"}}),
        ("POST", "/api/rename", {"json": {"person": "nobody", "name": "x"}}),
    )
    for method, path, body in touches:
        answer = running.client.request(method, path, headers=bearing(reading), **body)  # type: ignore[arg-type]
        assert answer.status_code == 403
        assert "'anna' is only for reading" in answer.json()["error"]
    assert len(running.gallery) == 36
    for method, path, body in touches:
        answer = running.client.request(method, path, headers=bearing(writing), **body)  # type: ignore[arg-type]
        assert answer.status_code in (200, 201, 404, 422), answer.text
    assert '"who": "anna", "role": "read"' in running.service.audit.path.read_text()


def test_the_page_of_a_reader_has_no_buttons_that_change(guarded: tuple[Running, str, str]) -> None:
    running, reading, writing = guarded
    form = {"files": {"pictures": photo(1)}}
    for token, there in ((reading, False), (writing, True)):
        page = running.client.get("/", headers=bearing(token)).text
        found = running.client.post("/search", headers=bearing(token), **form).text  # type: ignore[arg-type]
        for act in ('data-act="forget"', 'data-act="edit"', 'id="rename-open"'):
            assert (act in page) == there
        assert ('data-act="same"' in found) == there


def test_a_token_that_is_revoked_is_refused_at_once(guarded: tuple[Running, str, str]) -> None:
    running, reading, _ = guarded
    assert running.tokens is not None
    assert running.client.get("/api/gallery", headers=bearing(reading)).status_code == 200
    Tokens(running.tokens.path).revoke("anna")  # another process does it
    answer = running.client.get("/api/gallery", headers=bearing(reading))
    assert answer.status_code == 401
    assert "not valid" in answer.json()["error"]


def test_with_a_damaged_token_file_nobody_comes_in(guarded: tuple[Running, str, str]) -> None:
    running, reading, _ = guarded
    assert running.tokens is not None
    running.tokens.path.write_text("{")
    answer = running.client.get("/api/gallery", headers=bearing(reading))
    assert answer.status_code == 503
    assert "is damaged" in answer.json()["error"]


def test_guessing_tokens_is_slowed_down_and_right_ones_still_work(guarded: tuple[Running, str, str]) -> None:
    running, reading, _ = guarded
    answers = [running.client.get("/api/gallery", headers=bearing(f"guess-{n}")) for n in range(15)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 5
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert running.client.get("/api/gallery", headers=bearing(reading)).status_code == 200


def test_a_browser_logs_in_and_out(guarded: tuple[Running, str, str]) -> None:
    running, _, writing = guarded
    browser = TestClient(running.app, base_url=HERE)
    wrong = browser.post("/login", data={"token": "x"})
    assert wrong.status_code == 401
    assert "not valid" in wrong.text
    answer = browser.post("/login", data={"token": writing}, follow_redirects=False)
    cookie = answer.headers["set-cookie"]
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert all(word in cookie for word in ("HttpOnly", "SameSite=strict", "Path=/"))
    assert writing not in cookie
    assert "Log out" in browser.get("/").text
    session = browser.cookies[COOKIE]
    browser.post("/logout")
    browser.cookies.set(COOKIE, session)
    assert browser.get("/api/gallery").status_code == 401


def test_over_https_the_cookie_is_for_https_alone(guarded: tuple[Running, str, str]) -> None:
    running, reading, _ = guarded
    browser = TestClient(running.app, base_url=HERE.replace("http:", "https:"))
    answer = browser.post("/login", data={"token": reading}, follow_redirects=False)
    assert "Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize("host", ["127.0.0.1:8008", "localhost", "[::1]:80"])
def test_on_loopback_the_machines_own_names_are_let_in(shared: Running, host: str) -> None:
    assert shared.client.get("/api/gallery", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8008", "", "[", "a b"])
def test_on_loopback_foreign_names_are_not(shared: Running, host: str) -> None:
    answer = shared.client.get("/api/gallery", headers={"host": host})
    assert answer.status_code == 421


def test_a_host_that_is_one_of_the_machines_own_names_is_told_once(shared: Running) -> None:
    app = create_app(shared.service, hosts=(*LOOPBACK, "127.0.0.1", "gate"))
    told = TestClient(app, base_url=HERE).get("/", headers={"host": "evil.example"}).json()["error"]
    assert "the host names localhost, 127.0.0.1, ::1, gate. Create" in told


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"origin": "http://127.0.0.1:9999"},
    ],
)
def test_other_sites_pages_change_nothing(running: Running, headers: dict[str, str]) -> None:
    answer = running.client.post("/api/forget", data={"camera": "gate"}, headers=headers)
    assert answer.status_code == 403
    assert len(running.gallery) == 36
    own = {"origin": HERE, "sec-fetch-site": "same-origin"}
    assert running.client.post("/api/forget", data={"camera": "gate"}, headers=own).status_code == 200


def test_a_proxy_to_a_service_without_tokens_is_refused(shared: Running) -> None:
    answer = shared.client.get("/", headers={"x-forwarded-for": "203.0.113.7"})
    assert answer.status_code == 403
    assert "--require-token" in answer.json()["error"]


def test_too_many_requests_are_refused_for_a_while(make: Make) -> None:
    running = make(limits=Limits(requests_per_minute=5))
    answers = [running.client.get("/api/gallery") for _ in range(7)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2
    assert "Try again in" in answers[-1].json()["error"]
    assert running.client.get("/static/app.css").status_code == 200


def test_a_rate_fills_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("resight.service.limits.time.monotonic", lambda: now[0])
    rate = RateLimit(60)
    assert [rate.take("a") for _ in range(60)] == [0.0] * 60
    assert rate.take("a") == 1.0
    assert rate.take("b") == 0.0
    now[0] = 2.0
    assert [rate.take("a") for _ in range(3)] == [0.0, 0.0, 1.0]


def test_thumbnails_count_a_tenth(make: Make) -> None:
    running = make(limits=Limits(requests_per_minute=5))
    path = f"/api/items/{running.ids(1)[0]}/thumbnail"
    statuses = [running.client.get(path).status_code for _ in range(60)]
    assert statuses[:50] == [200] * 50
    assert statuses[-1] == 429


def test_bodies_that_are_too_large_are_refused_before_and_while_they_come(make: Make) -> None:
    running = make(limits=Limits(upload_bytes=10_000))
    announced = running.client.post("/api/search", files={"pictures": b"x" * 20_000})
    assert announced.status_code == 413
    assert "shrink it" in announced.json()["error"]
    head = b'--x\r\ncontent-disposition: form-data; name="pictures"; filename="a"\r\n\r\n'
    sent = 0

    def parts():  # type: ignore[no-untyped-def]
        nonlocal sent
        yield head
        for _ in range(1000):
            sent += 1000
            yield b"x" * 1000

    kind = {"content-type": "multipart/form-data; boundary=x"}
    silent = running.client.post("/api/search", content=parts(), headers=kind)
    assert silent.status_code == 413
    for odd in ("-5", "x", "9" * 5000):
        answer = running.client.post("/api/search", headers={"content-length": odd}, content=b"")
        assert answer.status_code == 413


def test_a_body_that_does_not_come_is_not_waited_for(make: Make) -> None:
    import asyncio

    running = make(limits=Limits(body_seconds=0.2))
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        await asyncio.sleep(60)
        return {}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/search",
        "query_string": b"",
        "scheme": "http",
        "headers": [(b"host", b"localhost"), (b"content-type", b"multipart/form-data; boundary=x")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8008),
        "http_version": "1.1",
        "root_path": "",
    }
    start = time.monotonic()
    asyncio.run(running.app(scope, receive, send))  # type: ignore[arg-type]
    assert time.monotonic() - start < 5
    assert sent[0]["status"] == 408


@pytest.mark.parametrize(
    "path", ["/", "/login", "/docs", "/static/app.js", "/api/gallery", "/nothing", "/health"]
)
def test_every_answer_has_the_security_headers(shared: Running, path: str) -> None:
    headers = shared.client.get(path).headers
    for name, value in HEADERS.items():
        assert headers[name] == value
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["cache-control"]


def test_refusals_have_them_too_and_pictures_stay_private(shared: Running) -> None:
    assert shared.client.get("/", headers={"host": "evil"}).headers["x-frame-options"] == "DENY"
    picture = shared.client.get(f"/api/items/{shared.ids(1)[0]}/thumbnail")
    assert picture.headers["cache-control"].startswith("private")
    assert shared.client.get("/api/gallery").headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "name", ["../app.py", "..%2Fapp.py", "%2e%2e/tokens.json", "/etc/passwd", "x.css", "app.css%00"]
)
def test_no_path_from_a_request_opens_a_file(shared: Running, name: str) -> None:
    assert shared.client.get(f"/static/{name}").status_code == 404


def test_the_pages_have_no_inline_script_or_style(shared: Running) -> None:
    import re

    pages = [shared.client.get(path).text for path in ("/", "/login", "/docs")]
    pages.append(shared.client.post("/search", files={"pictures": photo(1)}).text)
    pages.append(shared.client.get(f"/crops/{shared.ids(1)[0]}").text)
    for page in pages:
        assert not re.search(
            r"<style|\sstyle=|\son[a-z]+=|javascript:|hx-on|<script(?! src=\"/static/)", page
        )


def test_names_are_shown_as_text(make: Make) -> None:
    running = make(people=[])
    evil = "<img src=x onerror=alert(1)>"
    said = {"camera": evil, "person": evil, "source": evil, "tag": evil}
    added = running.client.post("/api/items", files={"pictures": (evil, photo(1))}, data=said).json()
    for page in (
        running.client.get("/"),
        running.client.post("/search"),
        running.client.post("/search", files={"pictures": photo(2)}),
        running.client.get(f"/crops/{added['ids'][0]}"),
    ):
        assert page.status_code == 200
        assert "<img src=x" not in page.text
        assert "&lt;img src=x" in page.text
