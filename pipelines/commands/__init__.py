"""The commands: each parses, calls one function and prints; `pipelines.cli` puts them together.

What a command needs is imported inside it, so that `crm --help` is quick.
"""
