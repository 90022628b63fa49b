"""What holds for every test."""

import os
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import settings

from pipelines.hubspot.paths import API_VERSIONS
from pipelines.settings import DEFAULT_API_VERSION

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("crm", deadline=None)
settings.load_profile("crm")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--api-version VERSION` runs the end-to-end tests against another version of the API."""
    parser.addoption(
        "--api-version",
        choices=API_VERSIONS,
        default=DEFAULT_API_VERSION,
        help="asked by every end-to-end test that names no other (default: %(default)s)",
    )


@pytest.fixture(autouse=True, scope="session")
def _temporary_files_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Limits are shared through files, one for each simulator: none outlives the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "TMPDIR", str(tmp_path_factory.mktemp("temporary")))
        patch.setattr(tempfile, "tempdir", None)  # asked for anew
        yield
