"""Which path is which endpoint, in each version of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipelines.simulator import account, associations, objects, schema
from pipelines.simulator.gate import Endpoint, Gate
from pipelines.simulator.search import Search

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipelines.simulator.wire import Answer, Call

_V3: Final = (
    ("/crm/v3/objects", "objects"),
    ("/crm/v3/properties", "properties"),
    ("/crm/v3/owners", "owners"),
    ("/account-info/v3", "account"),
    ("/crm/v4/associations", "associations"),
    ("/crm/associations/v4", "association labels"),
    ("/crm/v3/schemas", "schemas"),
    ("/crm-object-schemas/v3/schemas", "schemas"),
)
_DATED: Final = (
    ("/crm/objects/{}", "objects"),
    ("/crm/properties/{}", "properties"),
    ("/crm/owners/{}", "owners"),
    ("/account-info/{}", "account"),
    ("/crm/associations/{}", "associations"),
    ("/crm-object-schemas/{}/schemas", "schemas"),
)
BASES: Final = {
    "v3": _V3,
    "2026-03": tuple((base.format("2026-03"), family) for base, family in _DATED),
    "2026-09": tuple((base.format("2026-09"), family) for base, family in _DATED),
}
"""Where each family of endpoints is; associations are in v4 with the others in v3."""
API_VERSIONS: Final = tuple(BASES)

_ONE: Final = "/{object_type}"
_PAIR: Final = "/{object_type}/{to_type}"
_READ: Final = ("crm.objects.{}.read",)
_READ_SCHEMAS: Final = ("crm.objects.{}.read", "crm.schemas.{}.read")
_READ_CUSTOM_SCHEMAS: Final = ("crm.schemas.custom.read",)
_READ_OWNERS: Final = ("crm.objects.owners.read",)
_READ_DISPOSITIONS: Final = ("crm.objects.contacts.read", "crm.objects.calls.read")
_READ_ACCOUNT: Final = ("oauth",)


def families(gate: Gate) -> Mapping[str, tuple[Endpoint, ...]]:
    """Endpoints by family."""
    labels = _get("association_labels", f"{_PAIR}/labels", associations.list_labels, _READ)
    usage = "/api-usage/daily/private-apps"
    return {
        "objects": _objects(),
        "properties": _properties(),
        "owners": (
            _get("owners", "", account.list_owners, _READ_OWNERS),
            _get("owners", "/", account.list_owners, _READ_OWNERS),
        ),
        "calling": (
            # Which scope it needs, the facts do not say.
            _get("dispositions", "/dispositions", account.list_dispositions, _READ_DISPOSITIONS),
        ),
        "account": (
            _get("account_details", "/details", account.details, _READ_ACCOUNT),
            _get("daily_usage", usage, gate.daily_usage, _READ_ACCOUNT),
        ),
        "associations": (
            _post("associations_batch_read", f"{_PAIR}/batch/read", associations.batch_read, _READ),
            labels,
        ),
        "association labels": (labels,),
        "schemas": (
            _get("schemas", "", schema.list_schemas, _READ_CUSTOM_SCHEMAS),
            _get("schema", _ONE, schema.read_schema, _READ_CUSTOM_SCHEMAS),
        ),
    }


def _objects() -> tuple[Endpoint, ...]:
    return (
        _post("batch_read", f"{_ONE}/batch/read", objects.batch_read, _READ),
        _post("search", f"{_ONE}/search", Search(), _READ),
        _get("list", _ONE, objects.list_page, _READ),
        _get("read", f"{_ONE}/{{record_id}}", objects.read_one, _READ),
    )


def _properties() -> tuple[Endpoint, ...]:
    read_many = schema.batch_read_properties
    return (
        _post("properties_batch_read", f"{_ONE}/batch/read", read_many, _READ_SCHEMAS),
        _get("property_groups", f"{_ONE}/groups", schema.list_groups, _READ_SCHEMAS),
        _get("properties", _ONE, schema.list_properties, _READ_SCHEMAS),
        _get("property", f"{_ONE}/{{name}}", schema.read_property, _READ_SCHEMAS),
    )


def _get(
    name: str, path: str, handler: Callable[[Call], Answer], scopes: tuple[str, ...]
) -> Endpoint:
    return Endpoint(name, "GET", path, handler, scopes)


def _post(
    name: str, path: str, handler: Callable[[Call], Answer], scopes: tuple[str, ...]
) -> Endpoint:
    return Endpoint(name, "POST", path, handler, scopes)
