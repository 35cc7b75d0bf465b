"""Which channel of a mask with several is the mask: colour, or alpha."""

import numpy as np


def mask_channel(pixels: np.ndarray, name: str) -> np.ndarray:
    """The one channel that tells object from background.

    With equal colours that is any of them. Where the colour is the same all over, and
    alpha is not, alpha is the mask, as programs for cutting out store it.

    Args:
        pixels: (H,W,C) of grey (1), grey and alpha (2), colour (3) or colour and alpha
            (4); H, W ≥ 1.
        name: Of the mask, for messages.

    Returns:
        (H,W), a view.

    Raises:
        ValueError: The colours differ, or colour and alpha show different objects.
    """
    colours = pixels.shape[2] - (pixels.shape[2] in (2, 4))
    first = pixels[..., 0]
    even = bool((pixels[..., :colours] == pixels[:1, :1, :colours]).all())
    alpha = pixels[..., colours] if colours < pixels.shape[2] else None
    seen = alpha is not None and bool((alpha != alpha[0, 0]).any())
    if alpha is not None and seen and even:
        return alpha
    if any((pixels[..., i] != first).any() for i in range(1, colours)):
        hint = ' If the mask is its alpha, pass array[..., 3].' if seen else ''
        raise ValueError(
            f'{name}: a mask of colours (its channels differ); expected index masks, in '
            'which the value of a pixel is its class (palette or grey PNG). Convert '
            f'colours to class indices first, e.g. (array == colour).all(-1).{hint}'
        )
    if alpha is not None and seen and ((first > 0) & (alpha < 128)).any():
        raise ValueError(
            f'{name}: its colours and its alpha show different objects; expected one '
            'mask. Save it without alpha, or the alpha alone as a grey picture.'
        )
    return first
