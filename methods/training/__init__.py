"""How a student is trained: one file a method, each a frozen dataclass with its loss."""
