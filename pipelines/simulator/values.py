"""What a portal's values look like: makers of raw text, and pools drawn from them.

HubSpot sends every value as text or null. A maker returns one such text; `pool` draws
enough of them, with nulls between, to fill a column of any length by lookup.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Final

Value = str | None
Maker = Callable[[Random], str]

POOL_SIZE: Final = 512
ABSENT: Final = "\x00absent"
"""Marks a key that is left out of the record; compared by identity, never sent."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
LONGEST_TEXT: Final = 65_536
_MS_PER_DAY: Final = 86_400_000


def pool(
    rng: Random, maker: Maker, *, filled: float, empty: float, absent: float
) -> tuple[Value, ...]:
    """`POOL_SIZE` values of one property.

    Args:
        rng: Where chance comes from; the same state gives the same pool.
        maker: Makes one value that is set.
        filled: Share of values that are set.
        empty: Share of "" (set once, then cleared).
        absent: Share of keys left out; what remains is null.
    """
    kinds: tuple[str, ...] = ("set", "", ABSENT, "null")
    weights = (filled, empty, absent, max(0.0, 1 - filled - empty - absent))
    made: dict[str, Callable[[], Value]] = {
        "set": lambda: maker(rng),
        "": lambda: "",
        ABSENT: lambda: ABSENT,
        "null": lambda: None,
    }
    return tuple(made[kind]() for kind in rng.choices(kinds, weights, k=POOL_SIZE))


def iso(ms: int) -> str:
    """A moment as HubSpot prints it: UTC, milliseconds dropped when they are zero."""
    spec = "milliseconds" if ms % 1000 else "seconds"
    moment = EPOCH + timedelta(milliseconds=ms)
    return moment.replace(tzinfo=None).isoformat(timespec=spec) + "Z"


def epoch_ms(moment: datetime) -> int:
    """Milliseconds since 1970 of an aware datetime."""
    return (moment - EPOCH) // timedelta(milliseconds=1)


def one_of(values: Sequence[str]) -> Maker:
    """Any of `values`."""
    return lambda rng: rng.choice(values)


def many_of(values: Sequence[str], *, untidy: float = 0.0) -> Maker:
    """A `;` list without repeats; a share of lists has empty items, as old records do."""

    def make(rng: Random) -> str:
        joined = ";".join(rng.sample(values, rng.randint(1, min(4, len(values)))))
        return joined if rng.random() >= untidy else ";" + joined.replace(";", ";;") + ";"

    return make


def integer(low: int, high: int) -> Maker:
    """A whole number, both ends included."""
    return lambda rng: str(rng.randint(low, high))


def decimal(low: float, high: float, places: int) -> Maker:
    """A number with a fixed count of decimals."""
    return lambda rng: f"{rng.uniform(low, high):.{places}f}"


def any_number(rng: Random) -> str:
    """Every way a number is written: whole, decimal, exponent, or a double printed in full."""
    value = rng.uniform(-1000, 1000)
    forms = (
        lambda: str(round(value)),
        lambda: f"{value:.1f}",
        lambda: str(Decimal(rng.choice((0.1, 0.2, 0.7, value / 1e6)))),
        lambda: f"{rng.randint(1, 9)}.{rng.randint(0, 99)}E{rng.randint(-7, 12)}",
        lambda: rng.choice(("0", "0.0", "-0.5", "1e3", "17")),
    )
    return rng.choice(forms)()


def day(first: date, last: date, *, as_epoch: float = 0.2) -> Maker:
    """A calendar day, mostly `YYYY-MM-DD`, else epoch ms at midnight UTC (negative before 1970)."""

    def make(rng: Random) -> str:
        chosen = first + timedelta(days=rng.randint(0, (last - first).days))
        if rng.random() >= as_epoch:
            return chosen.isoformat()
        return str((chosen - EPOCH.date()).days * _MS_PER_DAY)

    return make


def moment(first: date, last: date, *, as_epoch: float = 0.0) -> Maker:
    """A moment in UTC: ISO 8601, one in four without fraction, or epoch ms."""
    low = (first - EPOCH.date()).days * _MS_PER_DAY
    high = (last - EPOCH.date()).days * _MS_PER_DAY

    def make(rng: Random) -> str:
        ms = rng.randint(low, high)
        ms -= ms % 1000 if rng.random() < 0.25 else 0
        return str(ms) if rng.random() < as_epoch else iso(ms)

    return make


def words(low: int, high: int) -> Maker:
    """Some words of plain text."""
    return lambda rng: " ".join(rng.choice(_WORDS) for _ in range(rng.randint(low, high)))


