"""Options that ``resight score`` and ``resight evaluate`` share: which crops count, and for which figure."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from resight.errors import UserError

if TYPE_CHECKING:
    from resight.data.benchmark import Protocol


@dataclass(frozen=True, kw_only=True)
class Counting:
    """Changes to the protocol of the data; what is not given stays as it is there.

    Args:
        gallery_side: opposite: gallery crops of all persons under the query's own camera are ignored.
        cmc: single-shot: rank-k is of galleries with one crop of each person, drawn for each query; mAP and
            mINP are of all crops either way.
        draws: with --cmc single-shot, how often (100).
    """

    gallery_side: Literal["all", "opposite"] | None = None
    cmc: Literal["all", "single-shot"] | None = None
    draws: int | None = None

    def apply(self, protocol: "Protocol") -> "Protocol":
        """Return the protocol with these changes.

        Raises:
            UserError: they do not fit it, or draws are counted of which there are none.
        """
        if self.draws is not None and (self.cmc or protocol.cmc) != "single-shot":
            raise UserError("--draws says how often single shots are drawn: use it with --cmc single-shot.")
        return replace(protocol, **self._changes())

    def given(self) -> list[str]:
        """Return the options that were given."""
        return ["--" + name.replace("_", "-") for name in self._changes()]

    def _changes(self) -> dict[str, Any]:
        every = {"gallery_side": self.gallery_side, "cmc": self.cmc, "draws": self.draws}
        return {name: value for name, value in every.items() if value is not None}


Count = Annotated[Counting, Parameter(name="*")]
AS_IN_THE_DATA = Counting()
