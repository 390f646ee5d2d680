"""What workers call the code that they have, for one another and for those who ask them."""


def saga_code(name: str, version: int) -> str:
    return f"saga {name} version {version}"


def step_code(name: str) -> str:
    """Of a compensation, too."""
    return f"step {name}"
