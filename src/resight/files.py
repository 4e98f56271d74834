"""Where Resight keeps files, and writing them whole or not at all."""

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from resight.errors import UserError
from resight.progress import say


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to ``path``; at the end, flush and rename it (after an error, remove it).

    Raises:
        UserError: the disk is full or the folder cannot be written; an older file of that name is unchanged.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror}. {_remedy(path)}") from error
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o666 & ~umask())  # mkstemp made it private
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror or error}. {_remedy(path)}") from error
    finally:
        temporary.unlink(missing_ok=True)


def umask() -> int:
    """Return which permissions new files and folders do not get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_json(path: Path, value: object) -> None:
    """Write an indented JSON file as ``whole_file`` does.

    Raises:
        UserError: see ``whole_file``.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    with whole_file(path) as temporary:
        # file names may have bytes that are no text: backslashes make them JSON escapes
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """Return the object in a JSON file that Resight wrote.

    Args:
        path: the file.
        remedy: sentence for the error.

    Raises:
        UserError: it cannot be read, or is no JSON object.
    """
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{path} is damaged: it is not the JSON that was written ({error}). {remedy}"
        ) from None


@contextmanager
def sole_use(path: Path, waiting: str | None = None) -> Iterator[bool]:
    """Yield whether no other process is inside this context for the same lock file.

    The lock ends with the process, however that ends; the empty file stays.

    Args:
        path: the lock file.
        waiting: what to say before waiting for another process; by default, do not wait.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("ab")
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror}. {_remedy(path)}") from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting is None:
                yield False
                return
            say(waiting)
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield True


def cache_folder() -> Path:
    """Return ``$RESIGHT_CACHE``, or ``resight`` in ``$XDG_CACHE_HOME`` or ``~/.cache``.

    Whoever uses it first makes it, for the user alone: it holds pictures of people.
    """
    own = os.environ.get("RESIGHT_CACHE")
    folder = Path(own or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "resight")).expanduser()
    with suppress(OSError):  # what is written into it says what is wrong
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def state_folder() -> Path:
    """Return ``resight`` in ``$XDG_STATE_HOME`` or ``~/.local/state``: for data that must be kept."""
    return Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / "resight"


def short_digest(data: bytes) -> str:
    """Return a hash of these bytes, 16 hexadecimal digits, for file names."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def _remedy(path: Path) -> str:
    kept = f"The earlier {path.name} is unharmed. " if path.exists() else ""
    return f"{kept}Free some space or choose another folder, then run the command again."
