"""Captioned cells in a row, under a title."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .style import Color, PanelStyle


@dataclass(frozen=True)
class Cell:
    """One picture of a row.

    Attributes:
        picture: (height,·,3) uint8, RGB; all cells of a row have the same height.
        name: The caption.
        note: What follows the name, in a muted colour.
    """

    picture: np.ndarray
    name: str
    note: str = ''

    @property
    def caption(self) -> str:
        """Name and note as they are measured."""
        return f'{self.name}  {self.note}' if self.note else self.name


def blank(height: int, width: int, color: Color) -> np.ndarray:
    """A rectangle (height,width,3) uint8 of one colour."""
    return np.full((height, width, 3), color, np.uint8)


def compose(
    cells: Sequence[Cell],
    title: str,
    subtitle: str,
    legend: Sequence[tuple[str, Color, bool]],
    style: PanelStyle,
) -> np.ndarray:
    """Title and legend over captions over pictures.

    Args:
        cells: From left to right. One narrower than its caption gets space beside it.
        title: Cut, with an ellipsis, where there is no room.
        subtitle: Beside it, in a muted colour; cut likewise.
        legend: Meaning, colour and whether the swatch is filled (else outlined), at
            the right of the title; left out if it would take more than half the width.
        style: Colours and proportions.

    Returns:
        (H,W,3) uint8, RGB.
    """
    height = cells[0].picture.shape[0]
    gap = style.pixels(style.gap, height)
    small = _font(max(8, style.font * height))
    large = _font(max(9, style.title * height))
    # A line of text needs room for its descenders, whatever letters it happens to have.
    title_height, caption_height = (sum(font.getmetrics()) for font in (large, small))
    top = gap + title_height + gap + caption_height + gap // 4
    widths = [
        max(cell.picture.shape[1], math.ceil(small.getlength(cell.caption)))
        for cell in cells
    ]
    width = sum(widths) + gap * (len(cells) + 1)
    canvas = Image.fromarray(blank(top + height + gap, width, style.background))
    draw = ImageDraw.Draw(canvas)

    line = gap + large.getmetrics()[0]
    right = _draw_legend(draw, legend, (width - gap, line), width // 2, small, style)
    title = _shorten(title, right - 2 * gap, large)
    draw.text((gap, line), title, style.text_color, large, anchor='ls')
    x = 2 * gap + large.getlength(title)
    subtitle = _shorten(subtitle, right - gap - x, small)
    draw.text((x, line), subtitle, style.muted_color, small, anchor='ls')

    x, line = gap, top - gap // 4 - small.getmetrics()[1]
    for cell, cell_width in zip(cells, widths, strict=True):
        note_x = x + small.getlength(cell.caption) - small.getlength(cell.note)
        draw.text((x, line), cell.name, style.text_color, small, anchor='ls')
        draw.text((note_x, line), cell.note, style.muted_color, small, anchor='ls')
        canvas.paste(Image.fromarray(cell.picture), (x, top))
        x += cell_width + gap
    return np.array(canvas)


def _font(size: float) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size=size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # it is, where a size is given
    return font


def _draw_legend(
    draw: ImageDraw.ImageDraw,
    entries: Sequence[tuple[str, Color, bool]],
    corner: tuple[int, int],
    max_width: int,
    font: ImageFont.FreeTypeFont,
    style: PanelStyle,
) -> int:
    """Swatches and their meaning, left of ``corner``; returns where they begin."""
    swatch = max(4, round(0.75 * font.size))
    steps = [
        2 * swatch + swatch // 2 + math.ceil(font.getlength(e[0])) for e in entries
    ]
    x, y = corner
    if sum(steps) > max_width:
        return x
    x -= sum(steps)
    begin = x
    for (text, color, filled), step in zip(entries, steps, strict=True):
        x += swatch
        box = (x, y - swatch, x + swatch, y)
        draw.rectangle(box, color if filled else None, color, max(1, swatch // 5))
        after = x + swatch + swatch // 2
        draw.text((after, y), text, style.muted_color, font, anchor='ls')
        x += step - swatch
    return begin


def _shorten(text: str, width: float, font: ImageFont.FreeTypeFont) -> str:
    """``text``, its end replaced by an ellipsis where it is wider than ``width``."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + '…') > width:
        text = text[:-1].rstrip()
    return text and text + '…'
