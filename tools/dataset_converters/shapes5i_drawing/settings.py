"""How the pictures of Shapes-5i look: all numbers in one place."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SceneSettings:
    """How the pictures look. Shares are of the image's area; lengths are pixels."""

    side: tuple[int, int] = (240, 320)
    objects: tuple[int, int] = (2, 4)
    main_share: tuple[float, float] = (0.08, 0.22)
    other_share: tuple[float, float] = (0.035, 0.14)
    # Longest extent of an object, as a share of the image's shorter side.
    extent: float = 0.9
    stretch: float = 1.18
    # An object may lose this share of its pixels to others and to the image's edge.
    hidden: float = 0.25
    main_pixels: int = 2400
    other_pixels: int = 700
    repeat_main_class: float = 0.08
    placements: int = 25
    object_period: tuple[float, float] = (9, 28)
    object_contrast: tuple[float, float] = (12, 60)
    background_period: tuple[float, float] = (12, 60)
    background_contrast: tuple[float, float] = (6, 38)
    background_vividness: float = 0.6
    # Colour distance of neighbouring surfaces' means.
    stand_out: float = 28
    clutter: tuple[int, int] = (3, 9)
    clutter_on_top: float = 0.35
    lighting: tuple[float, float] = (0.1, 0.45)
    blur: tuple[float, float] = (0.4, 0.9)
    noise: tuple[float, float] = (0.006, 0.022)
