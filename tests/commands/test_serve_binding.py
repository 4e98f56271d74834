"""Where a service answers."""

import re
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import uvicorn

from resight.commands.serve import _bind, serve
from resight.errors import UserError
from resight.gallery.crops import NewCrop
from resight.gallery.gallery import Gallery
from resight.inference.loading import load_model
from resight.models.network import build_model
from resight.models.weights import save_weights


def test_who_comes_early_waits_and_answers_are_not_held_back() -> None:
    with _bind("127.0.0.1", 0) as taken:
        assert taken.proto == socket.IPPROTO_TCP  # else asyncio does not set TCP_NODELAY on connections
        with socket.create_connection(taken.getsockname(), timeout=5):
            pass


def test_a_port_that_another_service_has_is_refused_at_once() -> None:
    with _bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=re.escape(f"127.0.0.1:{port}: Address already in use")):
            _bind("127.0.0.1", port)


def test_a_host_that_is_not_this_machine_is_refused() -> None:
    with pytest.raises(UserError, match="cannot listen on"):
        _bind("192.0.2.1", 0)


def test_numpy_is_not_imported_before_its_threads_are_chosen() -> None:
    code = "import sys, resight.commands.serve, resight.service.tokens; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.fixture
def gallery(tmp_path: Path) -> str:
    """Return the folder of a gallery that cannot be opened."""
    (tmp_path / "gallery.json").write_text("damaged")
    return str(tmp_path)


def test_files_that_are_no_certificate_and_key_are_refused_before_anything_is_opened(
    gallery: str, tmp_path: Path
) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    refused = f"HTTPS cannot use the certificate {certificate} with the key {key}: "
    with pytest.raises(UserError, match=re.escape(refused) + "No such file"):
        serve(gallery=gallery, tls_certificate=certificate, tls_key=key)
    certificate.write_text("a text")
    key.write_text("another text")
    with pytest.raises(UserError, match=re.escape(refused) + ".*both in PEM format"):
        serve(gallery=gallery, tls_certificate=certificate, tls_key=key)
    with pytest.raises(UserError, match="both --tls-certificate and --tls-key"):
        serve(gallery=gallery, tls_certificate=certificate)


def test_the_name_of_a_token_that_is_not_made_is_refused(gallery: str) -> None:
    with pytest.raises(UserError, match="give --new-token"):
        serve(gallery=gallery, token_name="anna")


def test_it_says_that_it_opens_the_gallery_before_anything_slow(
    gallery: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError):
        serve(gallery=gallery, port=0)
    assert capsys.readouterr().err == f"Opening {gallery} and loading its model.\n"


def test_what_has_expired_is_left_to_the_service_which_logs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trunk = {"name": "osnet", "width": 0.25}
    save_weights(build_model("pooled", 4, trunk=trunk, input_size=[64, 32]), tmp_path / "weights.safetensors")
    noise = np.random.default_rng(0).integers(0, 256, (64, 32, 3), np.uint8)
    model = load_model(tmp_path / "weights.safetensors", device="cpu")
    with Gallery.open(tmp_path / "gallery", model, create=True, forget_after_days=30) as gallery:
        gallery.add([NewCrop(noise, time=datetime(2020, 1, 1, tzinfo=UTC))])
    monkeypatch.setattr(uvicorn.Server, "run", lambda *_, **__: None)
    serve(gallery=str(tmp_path / "gallery"), port=0)
    with Gallery.open(tmp_path / "gallery", expire=False) as gallery:
        assert len(gallery) == 1
