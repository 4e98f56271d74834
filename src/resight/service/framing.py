"""Malformed HTTP: an error response if possible, one line in the console, no traceback."""

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class Connection(H11Protocol):
    """Uvicorn's connection, with two changes.

    An invalid chunk length, or bytes that are not a request, may arrive after the response has begun. Uvicorn
    then sends a second response, which h11 refuses, with tracebacks in the console. It also recommends a
    WebSocket library in the console at each WebSocket request.
    """

    def send_400_response(self, msg: str) -> None:
        """Send the error if no response has begun, close the connection, and end the current request."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def _unsupported_upgrade_warning(self) -> None:
        """Print nothing: the request gets a response without the upgrade, as HTTP allows."""
