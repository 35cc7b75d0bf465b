"""Pictures of episodes: support | query | truth | predictions, in one row."""

import math
import os
from collections.abc import Mapping, Sequence

import mmcv
import numpy as np

from mmssp.utils.files import atomic_path

from .layout import Cell, blank, compose
from .overlay import fit_size, inner_outline, overlay_mask, resize_image, resize_mask
from .style import Color, PanelStyle


def episode_iou(prediction: np.ndarray, truth: np.ndarray) -> float | None:
    """IoU of the target in one episode.

    Args:
        prediction: (H,W) in {0, 1}.
        truth: (H,W) in {0, 1, 255}; pixels of 255 are left out.

    Returns:
        In [0, 1]; None where neither mask has a target pixel.

    Raises:
        ValueError: If the sizes differ.
    """
    if prediction.shape != truth.shape:
        raise ValueError(
            f'prediction is {prediction.shape}, truth {truth.shape}: expected the same '
            'height and width; resize the prediction to the truth'
        )
    predicted = (prediction == 1) & (truth != 255)
    union = np.count_nonzero(predicted | (truth == 1))
    return np.count_nonzero(predicted & (truth == 1)) / union if union else None


def draw_episode_panel(
    *,
    support_images: Sequence[np.ndarray],
    support_masks: Sequence[np.ndarray],
    query_image: np.ndarray,
    truth: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    class_name: str,
    subtitle: str = '',
    cell_height: int = 240,
    cell_width: int | None = None,
    legend: bool = True,
    style: PanelStyle = PanelStyle(),
) -> np.ndarray:
    """Draw one episode as a row of pictures with captions, under the class name.

    Args:
        support_images: K images (h_k,w_k,3) uint8, RGB. With several, they share a
            grid of the row's height.
        support_masks: Their K masks (h_k,w_k) in {0, 1, 255}.
        query_image: (H,W,3) uint8, RGB.
        truth: (H,W) in {0, 1, 255}.
        predictions: Name → (H,W) in {0, 1}; a cell each, captioned with its IoU.
        class_name: The title.
        subtitle: What else the title says, in a muted colour.
        cell_height: Height of the pictures, in pixels; text and lines go with it.
        cell_width: Width of every picture, in pixels, so that the columns of several
            panels meet; None gives each the width of its image.
        legend: Explain the colours at the title's right, if there is room.
        style: Colours and proportions.

    Returns:
        (height, width, 3) uint8, RGB.

    Raises:
        ValueError: If shapes, dtypes or mask values are not as above.
    """
    _check_episode(support_images, support_masks, query_image, truth, predictions)
    if cell_height < 32 or (cell_width is not None and cell_width < 32):
        raise ValueError(
            f'cell_height={cell_height}, cell_width={cell_width}: expected at least 32 '
            'pixels each, or nothing can be recognised'
        )
    box = (cell_height, cell_width)
    supports = list(zip(support_images, support_masks, strict=True))
    cells = [
        Cell(
            _draw_supports(supports, box, style),
            'Support',
            f'{len(supports)} shots' if len(supports) > 1 else '',
        ),
        Cell(_draw_cell(query_image, None, None, box, style), 'Query'),
        Cell(_draw_cell(query_image, truth, None, box, style), 'Truth'),
    ]
    for name, mask in predictions.items():
        iou = episode_iou(mask, truth)
        note = 'IoU n/a' if iou is None else f'IoU {100 * iou:.1f} %'
        shown = np.where(truth == 255, truth, mask)
        picture = _draw_cell(query_image, shown, truth, box, style)
        cells.append(Cell(picture, name, note))
    entries = [('target', style.mask_color, True)]
    if predictions:
        entries.append(('truth', style.truth_color, False))
    if any((mask == 255).any() for mask in (truth, *support_masks)):
        entries.append(('ignored', style.ignore_color, True))
    return compose(cells, class_name, subtitle, entries if legend else (), style)


def stack_panels(
    panels: Sequence[np.ndarray],
    separator: int = 1,
    separator_color: Color = (200, 200, 200),
    background: Color = PanelStyle.background,
) -> np.ndarray:
    """Put panels below each other, as wide as the widest, a thin line between.

    Args:
        panels: (h_i,w_i,3) uint8, RGB; at least one.
        separator: Height of the line, in pixels.
        separator_color: RGB.
        background: RGB, to the right of narrower panels.

    Returns:
        (Σ h_i + lines, max w_i, 3) uint8, RGB.

    Raises:
        ValueError: If there is no panel, or one is not an RGB image.
    """
    if not panels:
        raise ValueError('panels is empty: expected at least one image')
    for i, panel in enumerate(panels):
        _check_image(panel, f'panels[{i}]')
    width = max(panel.shape[1] for panel in panels)
    rows = []
    for i, panel in enumerate(panels):
        if i:
            rows.append(blank(separator, width, separator_color))
        row = blank(panel.shape[0], width, background)
        row[:, : panel.shape[1]] = panel
        rows.append(row)
    return np.concatenate(rows)


