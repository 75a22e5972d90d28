"""What can go wrong, in words for the person who called the tool."""


class FleetError(Exception):
    """The tool could not do what it was asked; the message says what to do."""
