"""Prometheus's text format, where it is written by hand: exposition formats, 0.0.4."""


def escaped(label: str) -> str:
    """Return the value of a label as it stands between quotes."""
    return label.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def number(value: float) -> str:
    """Return *value* in so few digits that it is read as the same again."""
    return str(int(value)) if value == int(value) else repr(value)
