"""The one exception for mistakes that a user can correct, and suggestions for misspelt words."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake that the user can correct; the command line prints its sentences, never a traceback.

    The text says what was wrong, what was got, what was expected, and what to do.
    """


def did_you_mean(word: str, known: Iterable[str], listed: str | None = None) -> str:
    """Return `` Did you mean 'x'?`` for the nearest known word; if none is near, all known words, or the
    sentence that says where they are ``listed``.
    """
    choices = sorted(known)
    alike = {choice.casefold(): choice for choice in reversed(choices)}
    near = difflib.get_close_matches(word.casefold(), alike, n=1)
    return (
        f" Did you mean '{alike[near[0]]}'?" if near else f" {listed or 'Known: ' + ', '.join(choices) + '.'}"
    )
