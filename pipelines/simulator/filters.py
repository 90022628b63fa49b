"""Search filters: one filter and one record, match or not."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

import msgspec

from pipelines.simulator.record import Record
from pipelines.simulator.values import Value, epoch_ms
from pipelines.simulator.wire import Refusal, invalid

if TYPE_CHECKING:
    from pipelines.simulator.records import Records
    from pipelines.simulator.variants import Variants

Test = Callable[[Record], bool]
Reader = Callable[[Record], Any]

OPERATORS: Final = frozenset(
    {
        "EQ", "NEQ", "LT", "LTE", "GT", "GTE", "BETWEEN", "IN", "NOT_IN", "HAS_PROPERTY",
        "NOT_HAS_PROPERTY", "CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN",
    }
)  # fmt: skip
_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "LT": lambda a, b: bool(a < b),
    "LTE": lambda a, b: bool(a <= b),
    "GT": lambda a, b: bool(a > b),
    "GTE": lambda a, b: bool(a >= b),
}
_EPOCH_MS: Final = re.compile(r"-?\d+")
_TOKEN: Final = re.compile(r"[\w*]+")


class Filter(msgspec.Struct, rename="camel"):
    """One condition of a search."""

    property_name: str
    operator: str
    value: str | int | float | bool | None = None
    high_value: str | int | float | None = None
    values: list[str | int | float] | None = None

    def span(self) -> tuple[int, float] | None:
        """From where up to which id it lets records through, if it only cuts off ids."""
        if self.property_name != "hs_object_id" or not str(self.value).isdigit():
            return None
        value = int(str(self.value))
        return {
            "GT": (value + 1, math.inf),
            "GTE": (value, math.inf),
            "LT": (0, value),
            "LTE": (0, value + 1),
        }.get(self.operator)


def check_property(records: Records, name: str) -> None:
    """Raise `Refusal` if there is no such property to filter or sort by."""
    if name not in records.properties or not records.properties[name].is_visible:
        raise invalid(
            f'Property "{name}" does not exist',
            errors=[
                {
                    "message": f'Property "{name}" does not exist',
                    "code": "PROPERTY_DOESNT_EXIST",
                    "context": {"propertyName": [name]},
                }
            ],
        )


def reader(records: Records, name: str) -> Reader:
    """How to get a property of a record as something that compares; None where unset or broken."""
    if name == "hs_object_id":
        return lambda record: record.id
    if name in records.always:
        if name == records.modified_property:
            return lambda record: record.updated_ms
        return lambda record: record.created_ms
    parse = _parser(records, name)
    return lambda record: _parsed(parse, records.value(record, name))


def test(records: Records, one: Filter, variants: Variants) -> Test:
    """The condition as a function of a record.

    Raises:
        Refusal: 400, an unknown property or operator, or a value it cannot take.
    """
    check_property(records, one.property_name)
    if one.operator not in OPERATORS:
        raise Refusal(
            400,
            "Invalid input JSON on line 1, column 1: Cannot deserialize value of type "
            f'`FilterOperator` from String "{one.operator}"',
        )
    name = one.property_name
    if one.operator in {"HAS_PROPERTY", "NOT_HAS_PROPERTY"}:
        wanted = one.operator == "HAS_PROPERTY"
        return lambda record: bool(records.value(record, name)) == wanted
    if one.operator in {"IN", "NOT_IN"}:
        return _membership(records, one, variants)
    if one.value is None or not str(one.value).strip():
        raise invalid(
            f"value must be non-empty and non-blank, if specified {{propertyName: '{name}'}}"
        )
    if one.operator in {"CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN"}:
        return _token(records, one)
    return _comparison(records, one, variants)


def _comparison(records: Records, one: Filter, variants: Variants) -> Test:
    read = reader(records, one.property_name)
    low = _operand(records, one.property_name, one.value)
    if one.operator == "BETWEEN":
        high = _operand(records, one.property_name, one.high_value)
        if low > high:
            raise invalid("value must not be greater than highValue")
        return lambda record: (found := read(record)) is not None and low <= found <= high
    if one.operator in _COMPARE:
        compare = _COMPARE[one.operator]
        return lambda record: (found := read(record)) is not None and compare(found, low)
    return _equality(records, one, {low}, variants)


def _membership(records: Records, one: Filter, variants: Variants) -> Test:
    if not one.values:
        raise invalid(f"values must be non-empty {{propertyName: '{one.property_name}'}}")
    kind = records.properties[one.property_name].type
    is_text = kind not in {"number", "date", "datetime", "bool", "enumeration"}
    wanted = {
        str(value) if is_text else _operand(records, one.property_name, value)
        for value in one.values
    }
    return _equality(records, one, wanted, variants)


def _equality(records: Records, one: Filter, wanted: set[Any], variants: Variants) -> Test:
    """Whether any item of the value is wanted; most properties hold just one item."""
    read = reader(records, one.property_name)
    is_negative = one.operator in {"NEQ", "NOT_IN"}
    is_many = records.properties[one.property_name].is_many

    def matches(record: Record) -> bool:
        found = read(record)
        if found is None:
            return is_negative and variants.unset_matches_not
        items = set(found.split(";")) if is_many else {found}
        return bool(items & wanted) != is_negative

    return matches


def _token(records: Records, one: Filter) -> Test:
    pattern = str(one.value).lower()
    wanted = one.operator == "CONTAINS_TOKEN"
    name = one.property_name

    def matches(record: Record) -> bool:
        text = (records.value(record, name) or "").lower()
        if not text:
            return False
        tokens = (text, *_TOKEN.findall(text))
        return any(fnmatchcase(token, pattern) for token in tokens) == wanted

    return matches


def _operand(records: Records, name: str, value: object) -> Any:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    parsed = _parsed(_parser(records, name), text)
    if parsed is None:
        raise invalid(f"{text} is not a valid value of {name}")
    return parsed


def _parser(records: Records, name: str) -> Callable[[str], Any]:
    kind = records.properties[name].type
    if name == "hs_object_id":
        return int
    if kind == "number":
        return float
    if kind in {"date", "datetime"}:
        return _milliseconds
    return str if kind == "enumeration" else str.lower


def _parsed(parse: Callable[[str], Any], value: Value) -> Any:
    if not value:
        return None
    try:
        return parse(value)
    except ValueError:
        return None


def _milliseconds(text: str) -> int:
    """Epoch ms of a date or a moment in either form; finer digits are cut off."""
    if _EPOCH_MS.fullmatch(text):
        return int(text)
    moment = datetime.fromisoformat(text)
    return epoch_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