def prose(rng: Random) -> str:
    """Text as people paste it: blanks at the ends, emoji, line breaks, other scripts, very long."""
    plain = words(2, 20)(rng)
    return rng.choice((*_ODD_TEXTS, plain, plain, plain, f"  {plain} ", f"\u00a0{plain}\u00a0"))


def long_prose(rng: Random) -> str:
    """`prose`, and now and then the longest text HubSpot keeps."""
    return ("lorem ipsum " * LONGEST_TEXT)[:LONGEST_TEXT] if rng.random() < 0.01 else prose(rng)


def html(rng: Random) -> str:
    """Sanitised HTML, or plain text that stayed plain."""
    text = words(3, 25)(rng)
    return rng.choice((f"<div><p>{text}</p><br>R&amp;D &lt;now&gt;</div>", f"<p>{text}</p>", text))


def phone(rng: Random) -> str:
    """A phone number as somebody typed it."""
    digits = f"{rng.randint(200, 999)}555{rng.randint(0, 9999):04d}"
    forms = ("+1{0}", "({1}) {2}-{3}", "{1}.{2}.{3}", "{1} {2} {3} ext. 7", " {0}")
    return rng.choice(forms).format(digits, digits[:3], digits[3:6], digits[6:])


def guid(rng: Random) -> str:
    """A random identifier in GUID form."""
    digits = f"{rng.getrandbits(128):032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def template(pattern: str) -> Maker:
    """`pattern` with `{n}` replaced by a number of up to six digits."""
    return lambda rng: pattern.format(n=rng.randint(1, 999_999))


BROKEN: Final[Mapping[str, tuple[str, ...]]] = {
    "number": ("5,333,222", "23.345.567,23", "12 apples", "1.2.3", "--5", "0x1F", "NaN"),
    "date": ("2024-13-45", "2023-02-29", "1653696000001", "1700000000", "05/31/2024", "tomorrow"),
    "datetime": ("2024-13-45T00:00:00Z", "2024-02-30T10:00:00Z", "last week"),
    "bool": ("maybe", "yes", "0", "truee"),
}
"""By type, values that no reading of the type accepts, as old or careless writes left them."""

FIRST_NAMES: Final = (
    "Ada", "Björn", "Chloé", "Dmitri", "Emma", "Farida", "Grace", "Hana", "Ivo", "José",
    "Kwame", "Lena", "Mehmet", "Nour", "Olga", "Priya", "Quentin", "Rosa", "Søren", "Tomás",
    "محمد", "小明", "Ольга", " Anna", "Jean-Luc", "O'Neil", "Zoë 🎉",
)  # fmt: skip
LAST_NAMES: Final = (
    "Lovelace", "Ångström", "García", "Hopper", "Ivanova", "Jansen", "Kowalski", "Li", "Müller",
    "Nakamura", "Okafor", "Petrov", "Quispe", "Rossi", "Silva", "Turing", "Ueda", "van der Berg",
    "Weiß", "Yavuz", "Zhang", "D'Angelo", "Smith\u00a0", "כהן",
)  # fmt: skip
COMPANIES: Final = (
    "Acme, Inc.", "Globex", 'The "Best" Bakery', "Initech GmbH", "Umbrella & Sons", "Hooli",
    "Wayne\\Stark", "株式会社サンプル", "Soylent; Partners", "Vandelay Industries",
)  # fmt: skip
CITIES: Final = ("Berlin", "São Paulo", "New York", "Kraków", "東京", "Reykjavík", "Lagos", "Oslo")
COUNTRIES: Final = ("Germany", "Brazil", "United States", "Poland", "Japan", "Iceland", "Nigeria")
JOBS: Final = ("CEO", "Head of R&D", "Sales Manager", "Développeur", "Engineer", "Buyer <EMEA>")

_WORDS: Final = (
    "about", "agreed", "ask", "budget", "call", "customer", "decide", "demo", "email", "follow",
    "invoice", "later", "meeting", "next", "offer", "order", "plan", "price", "product", "quarter",
    "reply", "send", "ship", "sign", "support", "team", "trial", "week",
)  # fmt: skip
_ODD_TEXTS: Final = (
    "Line one\nline two\r\nline three", "👩‍👩‍👧 family plan ❤️", "مرحبا بالعالم", "שלום עולם",
    "tab\there", 'quotes " and \\ backslash', "semi;colon;text", "0", "null", "ﬁne — “quoted”",
)  # fmt: skip