def write_png(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Write an image; the file appears whole or not at all. Folders are made.

    Args:
        path: A file name that ends in ``.png``.
        image: (H,W,3) uint8, RGB.

    Raises:
        ValueError: If the suffix or the image is not as above.
        OSError: If it cannot be written.
    """
    if not os.fspath(path).lower().endswith('.png'):
        raise ValueError(f'{path}: expected a file name that ends in .png')
    _check_image(image, 'image')
    with atomic_path(path) as temporary:
        if not mmcv.imwrite(mmcv.rgb2bgr(image), str(temporary)):
            raise OSError(f'{path}: could not be written')


def _draw_supports(
    supports: list[tuple[np.ndarray, np.ndarray]],
    box: tuple[int, int | None],
    style: PanelStyle,
) -> np.ndarray:
    """The supports in the fewest rows that are not too wide: (height, ·, 3)."""
    height, width = box
    gap = style.pixels(style.gap / 3, height)
    shots = len(supports)
    for rows in range(1, shots + 1):
        columns = math.ceil(shots / rows)
        small_height = max(1, (height - gap * (rows - 1)) // rows)
        small = (small_height, width and max(1, round(width * small_height / height)))
        widths = [_box_width(image, small, style) for image, _ in supports]
        lines = [range(i, min(i + columns, shots)) for i in range(0, shots, columns)]
        total = max(sum(widths[i] + gap for i in line) - gap for line in lines)
        if total <= style.support_aspect * height:
            break
    picture = blank(height, total, style.background)
    for row, line in enumerate(lines):
        x, y = 0, row * (small_height + gap)
        for i in line:
            cell = _draw_cell(*supports[i], None, small, style)
            picture[y : y + small_height, x : x + widths[i]] = cell
            x += widths[i] + gap
    return picture


def _draw_cell(
    image: np.ndarray,
    mask: np.ndarray | None,
    outline: np.ndarray | None,
    box: tuple[int, int | None],
    style: PanelStyle,
) -> np.ndarray:
    """An image, a mask over it, the outline of another, in the corner of its box."""
    height, width = box[0], _box_width(image, box, style)
    size = fit_size(image.shape, height, width)
    line = style.pixels(style.line, size[0])
    shown = resize_image(image, size)
    if mask is not None:
        colors = (style.mask_color, style.rim_color, style.ignore_color)
        shown = overlay_mask(
            shown, resize_mask(mask, size), *colors, style.opacity, line
        )
    if outline is not None:
        shown[inner_outline(resize_mask(outline, size) == 1, line)] = style.truth_color
    cell = blank(height, width, style.background)
    cell[: size[0], : size[1]] = shown
    return cell


def _box_width(
    image: np.ndarray, box: tuple[int, int | None], style: PanelStyle
) -> int:
    """How wide a cell is: as its column, or as its own image."""
    height, width = box
    return width or fit_size(image.shape, height, style.max_aspect * height)[1]


def _check_episode(
    support_images: Sequence[np.ndarray],
    support_masks: Sequence[np.ndarray],
    query_image: np.ndarray,
    truth: np.ndarray,
    predictions: Mapping[str, np.ndarray],
) -> None:
    if not support_images or len(support_images) != len(support_masks):
        raise ValueError(
            f'{len(support_images)} support images and {len(support_masks)} masks: '
            'expected at least one, and a mask for each'
        )
    for i, (image, mask) in enumerate(zip(support_images, support_masks, strict=True)):
        _check_image(image, f'support_images[{i}]')
        _check_mask(mask, image, f'support_masks[{i}]', {0, 1, 255})
    _check_image(query_image, 'query_image')
    _check_mask(truth, query_image, 'truth', {0, 1, 255})
    for name, mask in predictions.items():
        _check_mask(mask, query_image, f'predictions[{name!r}]', {0, 1})


def _check_image(image: np.ndarray, name: str) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f'{name} is {image.shape}: expected (height, width, 3), RGB')
    if image.dtype != np.uint8:
        raise ValueError(f'{name} is {image.dtype}: expected uint8, 0 to 255')


def _check_mask(
    mask: np.ndarray, image: np.ndarray, name: str, allowed: set[int]
) -> None:
    if mask.shape != image.shape[:2]:
        raise ValueError(
            f'{name} is {mask.shape}, its image {image.shape[:2]}: expected the same '
            'height and width; resize one of them'
        )
    other = sorted(set(np.unique(mask).tolist()) - allowed)
    if other:
        raise ValueError(
            f'{name} has the value(s) {other[:5]}: expected only {sorted(allowed)} '
            '(1 target, 0 everything else, 255 ignored)'
        )
