"""What the load test's users and rooms are called, on both of its sides."""


def user_name(number: int) -> str:
    """A sender and viewer."""
    return f"load-{number}"


def room_name(number: int) -> str:
    """A room."""
    return f"load-room-{number}"


def creator_name(number: int) -> str:
    """The creator of a room."""
    return f"load-creator-{number}"
