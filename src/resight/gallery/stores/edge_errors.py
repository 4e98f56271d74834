"""Errors of Qdrant Edge as ``UserError``."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from resight.errors import UserError


class GuardedShard:
    """A shard of the engine; its methods raise ``UserError`` if the engine fails.

    Args:
        folder: of the shard, inside the gallery's folder.
        open_shard: opens or creates the shard.
    """

    def __init__(self, folder: Path, open_shard: Callable[[], Any]) -> None:
        self._folder = folder
        self._shard = self._guarded(open_shard)()

    def __getattr__(self, name: str) -> Any:
        return self._guarded(getattr(self._shard, name))

    def _guarded(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            try:
                return method(*arguments, **named)
            except Exception as error:
                if type(error) is not Exception:  # the engine raises no other type
                    raise
                raise UserError(
                    f"The gallery {self._folder.parent} is damaged, or the disk is failing: its folder "
                    f"{self._folder.name} cannot be used ({str(error).rstrip('.')}). Check the disk and its "
                    "free space, or restore the gallery from a copy."
                ) from error

        return call
