"""Plain DuckDB SQL: views for analysts and checks that return offending rows."""
