"""``resight download``: published weights."""

from typing import Annotated

from cyclopts import Parameter


def download(name: str, /, *, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Download the ImageNet weights of a trunk, for recipes with ``pretrained: imagenet``.

    They come from the PyTorch project's server and are verified by their hash. They are stored in the folder
    ``weights`` of the cache (RESIGHT_CACHE, by default ~/.cache/resight). For a machine without network, copy
    them there.

    Parameters
    ----------
    name
        resnet18, resnet50, resnet101, mobilenet-v2, mobilenet-v3-large or mobilenet-v3-small.
    json
        Print their path, size and hash as JSON.
    """
    from dataclasses import asdict

    from resight.commands.output import print_json
    from resight.models import pretrained

    done = pretrained.download(name)
    if json:
        print_json({"name": name, **asdict(done), "path": str(done.path)})
        return
    how = "downloaded" if done.fetched else "was already downloaded"
    print(f"{done.path} {how}: {done.bytes / 1e6:.1f} MB, SHA-256 {done.sha256}.")
