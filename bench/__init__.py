"""The harness, a room a stage; ``docs/architecture.md`` has the map."""

__version__ = "0.1.0"
