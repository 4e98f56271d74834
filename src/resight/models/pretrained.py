"""Published weights for trunks: downloading, checking and loading them."""

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from resight.errors import UserError, did_you_mean
from resight.files import cache_folder, whole_file
from resight.models.checkpoints import read_checkpoint
from resight.models.foreign import match_architecture
from resight.models.network import Network
from resight.models.packaged import find_packaged
from resight.models.trunk import Trunk
from resight.models.weights import WEIGHTS, match_tensors
from resight.progress import Bar, say

PUBLISHED = {
    "resnet18": "resnet18-f37072fd.pth",
    "resnet50": "resnet50-0676ba61.pth",
    "resnet101": "resnet101-63fe2227.pth",
    "mobilenet-v2": "mobilenet_v2-b0353104.pth",
    "mobilenet-v3-large": "mobilenet_v3_large-8738ca79.pth",
    "mobilenet-v3-small": "mobilenet_v3_small-047dcff4.pth",
}
"""Name -> torchvision's file of ImageNet weights ("V1"); its name ends with the start of its SHA-256."""

HOST = "https://download.pytorch.org/models"

TIMEOUT = 30
"""Seconds without any data after which a download fails."""

CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Download:
    """Published weights on this machine.

    Attributes:
        path: the file.
        bytes: size of the file.
        sha256: SHA-256 of the file.
        fetched: whether they were downloaded now; if not, they were there already.
    """

    path: Path
    bytes: int
    sha256: str
    fetched: bool


@dataclass(frozen=True, slots=True)
class TrunkWeights:
    """Tensors of a file that fit a trunk.

    Attributes:
        path: the file.
        tensors: name in the trunk -> tensor.
        unused: names of the file's tensors that the trunk does not have.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    unused: list[str]

    def load(self, trunk: Trunk) -> None:
        """Load the tensors into the trunk, and print which of the file's were not used."""
        trunk.load_state_dict(self.tensors, strict=False)
        rest = (
            f"{len(self.unused)} were not used: {', '.join(self.unused)}."
            if self.unused
            else "all were used."
        )
        say(f"Loaded {len(self.tensors)} tensors of {self.path}; {rest}")


def trunk_of(model: Network, source: str) -> Trunk:
    """Return the trunk of a model, for weights from ``source``.

    Raises:
        UserError: it has none.
    """
    trunk = getattr(model, "trunk", None)
    if not isinstance(trunk, Trunk):
        raise UserError(
            f"pretrained: {source} cannot be loaded, because the model '{model.name}' has no trunk. "
            "Leave pretrained out, or use a model with a trunk."
        )
    return trunk


def read_trunk(trunk: Trunk, source: str | Path) -> TrunkWeights:
    """Read weights for a trunk.

    Args:
        trunk: trunk on any device, also ``meta``: only the shapes of its tensors are used.
        source: ``imagenet`` for the published weights of this trunk, which must have been downloaded; a file
            that ``read_checkpoint`` reads; or a folder with ``weights.safetensors``, such as a run or a model
            folder, or ``drawn-people``, the model that comes with Resight. Of a whole network, such as a
            run's, only the trunk is used.

    Raises:
        UserError: no weights are published for this trunk, or they have not been downloaded; the file is
            missing, damaged, or has no tensors; tensors of the trunk are missing or have another shape.
    """
    path = _published(trunk) if source == "imagenet" else _weights_file(find_packaged(source))
    found = read_checkpoint(path)
    match = match_tensors(found, trunk.own_names(_in_trunk(found)), trunk.state_dict())
    if match.differences:
        fitting = match_architecture(found)
        advice = f"They are those of {' or '.join(fitting)}. " if fitting else ""
        raise UserError(
            f"{path} does not have the weights of this trunk. Of {len(match.expected)} tensors:"
            f"{match.differences}\n{advice}Take weights of the same architecture, depth, stem and width."
        )
    return TrunkWeights(path, match.used, match.unused)


