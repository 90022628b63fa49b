"""Which path is which endpoint, in each version of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipelines.simulator import account, associations, objects, schema
from pipelines.simulator.gate import Endpoint, Gate
from pipelines.simulator.search import Search

if TYPE_CHECKING:
    from collections.abc import Mapping

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

_READ: Final = ("crm.objects.{}.read",)
_READ_SCHEMAS: Final = ("crm.objects.{}.read", "crm.schemas.{}.read")
_READ_CUSTOM_SCHEMAS: Final = ("crm.schemas.custom.read",)
_READ_OWNERS: Final = ("crm.objects.owners.read",)
_READ_DISPOSITIONS: Final = ("crm.objects.contacts.read", "crm.objects.calls.read")
_READ_ACCOUNT: Final = ("oauth",)


def families(gate: Gate) -> Mapping[str, tuple[Endpoint, ...]]:
    """Endpoints by family."""
    labels = Endpoint(
        "association_labels",
        "GET",
        "/{object_type}/{to_type}/labels",
        associations.list_labels,
        _READ,
    )
    return {
        "objects": _objects(),
        "properties": _properties(),
        "owners": (
            Endpoint("owners", "GET", "", account.list_owners, _READ_OWNERS),
            Endpoint("owners", "GET", "/", account.list_owners, _READ_OWNERS),
        ),
        "calling": (
            # Which scope it needs, the facts do not say.
            Endpoint(
                "dispositions",
                "GET",
                "/dispositions",
                account.list_dispositions,
                _READ_DISPOSITIONS,
            ),
        ),
        "account": (
            Endpoint("account_details", "GET", "/details", account.details, _READ_ACCOUNT),
            Endpoint(
                "daily_usage",
                "GET",
                "/api-usage/daily/private-apps",
                gate.daily_usage,
                _READ_ACCOUNT,
            ),
        ),
        "associations": (
            Endpoint(
                "associations_batch_read",
                "POST",
                "/{object_type}/{to_type}/batch/read",
                associations.batch_read,
                _READ,
            ),
            labels,
        ),
        "association labels": (labels,),
        "schemas": (
            Endpoint("schemas", "GET", "", schema.list_schemas, _READ_CUSTOM_SCHEMAS),
            Endpoint("schema", "GET", "/{object_type}", schema.read_schema, _READ_CUSTOM_SCHEMAS),
        ),
    }


def _objects() -> tuple[Endpoint, ...]:
    one = "/{object_type}"
    return (
        Endpoint("batch_read", "POST", f"{one}/batch/read", objects.batch_read, _READ),
        Endpoint("search", "POST", f"{one}/search", Search(), _READ),
        Endpoint("list", "GET", one, objects.list_page, _READ),
        Endpoint("read", "GET", f"{one}/{{record_id}}", objects.read_one, _READ),
    )


def _properties() -> tuple[Endpoint, ...]:
    one = "/{object_type}"
    return (
        Endpoint(
            "properties_batch_read",
            "POST",
            f"{one}/batch/read",
            schema.batch_read_properties,
            _READ_SCHEMAS,
        ),
        Endpoint("property_groups", "GET", f"{one}/groups", schema.list_groups, _READ_SCHEMAS),
        Endpoint("properties", "GET", one, schema.list_properties, _READ_SCHEMAS),
        Endpoint("property", "GET", f"{one}/{{name}}", schema.read_property, _READ_SCHEMAS),
    )
