"""I/O: HTTP, dlt, DuckDB and the command line."""
