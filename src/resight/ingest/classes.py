"""Which class of a detector or a file of boxes is a person."""

from collections.abc import Mapping

from resight.errors import UserError

PERSON_NAMES = frozenset({"person", "persons", "pedestrian", "pedestrians", "people", "human"})
"""Names of the class, in lower case."""


def person_class(given: str | None, names: Mapping[int, str], source: str) -> int | None:
    """Return the number of the class "person"; None if nothing tells.

    Args:
        given: by the user, a number or a name.
        names: of the classes, as far as known.
        source: of the classes, for messages.

    Raises:
        UserError: the given class does not exist, or none or several of the names are a person's.
    """
    listed = ", ".join(f"{number} {name}" for number, name in sorted(names.items()))
    if given is None:
        found = [number for number, name in names.items() if name.strip().lower() in PERSON_NAMES]
        if names and len(found) != 1:
            number = "none" if not found else "several"
            raise UserError(
                f"{source} has the classes {listed}; {number} of them is a person by name. Give the right "
                "one: --person-class NUMBER or NAME."
            )
        return found[0] if found else None
    if given.isdecimal() and (not names or int(given) in names):
        return int(given)
    found = [number for number, name in names.items() if name.strip().lower() == given.strip().lower()]
    if len(found) != 1:
        known = f"its classes are {listed}" if names else "it does not name its classes: give a number"
        raise UserError(f"{source} has no class '{given}' (--person-class); {known}.")
    return found[0]
