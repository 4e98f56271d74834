"""Access tokens of a service. Their file contains only hashes, never tokens."""

import hashlib
import hmac
import json
import os
import re
import secrets
import time
from collections import OrderedDict
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Literal

from resight.errors import UserError, did_you_mean
from resight.files import write_json

Role = Literal["read", "write"]
ROLES: tuple[Role, ...] = ("read", "write")
"""``read`` allows searches, pictures and exports. ``write`` also allows adding, labelling and deleting."""

PREFIX = "resight_"
SESSION_SECONDS = 12 * 3600.0
SESSIONS = 1_000


@dataclass(frozen=True, slots=True)
class Token:
    """A token in the file.

    Attributes:
        name: of the holder, for the audit log.
        role: read or write.
        hash: SHA-256 of the token; 256 random bits need no salt and no slow hash.
        created: time of creation, in ISO 8601.
    """

    name: str
    role: Role
    hash: str
    created: str


class Tokens:
    """The file of tokens; it is read again when it changes.

    Raises:
        UserError: the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int] | None = None
        self._tokens: list[Token] = []
        self._sessions: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._lock = Lock()
        self.all()

    def all(self) -> list[Token]:
        """Return the valid tokens."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            self._seen, self._tokens = None, []
            return []
        except OSError as error:
            raise UserError(f"The token file {self.path} cannot be read: {error.strerror}.") from error
        if (status.st_mtime_ns, status.st_ino) != self._seen:
            try:
                content = json.loads(self.path.read_text(encoding="utf-8"))
                self._tokens = [Token(**entry) for entry in content["tokens"]]
            except OSError as error:
                raise UserError(f"The token file {self.path} cannot be read: {error.strerror}.") from error
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(
                    f"The token file {self.path} is damaged ({error}). Delete it, and create new tokens."
                ) from error
            self._seen = status.st_mtime_ns, status.st_ino
        return self._tokens

    def add(self, name: str, role: str) -> str:
        """Create a token and return it; only its hash is in the file.

        Raises:
            UserError: the name is taken or invalid, the role is unknown, or the file cannot be written.
        """
        if role not in ROLES:
            raise UserError(f"The role of a token is 'read' or 'write'; got '{role}'.")
        if not re.fullmatch(r"[\w.@-]{1,64}", name):
            raise UserError(f"The name of a token has at most 64 letters, digits and . _ @ -; got '{name}'.")
        if any(token.name == name for token in self.all()):
            raise UserError(
                f"There is already a token named '{name}'. Revoke it first (--revoke-token {name}), or "
                "choose another --token-name."
            )
        token = PREFIX + secrets.token_urlsafe(32)
        made = datetime.now(UTC).isoformat(timespec="seconds")
        self._write([*self.all(), Token(name, role, _hash(token), made)])
        return token

    def revoke(self, name: str) -> None:
        """Revoke a token.

        Raises:
            UserError: no token has that name.
        """
        names = [token.name for token in self.all()]
        if name not in names:
            there = did_you_mean(name, names) if names else " There are no tokens."
            raise UserError(f"There is no token named '{name}'.{there}")
        self._write([token for token in self.all() if token.name != name])

    def find(self, token: str) -> Token | None:
        """Return the entry of a valid token, or None, in the same time for both."""
        return self._of_hash(_hash(token))

    def log_in(self, token: Token) -> str:
        """Start a browser's session, and return its secret."""
        secret = secrets.token_urlsafe(32)
        with self._lock:
            self._sessions[_hash(secret)] = (token.hash, time.monotonic() + SESSION_SECONDS)
            while len(self._sessions) > SESSIONS:
                self._sessions.popitem(last=False)
        return secret

    def of_session(self, secret: str) -> Token | None:
        """Return the token of a session; None if it has ended or the token was revoked."""
        key = _hash(secret)
        with self._lock:
            digest, until = self._sessions.get(key, ("", 0.0))
            if until < time.monotonic():
                self._sessions.pop(key, None)
                return None
        return self._of_hash(digest)

    def log_out(self, secret: str) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(_hash(secret), None)

    def _of_hash(self, digest: str) -> Token | None:
        found = None
        for known in self.all():
            if hmac.compare_digest(known.hash, digest):
                found = known
        return found

    def _write(self, tokens: list[Token]) -> None:
        write_json(self.path, {"tokens": [asdict(token) for token in tokens]})
        os.chmod(self.path, 0o600)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
