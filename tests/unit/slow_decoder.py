"""What each raw value means, told a second time: one value at a time, in plain Python.

Written from the rules, not from `transforms.parse`: decimals are compared as
`Decimal`, days are counted by hand (Python's own calendar ends at 1 and 9999).
"""

from __future__ import annotations

import re
from decimal import Decimal
from enum import Enum

BLANKS = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    chr(code) for code in range(0x2000, 0x200B)
)
DIGITS = set("0123456789")
DAY_US = 86_400_000_000
FIRST_YEAR, LAST_YEAR = -262_143, 262_142


class Reject(Enum):
    UNPARSEABLE = "UNPARSEABLE_VALUE"
    LOSS = "PRECISION_LOSS"


def decode(kind: str, raw: str | None) -> object:
    """The typed value, None for no value, or the reason why it is a reject.

    Dates are days, datetimes microseconds since 1970; lists are lists.
    """
    if raw is None or raw == "":
        return None
    if kind == "text":
        return raw
    if kind == "list":
        return [item for item in raw.split(";") if item]
    return DECODERS[kind](raw.strip(BLANKS))


def decode_number(text: str) -> object:
    parts = split_number(text)
    if parts is None:
        return Reject.UNPARSEABLE
    mantissa, exponent = parts
    value = float(text)
    if mantissa == 0:
        return value
    if value in (0.0, float("inf"), float("-inf")) or abs(exponent) > 10**6:
        return Reject.LOSS
    sign, digits, places = mantissa.as_tuple()
    number = Decimal((sign, digits, int(places) + exponent))
    return value if number in (Decimal(repr(value)), Decimal(value)) else Reject.LOSS


def decode_integer(text: str) -> object:
    parts = split_number(text)
    if parts is None:
        return Reject.UNPARSEABLE
    mantissa, exponent = parts
    if mantissa == 0:
        return 0
    sign, digits, power = mantissa.as_tuple()
    written = "".join(map(str, digits)).lstrip("0")
    places = int(power) + exponent + len(written) - len(written.rstrip("0"))
    written = written.rstrip("0")
    if places < 0 or len(written) + places > 19:
        return Reject.LOSS
    value = int(written) * 10**places * (-1 if sign else 1)
    return value if -(2**63) <= value < 2**63 else Reject.LOSS


def split_number(text: str) -> tuple[Decimal, int] | None:
    """Mantissa and exponent; None if it is not a number."""
    mantissa, has_exponent, exponent = text.replace("E", "e").partition("e")
    unsigned = mantissa[1:] if mantissa[:1] in {"+", "-"} else mantissa
    whole, _, fraction = unsigned.partition(".")
    if not whole + fraction or not set(whole + fraction) <= DIGITS:
        return None
    if has_exponent and not is_digits(exponent[1:] if exponent[:1] in {"+", "-"} else exponent):
        return None
    return Decimal(mantissa), decode_exponent(exponent) if has_exponent else 0


def decode_exponent(text: str) -> int:
    """The exponent; one too long for Python to read is as good as a very large one."""
    size = int(text.lstrip("+-0")[:30] or "0")
    return -size if text[0] == "-" else size


def decode_boolean(text: str) -> object:
    lowered = "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in text)
    return {"true": True, "false": False}.get(lowered, Reject.UNPARSEABLE)


def decode_date(text: str) -> object:
    day = count_days(text)
    if day is not None:
        return day
    ms = decode_epoch(text)
    if ms is None or ms % 86_400_000:
        return Reject.UNPARSEABLE
    return ms // 86_400_000


def decode_datetime(text: str) -> object:
    ms = decode_epoch(text)
    if ms is not None:
        return ms * 1000
    day = count_days(text[:10])
    clock = text[10:]
    if day is None:
        return Reject.UNPARSEABLE
    if not clock:
        return day * DAY_US
    if clock[0] not in "T ":
        return Reject.UNPARSEABLE
    clock, minutes_ahead = split_zone(clock[1:])
    micros = decode_clock(clock)
    if minutes_ahead is None or isinstance(micros, Reject):
        return Reject.UNPARSEABLE if minutes_ahead is None else micros
    return day * DAY_US + micros - minutes_ahead * 60_000_000


def split_zone(clock: str) -> tuple[str, int | None]:
    if clock.endswith("Z"):
        return clock[:-1], 0
    for sign in "+-":
        time, found, zone = clock.partition(sign)
        if found:
            zone = zone[:2] + zone[3:] if zone[2:3] == ":" else zone
            is_zone = len(zone) == 4 and is_digits(zone) and zone[:2] < "24" and zone[2:] < "60"
            minutes = int(zone[:2]) * 60 + int(zone[2:]) if is_zone else None
            return time, -minutes if minutes is not None and sign == "-" else minutes
    return clock, 0


def decode_clock(clock: str) -> int | Reject:
    clock, point, fraction = clock.partition(".")
    units = clock.split(":")
    if len(units) not in {2, 3} or not all(len(u) == 2 and is_digits(u) for u in units):
        return Reject.UNPARSEABLE
    if point and (len(units) == 2 or not is_digits(fraction)):
        return Reject.UNPARSEABLE
    hours, minutes, seconds = [*map(int, units), 0][:3]
    if hours > 23 or minutes > 59 or seconds > 59:
        return Reject.UNPARSEABLE
    if set(fraction[6:]) - {"0"}:
        return Reject.LOSS
    micros = int((fraction + "000000")[:6])
    return ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + micros


def decode_epoch(text: str) -> int | None:
    """Milliseconds, if they are within the years that can be held."""
    if not is_digits(text.removeprefix("-")) or len(text.lstrip("-0")) > 19:
        return None
    ms = int(text.lstrip("-0") or "0") * (-1 if text[0] == "-" else 1)
    first = days_before(FIRST_YEAR) * 86_400_000
    last = days_before(LAST_YEAR + 1) * 86_400_000
    return ms if first <= ms < last else None


def count_days(text: str) -> int | None:
    """Days since 1970 of YYYY-MM-DD; None if there is no such day."""
    if not re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return None
    year, month, day = map(int, text.split("-"))
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    lengths = [31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    if not 1 <= month <= 12 or not 1 <= day <= lengths[month - 1]:
        return None
    return days_before(year) + sum(lengths[: month - 1]) + day - 1


def days_before(year: int) -> int:
    """Days from 1970-01-01 to the first of January of a year."""
    past = year - 1
    return 365 * past + past // 4 - past // 100 + past // 400 - 719_162


def is_digits(text: str) -> bool:
    return bool(text) and set(text) <= DIGITS


DECODERS = {
    "number": decode_number,
    "integer": decode_integer,
    "boolean": decode_boolean,
    "date": decode_date,
    "datetime": decode_datetime,
}
