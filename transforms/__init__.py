"""Pure functions from raw text to typed columns: no I/O, no clock."""
