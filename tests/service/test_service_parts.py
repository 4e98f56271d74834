"""Tokens, the audit log, batches, and the timeline, each alone."""

import json
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pytest
from service_fakes import Colours, pixels

from resight.errors import UserError
from resight.gallery.crops import StoredCrop
from resight.gallery.searching import Match
from resight.imaging import Pixels
from resight.service.audit import Audit
from resight.service.batching import MAX_BATCH, Batcher
from resight.service.timeline import timeline
from resight.service.tokens import PREFIX, Tokens

ME = {"who": "anna", "role": "write", "address": "127.0.0.1"}


def test_a_token_is_kept_as_its_hash_alone(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "t" / "tokens.json")
    token = tokens.add("anna", "read")
    text = tokens.path.read_text()
    assert token.startswith(PREFIX)
    assert token.removeprefix(PREFIX) not in text
    assert (tokens.path.stat().st_mode & 0o777) == 0o600
    assert Tokens(tokens.path).find(token) == tokens.all()[0]
    for wrong in ("", token[:-1], token + "x", "ü", "\ud800"):
        assert tokens.find(wrong) is None


def test_tokens_that_cannot_be_made_are_told_why(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "tokens.json")
    tokens.add("anna", "read")
    for name, role, sentence in (
        ("anna", "read", "already"),
        ("a b", "read", "letters"),
        ("x", "admin", "'read' or 'write'"),
    ):
        with pytest.raises(UserError, match=sentence):
            tokens.add(name, role)
    with pytest.raises(UserError, match="Did you mean 'anna'"):
        tokens.revoke("ana")
    tokens.path.write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        Tokens(tokens.path)


def test_a_session_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = Tokens(tmp_path / "tokens.json")
    known = tokens.find(tokens.add("anna", "read"))
    assert known is not None
    session = tokens.log_in(known)
    assert tokens.of_session(session) == known
    assert tokens.of_session("") is None
    later = time.monotonic() + 13 * 3600
    monkeypatch.setattr("resight.service.tokens.time.monotonic", lambda: later)
    assert tokens.of_session(session) is None


def lines(audit: Audit) -> list[str]:
    return audit.path.read_text().splitlines()


def test_the_log_grows_and_its_chain_holds(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    for number in range(3):
        audit = Audit(path)
        audit.write(ME, "search", crops=[str(number)])
        assert audit.broken is None
        audit.close()
    assert (path.stat().st_mode & 0o777) == 0o600
    assert [json.loads(line)["crops"] for line in path.read_text().splitlines()] == [["0"], ["1"], ["2"]]


@pytest.mark.parametrize(("change", "broken"), [("edit", 3), ("remove", 2), ("swap", 1), ("garbage", 2)])
def test_a_log_that_was_changed_is_found_out(tmp_path: Path, change: str, broken: int) -> None:
    audit = Audit(tmp_path / "audit.jsonl")
    for number in range(4):
        audit.write(ME, "forget", crops=number)
    audit.close()
    old = lines(audit)
    new = {
        "edit": [old[0], old[1].replace('"crops": 1', '"crops": 9'), *old[2:]],
        "remove": [old[0], *old[2:]],
        "swap": [old[1], old[0], *old[2:]],
        "garbage": [old[0], "{", *old[1:]],
    }[change]
    audit.path.write_text("\n".join(new) + "\n")
    assert Audit(audit.path).broken == broken


def test_a_line_cut_off_by_a_crash_is_closed_and_the_log_goes_on(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "audit.jsonl")
    audit.write(ME, "search")
    with audit.path.open("a") as file:
        file.write('{"time": "2026')
    again = Audit(audit.path)
    assert again.broken == 2
    again.write(ME, "search")
    assert json.loads(lines(again)[2])["what"] == "search"
    assert Audit(audit.path).broken == 2


def test_lines_of_many_threads_do_not_mix(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "audit.jsonl")
    threads = [
        threading.Thread(target=lambda: [audit.write(ME, "search", crops=["x" * 500]) for _ in range(10)])
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines(audit)) == 80
    assert Audit(audit.path).broken is None


def test_a_log_in_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="--audit-log"):
        Audit(tmp_path / "file" / "audit.jsonl")


