"""Options of ``resight score`` and ``resight evaluate`` that change the protocol."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from cyclopts import Parameter

from resight.commands.options import Flag
from resight.errors import UserError

if TYPE_CHECKING:
    from resight.data.benchmark import Protocol


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ProtocolOptions:
    """Changes to the data's protocol; options that are not given change nothing.

    Args:
        gallery_side: opposite ignores all gallery crops by the query's own camera, also of other persons.
        cross_clothes: ignore matches in the query's own clothes, for data sets with labels of clothes.
        cmc: single-shot computes rank-k on galleries with one crop of each person, drawn at random for each
            query; mAP and mINP always use all crops.
        draws: with --cmc single-shot, number of random galleries (100).
    """

    gallery_side: Literal["all", "opposite"] | None = None
    cross_clothes: Flag = False
    cmc: Literal["all", "single-shot"] | None = None
    draws: int | None = None

    def apply(self, protocol: "Protocol") -> "Protocol":
        """Return the protocol with these changes.

        Raises:
            UserError: the changes do not fit the protocol, or draws are given without single-shot.
        """
        if self.draws is not None and (self.cmc or protocol.cmc) != "single-shot":
            raise UserError("--draws is the number of single-shot galleries: use it with --cmc single-shot.")
        return replace(protocol, **self._changes())

    def given(self) -> list[str]:
        """Return the options that were given."""
        return ["--" + name.replace("_", "-") for name in self._changes()]

    def _changes(self) -> dict[str, Any]:
        every = {"gallery_side": self.gallery_side, "cmc": self.cmc, "draws": self.draws}
        every |= {"cross_clothes": self.cross_clothes or None}
        return {name: value for name, value in every.items() if value is not None}


UNCHANGED_PROTOCOL = ProtocolOptions()
