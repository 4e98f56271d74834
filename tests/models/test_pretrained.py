"""Published weights: found, checked, loaded; and everything that is wrong with a file said."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from random_weights import random_weights, reference_shapes
from safetensors.torch import save_file
from torch import Tensor, nn

from resight.errors import UserError
from resight.models import pretrained
from resight.models.network import Network, build_model
from resight.models.pretrained import TrunkWeights, download, read_trunk, trunk_of
from resight.models.trunk import TRUNKS, Trunk
from resight.models.weights import save_weights

BATCH_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def loaded(trunk: Trunk, source: str | Path) -> TrunkWeights:
    """Read weights into a trunk, and return them."""
    weights = read_trunk(trunk, source)
    weights.load(trunk)
    return weights


@pytest.fixture
def trunk() -> Trunk:
    return TRUNKS.build("resnet", depth=18)


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    """A state dict as torchvision's files have it: with fc, without batch counts."""
    state = TRUNKS.build("resnet", depth=18).state_dict()
    for name, tensor in state.items():
        if "running" in name:
            nn.init.uniform_(tensor, 0.5, 1.5)
    kept = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    return {**kept, "fc.weight": torch.randn(10, 512), "fc.bias": torch.randn(10)}


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESIGHT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def holds(trunk: Trunk, expected: dict[str, Tensor]) -> bool:
    """Tell whether the trunk has all the file's values but the fc's."""
    own = trunk.state_dict()
    return all(torch.equal(own[name], expected[name]) for name in expected if not name.startswith("fc."))


