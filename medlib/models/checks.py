"""What every network checks before it is built."""

from medlib.errors import MedlibError


class ModelError(MedlibError, ValueError):
    """A network that cannot be built as asked; the message says what can."""


def check_sizes(
    name: str, *, in_channels: int, num_classes: int, image_size: int, smallest: int
) -> None:
    """Refuse counts below one and images smaller than the network allows.

    Raises
    ------
    ModelError
        Naming what was expected, what came, and what to do.
    """
    for what, value in (("in_channels", in_channels), ("num_classes", num_classes)):
        if value < 1:
            raise ModelError(f"{name}: {what} must be at least 1, got {value}")
    if image_size < smallest:
        raise ModelError(
            f"{name} needs images of at least {smallest} x {smallest} pixels, got "
            f"{image_size} x {image_size}: enlarge the images or choose a smaller network"
        )


def resolve_stem(stem: str, image_size: int, known: tuple[str, ...] = ("standard", "small")) -> str:
    """Turn the stem ``"auto"`` into ``"small"`` up to 64 pixels, else ``"standard"``.

    Raises
    ------
    ModelError
        For a stem that does not exist.
    """
    if stem == "auto":
        return "small" if image_size <= 64 else "standard"
    if stem not in known:
        raise ModelError(f"unknown stem {stem!r}: choose 'auto' or one of {', '.join(known)}")
    return stem
