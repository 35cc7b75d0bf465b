"""How pictures of episodes look: colours and proportions."""

from dataclasses import dataclass

Color = tuple[int, int, int]


@dataclass(frozen=True)
class PanelStyle:
    """How a panel looks. Colours are RGB, from the colour-blind-safe Okabe-Ito set.

    Attributes:
        mask_color: Target of support and truth, and what a prediction says is target.
        rim_color: Outline of the same masks.
        truth_color: Outline of the truth over a prediction: filled outside it is a
            false positive, unfilled inside it a false negative.
        ignore_color: Tint of the pixels labelled 255, which are hatched as well.
        text_color, muted_color: Names; and what stands beside them.
        background: Paper.
        opacity: Of a mask over its image, in [0, 1].
        line: Width of outlines as a share of the image's height on the panel.
        font: Height of captions as a share of the row's height.
        title: Height of the class name as a share of the row's height.
        gap: Space between cells as a share of the row's height.
        max_aspect: Wider images (width / height) are shrunk to fit, not cropped.
        support_aspect: Supports get as many rows as bring them to at most this
            width / height together.
    """

    mask_color: Color = (0, 114, 178)
    rim_color: Color = (86, 180, 233)
    truth_color: Color = (240, 228, 66)
    ignore_color: Color = (160, 160, 160)
    text_color: Color = (20, 20, 20)
    muted_color: Color = (110, 110, 110)
    background: Color = (255, 255, 255)
    opacity: float = 0.55
    line: float = 0.009
    font: float = 0.062
    title: float = 0.083
    gap: float = 0.034
    max_aspect: float = 2.5
    support_aspect: float = 4.0

    def pixels(self, share: float, height: int) -> int:
        """A share of a height in whole pixels, at least one."""
        return max(1, round(share * height))
