"""Hiera at any multiple of its mask unit, its maps in their places."""

from typing import Any

from torch import Tensor


def hiera_maps(model: Any, image: Tensor) -> tuple[Tensor, ...]:
    """What ``HieraBackbone`` of transformers is to give of images of any size.

    Its own forward (as of 5.24) gives the encoder tokens in the order of pixels, where
    the encoder expects those of a mask unit together, so that cells are mixed up; and it
    knows the one size of its config.

    Args:
        model: A ``HieraBackbone``.
        image: (B,3,H,W), multiples of :func:`hiera_divisor`.

    Returns:
        Maps (B,C,h,w) of its ``out_features``, normalised.
    """
    config = model.config
    tokens, _, _ = model.embeddings(image, interpolate_pos_encoding=True)
    cells = [s // p for s, p in zip(image.shape[-2:], config.patch_stride, strict=True)]
    strides = [tuple(config.query_stride)] * (len(config.depths) - 1)
    hidden = _unrolled(tokens, cells, strides)
    maps = {}
    if 'stem' in model.out_features:
        maps['stem'] = tokens.unflatten(1, cells)
    for i, stage in enumerate(model.encoder.stages):
        hidden = stage(hidden, False)[0]
        name = f'stage{i + 1}'
        if name in model.out_features:
            pooled = min(i, config.num_query_pool)
            size = [
                c // q**pooled for c, q in zip(cells, config.query_stride, strict=True)
            ]
            maps[name] = _rerolled(hidden, size, strides[pooled:])
    return tuple(
        model.hidden_states_norms[name](cells_last).permute(0, 3, 1, 2).contiguous()
        for name, cells_last in maps.items()
    )


def hiera_divisor(config: Any) -> int:
    """Pixels of a side of which images have to be a multiple."""
    sides = zip(config.patch_stride, config.masked_unit_size, strict=True)
    return max(patch * unit for patch, unit in sides)


def _unrolled(
    tokens: Tensor, cells: list[int], strides: list[tuple[int, ...]]
) -> Tensor:
    """Tokens (B,h·w,C) with those that are pooled together one block apart."""
    batch, _, channels = tokens.shape
    grid = tokens.reshape(batch, 1, *cells, channels)
    for rows, columns in strides:
        # the place in a block comes before the block, behind the places of former ones
        grid = grid.unflatten(3, (-1, columns)).unflatten(2, (-1, rows))
        grid = grid.permute(0, 1, 3, 5, 2, 4, 6).flatten(1, 3)
    return grid.flatten(1, 3)


def _rerolled(
    tokens: Tensor, cells: list[int], strides: list[tuple[int, ...]]
) -> Tensor:
    """The inverse of :func:`_unrolled`: (B,h·w,C) to (B,h,w,C)."""
    batch, _, channels = tokens.shape
    height, width = cells
    for rows, columns in strides:
        height, width = height // rows, width // columns
    places = [n for stride in strides for n in stride]
    grid = tokens.reshape(batch, *places, height, width, channels)
    count = len(strides)
    # blocks first, then the places in them from the coarsest to the finest
    by_row = [1 + 2 * i for i in range(count)][::-1]
    by_column = [2 + 2 * i for i in range(count)][::-1]
    grid = grid.permute(
        0, 1 + 2 * count, *by_row, 2 + 2 * count, *by_column, 3 + 2 * count
    )
    return grid.reshape(batch, *cells, channels)
