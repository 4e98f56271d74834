"""HTTP that is broken in its framing: answered where it can be, one line in the console, no traceback."""

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class Connection(H11Protocol):
    """A connection of uvicorn's, with two of its habits changed.

    A chunk's length that is none, or bytes that are no request, may come when the answer to the request has
    begun, or has been given. Uvicorn sends a second answer then, which h11 refuses: the console shows a
    traceback, by the request that is under way another one. And it advises whoever runs the service to
    install a WebSocket library each time that somebody asks for one.
    """

    def send_400_response(self, msg: str) -> None:
        """Answer, if nothing was said yet; let go of the connection, and of the request that is under way."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: the request is answered without the upgrade, as HTTP has it."""
