"""An independent, slow SSP: one image at a time, loops over pixels, NumPy in float64."""

import numpy as np


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H,W) → (height,width), bilinear, corners aligned."""

    def position(i: int, new: int, old: int) -> tuple[int, int, float]:
        x = 0.0 if new == 1 else i * (old - 1) / (new - 1)
        low = min(int(np.floor(x)), old - 1)
        return low, min(low + 1, old - 1), x - low

    out = np.zeros((height, width))
    for i in range(height):
        top, bottom, dy = position(i, height, image.shape[0])
        for j in range(width):
            left, right, dx = position(j, width, image.shape[1])
            upper = image[top, left] * (1 - dx) + image[top, right] * dx
            lower = image[bottom, left] * (1 - dx) + image[bottom, right] * dx
            out[i, j] = upper * (1 - dy) + lower * dy
    return out


def pool(features: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(C,h,w) under a mask (H,W) → (C,)."""
    _, height, width = features.shape
    weight = resize(mask.astype(float), height, width)
    return (features * weight).sum((1, 2)) / (weight.sum() + 1e-5)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return a @ b / (max(np.linalg.norm(a), 1e-8) * max(np.linalg.norm(b), 1e-8))


def logits(features: np.ndarray, fg: np.ndarray, bg: np.ndarray) -> np.ndarray:
    """(C,h,w) against fg (C,) and bg (C,) or (C,h,w) → (2,h,w)."""
    channels, height, width = features.shape
    out = np.zeros((2, height, width))
    for y in range(height):
        for x in range(width):
            own_bg = bg if bg.ndim == 1 else bg[:, y, x]
            out[0, y, x] = 10 * cosine(features[:, y, x], own_bg)
            out[1, y, x] = 10 * cosine(features[:, y, x], fg)
    return out


def softmax(values: np.ndarray) -> np.ndarray:
    e = np.exp(values - values.max(0))
    return e / e.sum(0)


def chosen(probability: np.ndarray, threshold: float, top: int = 12) -> list[int]:
    flat = probability.ravel()
    above = [i for i, p in enumerate(flat) if p > threshold]
    return above or list(np.argsort(-flat, kind='stable')[:top])


def self_support(features: np.ndarray, guess: np.ndarray) -> tuple:
    """SSFP (C,), SSBP (C,), ASBP (C,h,w) from logits (2,h,w)."""
    channels, height, width = features.shape
    probability = softmax(guess)
    pixels = features.reshape(channels, -1).T
    fg = pixels[chosen(probability[1], 0.7)]
    bg = pixels[chosen(probability[0], 0.6)]
    adaptive = np.zeros_like(pixels)
    for i, pixel in enumerate(pixels):
        weight = softmax(np.array([2 * cosine(pixel, other) for other in bg]))
        adaptive[i] = weight @ bg
    return fg.mean(0), bg.mean(0), adaptive.T.reshape(channels, height, width)


def match(
    query: np.ndarray, supports: list[np.ndarray], masks: list[np.ndarray]
) -> dict[str, np.ndarray]:
    """Logits (2,h,w) of one episode: ``baseline``, ``stage1``, ``refined``."""
    p_f = np.mean([pool(s, m == 1) for s, m in zip(supports, masks, strict=True)], 0)
    p_b = np.mean([pool(s, m == 0) for s, m in zip(supports, masks, strict=True)], 0)
    m0 = logits(query, p_f, p_b)
    ssfp, ssbp, asbp = self_support(query, m0)
    p_f1 = 0.5 * p_f + 0.5 * ssfp
    p_b1 = 0.3 * ssbp[:, None, None] + 0.7 * asbp
    m1 = logits(query, p_f1, p_b1)
    ssfp, ssbp, asbp = self_support(query, m1)
    p_f2 = 0.5 * p_f + 0.2 * p_f1 + 0.3 * (0.5 * p_f + 0.5 * ssfp)
    p_b2 = (
        0.5 * p_b[:, None, None]
        + 0.2 * p_b1
        + 0.3 * (0.3 * ssbp[:, None, None] + 0.7 * asbp)
    )
    m2 = 0.7 * logits(query, p_f2, p_b2) + 0.3 * m1
    return dict(baseline=m0, stage1=m1, refined=m2)


def cross_entropy(guesses: list[np.ndarray], masks: list[np.ndarray]) -> float:
    """Mean over all pixels that are not 255 of all images; guesses at feature size."""
    terms = []
    for guess, mask in zip(guesses, masks, strict=True):
        upsampled = np.stack([resize(channel, *mask.shape) for channel in guess])
        probability = softmax(upsampled)
        for label in (0, 1):
            terms += list(-np.log(probability[label][mask == label]))
    return float(np.mean(terms)) if terms else 0.0


def losses(episodes: list[tuple], refine: bool) -> dict[str, float]:
    """Losses of a batch of (query, query_mask, supports, masks)."""
    matched = [match(query, supports, masks) for query, _, supports, masks in episodes]
    truths = [truth for _, truth, _, _ in episodes]
    last = 'refined' if refine else 'stage1'
    result = dict(loss_final=cross_entropy([m[last] for m in matched], truths))
    if refine:
        result['loss_stage1'] = cross_entropy([m['stage1'] for m in matched], truths)

    def match_self(features: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return logits(features, pool(features, mask == 1), pool(features, mask == 0))

    result['loss_query_self'] = cross_entropy(
        [match_self(query, truth) for query, truth, _, _ in episodes], truths
    )
    shots = [(s, m) for _, _, ss, ms in episodes for s, m in zip(ss, ms, strict=True)]
    result['loss_support_self'] = 0.2 * cross_entropy(
        [match_self(s, m) for s, m in shots], [m for _, m in shots]
    )
    return result
