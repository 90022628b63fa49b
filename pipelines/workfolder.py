"""The folder beside a warehouse file: what dlt works on, and what a killed run left there."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import dlt
import pyarrow.parquet as pq
from dlt.common.storages.load_package import LoadPackageInfo

PIPELINE = "crm"

_SUFFIX = ".work"
_DISCARDED = "discarded-"  # what folders are called that are being deleted


class WorkFolder:
    """The folder beside one warehouse file; what goes wrong in it is an `OSError`.

    Args:
        path: The DuckDB file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(path.name + _SUFFIX)
        self.of_dlt = self.path / "dlt"

    def delete_leftovers(self) -> None:
        """Delete what a process was deleting when it was killed."""
        for left in self.path.glob(f"{_DISCARDED}*"):
            shutil.rmtree(left, ignore_errors=True)

    def discard(self) -> None:
        """Delete dlt's folder so that it is never there by half, wherever the process is killed."""
        if self.of_dlt.exists():
            aside = Path(tempfile.mkdtemp(prefix=_DISCARDED, dir=self.path))
            self.of_dlt.rename(aside / self.of_dlt.name)
            shutil.rmtree(aside, ignore_errors=True)

    def scratch(self) -> AbstractContextManager[str]:
        """A folder in it for what need not be kept; one left by a kill goes with the leftovers."""
        return tempfile.TemporaryDirectory(prefix=_DISCARDED, dir=self.path)

    def tidy(self) -> None:
        """Remove what dlt would have, had it not been killed between two steps.

        It deletes an extracted package after it has committed the normalized one, and trips over
        both; what it was about to make, it makes again.
        """
        folder = self.of_dlt / PIPELINE
        load = folder / "load"
        shutil.rmtree(load / "new", ignore_errors=True)
        (load / "new").mkdir(parents=True, exist_ok=True)
        for package in (folder / "normalize" / "extracted").glob("*"):
            if any((load / step / package.name).exists() for step in ("normalized", "loaded")):
                shutil.rmtree(package, ignore_errors=True)


def is_package_pending(path: Path) -> bool:
    """Whether an earlier run fetched something that it could not load into this DuckDB file."""
    folder = WorkFolder(path.absolute()).of_dlt / PIPELINE
    return any((folder / "load" / "normalized").glob("*/")) or any(
        (folder / "normalize" / "extracted").glob("*/")
    )


def pending_bytes(pipeline: dlt.Pipeline) -> int:
    """How large what is pending is, uncompressed."""
    found = (pq.read_metadata(file) for _, file in unnoted_files(pipeline))
    return sum(
        one.row_group(nth).total_byte_size for one in found for nth in range(one.num_row_groups)
    )


def unnoted_files(pipeline: dlt.Pipeline) -> Iterator[tuple[str, str]]:
    """Table and Parquet file of what is pending and may have been loaded, unnoted by dlt.

    Where there is a note dlt does not load the file again.
    """
    packages = [
        pipeline.get_load_package_info(load_id)
        for load_id in pipeline.list_normalized_load_packages()
    ]
    for package in packages:
        yield from _unnoted_in(pipeline, package)


def _unnoted_in(pipeline: dlt.Pipeline, half: LoadPackageInfo) -> Iterator[tuple[str, str]]:
    noted = pipeline._get_load_storage().normalized_packages  # noqa: SLF001  (no other way)
    for job in (*half.jobs["new_jobs"], *half.jobs["started_jobs"]):
        table, name = job.job_file_info.table_name, job.job_file_info.file_name()
        if job.job_file_info.file_format != "parquet" or table.startswith("_dlt"):
            continue
        if not noted.load_pending_transition(half.load_id, name):
            yield table, job.file_path