@pytest.mark.parametrize("form", ["plain", "parallel", "nested", "both", "safetensors"])
def test_loads_what_people_write(
    form: str,
    trunk: Trunk,
    published: dict[str, Tensor],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    parallel = {f"module.{name}": tensor for name, tensor in published.items()}
    content = {
        "plain": published,
        "parallel": parallel,
        "nested": {"state_dict": published, "epoch": 3},
        "both": {"state_dict": parallel, "epoch": 3},
    }
    path = tmp_path / ("w.safetensors" if form == "safetensors" else "w.pth")
    if form == "safetensors":
        save_file(published, path)
    else:
        torch.save(content[form], path)
    assert not holds(trunk, published)
    unused = loaded(trunk, path).unused
    assert holds(trunk, published)
    assert sorted(unused) == ["fc.bias", "fc.weight"]
    said = capsys.readouterr()
    assert said.out == ""
    assert f"Loaded 100 tensors of {path}; 2 were not used: " in said.err
    assert "fc.weight" in said.err


def test_a_file_of_exactly_the_trunk(
    trunk: Trunk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(TRUNKS.build("resnet", depth=18).state_dict(), tmp_path / "w.pth")
    assert loaded(trunk, str(tmp_path / "w.pth")).unused == []
    assert "120 tensors" in (said := capsys.readouterr().err)
    assert "all were used" in said


def test_names_what_is_missing_or_misshapen(
    trunk: Trunk, published: dict[str, Tensor], tmp_path: Path
) -> None:
    wrong = dict(published)
    del wrong["layer2.0.conv1.weight"]
    wrong["conv1.weight"] = torch.zeros(64, 3, 3, 3)
    before = {name: tensor.clone() for name, tensor in trunk.state_dict().items()}
    torch.save(wrong, tmp_path / "w.pth")
    with pytest.raises(UserError) as caught:
        loaded(trunk, tmp_path / "w.pth")
    message = str(caught.value)
    assert "1 missing: layer2.0.conv1.weight" in message
    assert "conv1.weight is (64, 3, 3, 3) instead of (64, 3, 7, 7)" in message
    assert all(torch.equal(tensor, before[name]) for name, tensor in trunk.state_dict().items())


def test_weights_of_a_deeper_network_are_refused(
    trunk: Trunk, published: dict[str, Tensor], tmp_path: Path
) -> None:
    """They hold every tensor of the shallower one, in its shape: only what is left over shows it."""
    further = {
        name.replace("layer3.1.", "layer3.2."): tensor
        for name, tensor in published.items()
        if name.startswith("layer3.1.")
    }
    torch.save({**published, **further}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"10 not of the model: layer3\.2\.conv1\.weight"):
        loaded(trunk, tmp_path / "w.pth")


class Opener:
    """What a stranger's pickle might hold."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (open, ("/dev/null",))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("w.pth", b"", "not a whole file of tensors"),
        ("w.pth", b"<html>Sign in</html>", "not a file of tensors"),
        ("w.safetensors", b"<html>Sign in</html>", "not a whole file of tensors"),
        ("w.pth", [torch.zeros(2)], "something other than tensors by name"),
        ("w.pth", {"epoch": 3}, "something other than tensors by name"),
        ("w.pth", {"weights": Opener()}, "also holds io.open, which"),
        ("w.pth", None, "There is no file"),
    ],
)
def test_refuses_what_is_no_weights_file(
    name: str, content: object, message: str, trunk: Trunk, tmp_path: Path
) -> None:
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    elif content is not None:
        torch.save(content, tmp_path / name)
    with pytest.raises(UserError, match=message) as caught:
        loaded(trunk, tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_refuses_half_a_file(trunk: Trunk, published: dict[str, Tensor], tmp_path: Path) -> None:
    for name, write in (("w.pth", torch.save), ("w.safetensors", save_file)):
        write(published, tmp_path / name)
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(UserError, match="not a whole file of tensors"):
            loaded(trunk, tmp_path / name)


class Trunked(Network):
    """As little of a network as has a trunk."""

    name = "trunked"

    def __init__(self) -> None:
        super().__init__((64, 32))
        self.trunk = TRUNKS.build("resnet", depth=18)
        self.classifier = nn.Linear(512, 3)


def test_a_model_takes_weights_into_its_trunk(published: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(published, tmp_path / "w.pth")
    model = Trunked()
    before = model.classifier.weight.clone()
    with torch.device("meta"):
        weights = read_trunk(trunk_of(Trunked(), "w.pth"), str(tmp_path / "w.pth"))
    weights.load(trunk_of(model, "w.pth"))
    assert holds(model.trunk, published)
    assert torch.equal(model.classifier.weight, before)


def test_the_trunk_of_another_run_is_taken(
    trunk: Trunk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Trunked()
    other.num_persons, other.settings = 3, {}
    save_weights(other, tmp_path / "weights.safetensors")
    assert sorted(loaded(trunk, tmp_path / "weights.safetensors").unused) == [
        "classifier.bias",
        "classifier.weight",
        "mean",
        "std",
    ]
    for name, tensor in trunk.state_dict().items():
        assert torch.equal(tensor, other.trunk.state_dict()[name])


def test_a_folder_with_weights_is_taken(trunk: Trunk, published: dict[str, Tensor], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no weights\.safetensors in .*\. Give a run"):
        read_trunk(trunk, tmp_path)
    save_file(published, tmp_path / "weights.safetensors")
    assert sorted(loaded(trunk, tmp_path).unused) == ["fc.bias", "fc.weight"]
    assert holds(trunk, published)


@pytest.mark.parametrize("norm", ["batch", "ibn", "ain"])
def test_torchreids_weights_begin_an_osnet(norm: str, tmp_path: Path) -> None:
    name = {"batch": "osnet-x0.25", "ain": "osnet-ain-x0.25", "ibn": "osnet-ibn-x1.0"}[norm]
    width = 1.0 if norm == "ibn" else 0.25
    trunk = TRUNKS.build("osnet", width=width, norm=norm)
    found = {key: torch.from_numpy(value) for key, value in random_weights(reference_shapes()[name]).items()}
    torch.save(found, tmp_path / "w.pth")
    unused = [f"fc.0.{part}" for part in ("weight", "bias")]
    unused += [f"fc.1.{part}" for part in ("weight", "bias", *BATCH_STATISTICS)]
    assert loaded(trunk, tmp_path / "w.pth").unused == [*unused, "classifier.weight", "classifier.bias"]
    assert torch.equal(trunk.state_dict()["conv5.bn.running_var"], found["conv5.bn.running_var"])
    stream = "conv3.0.conv2.2.layers.1.conv2.weight" if norm == "ain" else "conv3.0.conv2c.1.conv2.weight"
    assert torch.equal(trunk.state_dict()["conv3.0.conv2c.1.conv2.weight"], found[stream])
    pool = "pool2.0.conv.weight" if norm == "ain" else "conv2.2.0.conv.weight"
    assert torch.equal(trunk.state_dict()["conv2.2.0.conv.weight"], found[pool])


def test_weights_of_another_trunk_are_refused(tmp_path: Path) -> None:
    shapes = reference_shapes()["osnet-ibn-x1.0"].items()
    torch.save({name: torch.zeros(shape) for name, shape in shapes}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"4 not of the model: conv2\.0\.IN\.weight") as caught:
        read_trunk(TRUNKS.build("osnet"), tmp_path / "w.pth")
    assert "They are those of osnet-ibn-x1.0. Take weights of the same architecture" in str(caught.value)


def test_a_model_without_a_trunk_is_refused() -> None:
    with pytest.raises(UserError, match="'han' has no trunk"):
        trunk_of(build_model("han", 2, widths=(16, 16, 16), input_size=(80, 32)), "imagenet")


def test_a_trunk_without_published_weights_is_refused() -> None:
    with pytest.raises(UserError, match="this MobileNet trunk, only for resnet18, resnet50, resnet101"):
        loaded(TRUNKS.build("mobilenet", width=0.25), "imagenet")


@pytest.mark.usefixtures("own_cache")
def test_missing_published_weights_name_the_command(trunk: Trunk) -> None:
    with pytest.raises(UserError, match="Download them with: resight download resnet18"):
        loaded(trunk, "imagenet")


@pytest.fixture
def known(published: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that stands for torchvision's, in a folder to serve: named after its own hash."""
    path = tmp_path / "served" / "new.pth"
    path.parent.mkdir()
    torch.save(published, path)
    named = path.rename(path.with_name(f"resnet18-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth"))
    monkeypatch.setitem(pretrained.PUBLISHED, "resnet18", named.name)
    return named


class Server(http.server.ThreadingHTTPServer):
    """Serves one file; ``flaw`` says what goes wrong."""

    daemon_threads = True

    def __init__(self, file: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.file, self.flaw, self.requests = file, "", list[str]()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/models"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        if self.path != f"/models/{self.server.file.name}" or self.server.flaw == "absent":
            self.send_error(404)
            return
        content = bytearray(self.server.file.read_bytes())
        if self.server.flaw == "damaged":
            content[len(content) // 2] ^= 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if self.server.flaw == "dying" else content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(known: Path) -> Iterator[Server]:
    serving = Server(known)
    thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
    thread.start()
    yield serving
    serving.shutdown()
    thread.join()
    serving.server_close()


def test_downloads_once_then_loads(
    server: Server,
    known: Path,
    own_cache: Path,
    trunk: Trunk,
    published: dict[str, Tensor],
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = download("resnet18", host=server.url)
    assert first.path == own_cache / "weights" / known.name
    assert first.path.read_bytes() == known.read_bytes()
    assert first.fetched
    assert first.bytes == known.stat().st_size
    assert first.sha256 == hashlib.sha256(known.read_bytes()).hexdigest()
    second = download("resnet18", host=server.url)
    assert not second.fetched
    assert (second.path, second.bytes, second.sha256) == (first.path, first.bytes, first.sha256)
    assert server.requests == [f"/models/{known.name}"]
    loaded(trunk, "imagenet")
    assert holds(trunk, published)
    assert f"Downloading {known.name} (MB): 44/44" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flaw", "message"),
    [
        ("damaged", r"is not the published one: its SHA-256 begins with [0-9a-f]{8} instead of"),
        ("dying", "broke off"),
        ("absent", "answers 404 Not Found"),
    ],
)
def test_a_flawed_download_leaves_nothing(flaw: str, message: str, server: Server, own_cache: Path) -> None:
    server.flaw = flaw
    with pytest.raises(UserError, match=message) as caught:
        download("resnet18", host=server.url)
    assert server.url in str(caught.value)
    assert list((own_cache / "weights").iterdir()) == []
    server.flaw = ""
    assert download("resnet18", host=server.url).fetched


@pytest.mark.usefixtures("own_cache")
def test_a_dead_server_is_said(known: Path, own_cache: Path) -> None:
    gone = Server(known)
    gone.server_close()
    with pytest.raises(UserError, match=f"Cannot download {gone.url}/{known.name}: .*refused") as caught:
        download("resnet18", host=gone.url)
    assert f"copy the file from another machine to {own_cache / 'weights'}" in str(caught.value)
    assert list((own_cache / "weights").iterdir()) == []


def test_a_silent_server_is_given_up(known: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "TIMEOUT", 0.1)
    silent = Server(known)  # its queue takes the connection; nobody answers
    with pytest.raises(UserError, match="timed out"):
        download("resnet18", host=silent.url)
    silent.server_close()


def test_a_damaged_file_is_refused_and_fetched_again(
    server: Server, known: Path, own_cache: Path, trunk: Trunk
) -> None:
    path = own_cache / "weights" / known.name
    path.parent.mkdir(parents=True)
    path.write_bytes(known.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"is damaged: .*resight download resnet18"):
        loaded(trunk, "imagenet")
    assert download("resnet18", host=server.url).fetched
    assert path.read_bytes() == known.read_bytes()


def test_an_unknown_name_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(UserError, match=r"no published weights 'resnet5'\. Did you mean 'resnet50'\?"):
        download("resnet5", host="http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("resnet18", "resnet18-f37072fd.pth"),
        ("resnet50", "resnet50-0676ba61.pth"),
        ("resnet101", "resnet101-63fe2227.pth"),
        ("mobilenet-v2", "mobilenet_v2-b0353104.pth"),
        ("mobilenet-v3-large", "mobilenet_v3_large-8738ca79.pth"),
        ("mobilenet-v3-small", "mobilenet_v3_small-047dcff4.pth"),
    ],
)
def test_the_files_are_torchvisions(name: str, file: str) -> None:
    assert pretrained.PUBLISHED[name] == file