def download(name: str, *, host: str = HOST, folder: Path | None = None) -> Download:
    """Download published weights unless they are there, and check their hash; a damaged file is deleted.

    Args:
        name: such as ``resnet50``.
        host: URL of the folder with the files.
        folder: folder for the file; by default ``weights`` in the cache folder.

    Raises:
        UserError: no weights have that name; the server cannot be reached, stops, or sends another file; or
            the disk is full.
    """
    if name not in PUBLISHED:
        raise UserError(f"There are no published weights '{name}'.{did_you_mean(name, PUBLISHED)}")
    path = (folder or _weights_folder()) / PUBLISHED[name]
    if path.exists() and (known := _sha256(path)).startswith(_expected_hash(path)):
        return Download(path, path.stat().st_size, known, fetched=False)
    with whole_file(path) as temporary:
        sha256 = _fetch(f"{host}/{path.name}", temporary)
        if not sha256.startswith(_expected_hash(path)):
            raise UserError(
                f"The file received from {host}/{path.name} is not the published one: its SHA-256 begins "
                f"with {sha256[:8]} instead of {_expected_hash(path)}. It was deleted. Try again. If this "
                "happens again, something between this machine and the server changes files: then copy "
                f"{path.name} from another machine to {path.parent}."
            )
    return Download(path, path.stat().st_size, sha256, fetched=True)


def _fetch(url: str, target: Path) -> str:
    """Download a URL to the target; return its SHA-256."""
    advice = f"Try again later, or copy the file from another machine to {target.parent}."
    digest = hashlib.sha256()
    try:
        response = urllib.request.urlopen(url, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        raise UserError(f"Cannot download {url}: it answers {error.code} {error.reason}. {advice}") from None
    except (OSError, http.client.HTTPException) as error:
        raise UserError(f"Cannot download {url}: {getattr(error, 'reason', error)}. {advice}") from None
    with response, target.open("wb") as stream:
        size = int(response.headers.get("Content-Length") or 0)
        with Bar(f"Downloading {url.rpartition('/')[2]} (MB)", size // 1_000_000) as bar:
            received = 0
            while chunk := _receive(response, url, advice):
                stream.write(chunk)
                digest.update(chunk)
                received += len(chunk)
                bar.advance(received // 1_000_000 - bar.done)
    if received < size:
        raise UserError(f"{url} broke off after {received:,} of {size:,} bytes. {advice}")
    return digest.hexdigest()


def _receive(response: http.client.HTTPResponse, url: str, advice: str) -> bytes:
    try:
        return response.read(CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise UserError(f"The download of {url} broke off: {error}. {advice}") from None


def _published(trunk: Trunk) -> Path:
    """Return the checked file of the trunk's ImageNet weights."""
    name = trunk.imagenet
    if name not in PUBLISHED:
        raise UserError(
            f"pretrained: no ImageNet weights are published for this {type(trunk).__name__} trunk, only for "
            f"{', '.join(PUBLISHED)}. Give the path of a file of weights, or leave pretrained out."
        )
    path = _weights_folder() / PUBLISHED[name]
    if not path.exists():
        raise UserError(
            f"The ImageNet weights of {name} are not on this machine: there is no {path}. "
            f"Download them with: resight download {name}"
        )
    if not _sha256(path).startswith(_expected_hash(path)):
        raise UserError(
            f"{path} is damaged: its SHA-256 does not begin with {_expected_hash(path)}. "
            f"Download it again with: resight download {name}"
        )
    return path


def _weights_folder() -> Path:
    return cache_folder() / "weights"


def _expected_hash(path: Path) -> str:
    return path.stem.rpartition("-")[2]


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _weights_file(path: Path) -> Path:
    """Return the file of weights at a path."""
    if not path.is_dir():
        return path
    if not (path / WEIGHTS).is_file():
        raise UserError(
            f"pretrained: there is no {WEIGHTS} in the folder {path}. Give a run, a model folder with "
            "weights instead of an ONNX or OpenVINO graph, or a weights file."
        )
    return path / WEIGHTS


def _in_trunk(names: Iterable[str]) -> list[str]:
    """Return names without the prefix ``trunk.``; "" for other parts of a whole network."""
    names = list(names)
    if not any(name.startswith("trunk.") for name in names):
        return names
    return [name.removeprefix("trunk.") if name.startswith("trunk.") else "" for name in names]
