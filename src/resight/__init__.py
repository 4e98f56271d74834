"""Resight: find the same person again in other cameras' pictures.

The rooms of the package follow the way of the data (docs/architecture.md): ``data`` -> ``people`` -> ``models`` ->
``losses`` -> ``evaluation`` -> ``training`` -> ``report``; a room imports only from the rooms before it.
"""

__version__ = "0.1.0"
