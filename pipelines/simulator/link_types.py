"""Which object types can be associated, and under which association types, as a table.

HubSpot's ids where its documentation has them; those of labels are the account's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pipelines.simulator.definitions import Json

HUBSPOT: Final = "HUBSPOT_DEFINED"
USER: Final = "USER_DEFINED"
PRIMARY: Final = "Primary"


@dataclass(frozen=True, slots=True)
class LinkType:
    """One association type between two object types: as the first sees it, as the second does."""

    type_ids: tuple[int, int]
    labels: tuple[str | None, str | None] = (None, None)
    category: str = HUBSPOT

    def seen(self, side: int) -> Json:
        """As HubSpot sends it, seen from the first (0) or the second (1)."""
        return {
            "category": self.category,
            "typeId": self.type_ids[side],
            "label": self.labels[side],
        }


@dataclass(frozen=True, slots=True)
class PairKind:
    """Two object types that can be associated.

    In a fresh portal each record of the second has none to three of the first.
    `plain` is the type that every association between them has, whatever its labels.
    """

    first: str
    second: str
    plain: LinkType
    labels: tuple[LinkType, ...] = ()


def _pair(
    names: str, plain: tuple[int, int], *labels: LinkType, category: str = HUBSPOT
) -> PairKind:
    first, second = names.split()
    return PairKind(first, second, LinkType(plain, category=category), labels)


def _label(ids: tuple[int, int], seen: str, back: str | None = None) -> LinkType:
    """A label that the account made; a paired one reads otherwise from the other side."""
    return LinkType(ids, (seen, back or seen), USER)


def _primary(*ids: int) -> LinkType:
    """At most one of the first for each of the second: the primary company of a contact."""
    return LinkType((ids[0], ids[1]), (PRIMARY, PRIMARY))


PAIRS: Final = (
    _pair("contacts calls", (193, 194)),
    _pair("companies calls", (181, 182)),
    _pair("deals calls", (205, 206)),
    _pair("tickets calls", (219, 220)),
    _pair("companies contacts", (280, 279), _primary(2, 1), _label((102, 101), "Employee",
          "Employer"), _label((104, 103), "Billing contact")),
    # From here on the ids are those of HubSpot's list of association types, not recorded ones.
    _pair("contacts deals", (4, 3), _label((105, 106), "Decides on", "Decision maker")),
    _pair("contacts tickets", (15, 16)),
    _pair("companies deals", (342, 341), _primary(6, 5)),
    _pair("companies tickets", (340, 339), _primary(25, 26)),
    _pair("deals tickets", (27, 28)),
    _pair("contacts machines", (110, 111), _label((112, 113), "Operates", "Operator"),
          category=USER),
)  # fmt: skip
