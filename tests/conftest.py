"""What holds for every test."""

import os
import tempfile
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def _temporary_files_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Limits are shared through files, one for each simulator: none outlives the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "TMPDIR", str(tmp_path_factory.mktemp("temporary")))
        patch.setattr(tempfile, "tempdir", None)  # asked for anew
        yield