class Slow(Colours):
    """Takes its time over the first batch, while others come."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting, self.go = threading.Event(), threading.Event()

    def __call__(self, pictures: list[Pixels]):  # type: ignore[no-untyped-def, override]
        self.waiting.set()
        assert self.go.wait(10)
        if any(picture.max() == 0 for picture in pictures):
            raise UserError("black")
        return super().__call__(pictures)


def test_requests_that_wait_are_described_together_and_get_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = threading.Semaphore(0)

    class Counted(SimpleQueue):  # type: ignore[type-arg]
        """Tells when a request waits."""

        def put(self, item: object, *_: object) -> None:
            super().put(item)
            waiting.release()

    monkeypatch.setattr("resight.service.batching.SimpleQueue", Counted)
    model = Slow()
    batcher = Batcher(model)
    found: dict[int, np.ndarray] = {}
    seen = [batcher.preprocess([pixels(person)]) * (1 + person % 3) for person in range(12)]
    threads = [
        threading.Thread(target=lambda p=person: found.__setitem__(p, batcher(seen[p])))
        for person in range(12)
    ]
    threads[0].start()
    assert model.waiting.wait(10)
    for thread in threads[1:]:
        thread.start()
    assert all(waiting.acquire(timeout=10) for _ in threads)
    model.go.set()
    for thread in threads:
        thread.join(10)
    first, second, third = model.batches  # 23 pictures waited
    assert first == 1
    assert MAX_BATCH <= second < MAX_BATCH + 3  # no request is divided
    assert third == 8  # the other five to seven, filled up
    for person in range(12):
        assert (found[person] == Colours()(seen[person])).all()
    batcher.close()


def test_a_batch_that_fails_tells_all_who_wait_and_the_next_one_works() -> None:
    model = Slow()
    model.go.set()
    batcher = Batcher(model)
    with pytest.raises(UserError, match="black"):
        batcher([np.zeros((8, 1, 3), np.uint8)])
    assert batcher(batcher.preprocess([pixels(1)])).shape == (1, 24)
    batcher.close()


def match(camera: str | None, minutes: float | None, score: float = 0.5) -> Match:
    start = datetime(2026, 5, 4, 8, tzinfo=UTC)
    when = None if minutes is None else start + timedelta(minutes=minutes)
    crop = StoredCrop(f"{camera}-{minutes}", camera, when, "", "", None, (), None, start, (64, 32))
    return Match(crop, score, None)


def test_a_timeline_has_a_line_a_camera_and_round_times() -> None:
    found = timeline([match("b10", 0), match("b2", 30), match("b2", 60), match("b2", None)], UTC)
    assert found is not None
    assert [camera for camera, _ in found.lines] == ["b2", "b10"]
    places = [dot.place for _, dots in found.lines for dot in dots]
    assert places == pytest.approx([0.5, 0.5 + 0.5 / 1.06, 0.5 - 0.5 / 1.06])
    assert [text for _, text in found.ticks] == ["4 May 08:00", "08:15", "08:30", "08:45", "09:00"]
    assert found.untimed == 1


@pytest.mark.parametrize("minutes", [0.1, 5, 59, 24 * 60, 40 * 24 * 60, 20 * 365 * 24 * 60])
def test_any_span_has_a_few_ticks_inside(minutes: float) -> None:
    found = timeline([match("a", 0), match("a", minutes)], UTC)
    assert found is not None
    assert len(found.ticks) <= 25
    assert all(0 <= place <= 1 for place, _ in found.ticks)
    assert all(0 < dot.place < 1 for _, dots in found.lines for dot in dots)


def test_fewer_than_two_times_make_no_timeline() -> None:
    assert timeline([match("a", 1), match("a", None), match(None, 2)], UTC) is None
