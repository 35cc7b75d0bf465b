"""GuidedFilterRefiner: probabilities get the edges of the image, and stay probabilities."""

import sys

import numpy as np
import pytest
from mmseg.registry import MODELS

SIZE = (120, 160)


@pytest.fixture
def refiner():
    pytest.importorskip('kornia')
    return MODELS.build(dict(type='GuidedFilterRefiner', radius=0.04))


def scene():
    """An image with a square, and a blurred guess of it."""
    import cv2

    truth = np.zeros(SIZE, bool)
    truth[40:90, 50:110] = True
    rng = np.random.default_rng(0)
    image = np.where(truth[..., None], (200, 60, 60), (60, 120, 180))
    image = (image + rng.normal(0, 4, image.shape)).clip(0, 255).astype(np.uint8)
    blurred = cv2.GaussianBlur(np.roll(truth, 3, 1).astype(np.float32), (0, 0), 5)
    return image, truth, blurred[None]


def wrong(probability: np.ndarray, truth: np.ndarray) -> int:
    return int(((probability > 0.5) != truth).sum())


def test_edges_of_the_image_are_followed(refiner):
    image, truth, guess = scene()
    refined = refiner.refine(image, guess)
    assert refined.shape == guess.shape
    assert refined.dtype == np.float32
    assert refined.min() >= 0 and refined.max() <= 1
    assert wrong(refined[0], truth) < 0.7 * wrong(guess[0], truth)


@pytest.mark.parametrize('value', [0, 0.3, 1])
def test_a_constant_stays_what_it_is(refiner, value):
    image, _, guess = scene()
    refined = refiner.refine(image, np.full_like(guess, value))
    assert np.allclose(refined, value, atol=1e-4)


def test_an_image_of_one_colour_smooths(refiner):
    _, _, guess = scene()
    refined = refiner.refine(np.full((*SIZE, 3), 90, np.uint8), guess)
    assert np.isfinite(refined).all()
    assert refined.max() < guess.max()


def test_each_class_is_by_itself(refiner):
    image, _, guess = scene()
    both = refiner.refine(image, np.concatenate([guess, 1 - guess]))
    assert np.array_equal(both[:1], refiner.refine(image, guess))
    assert np.allclose(both[1], 1 - both[0], atol=1e-4)
    assert refiner.refine(image, guess[:0]).shape == (0, *SIZE)


@pytest.mark.parametrize('size', [(1, 1), (1, 40), (2, 2), (3, 200)])
def test_stripes_and_dots_are_taken(refiner, size):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*size, 3), np.uint8)
    guess = rng.random((1, *size)).astype(np.float32)
    refined = refiner.refine(image, guess)
    assert refined.shape == guess.shape
    assert np.isfinite(refined).all()


@pytest.mark.parametrize(
    ('given', 'message'),
    [
        (dict(radius=0), 'radius=0: expected a number of 0.001 to 0.1'),
        (dict(radius='x'), "radius='x'"),
        (dict(eps=-1), 'eps=-1: expected a number'),
    ],
)
def test_arguments_out_of_range_are_named(given, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(dict(type='GuidedFilterRefiner', **given))


def test_without_its_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'kornia', None)
    monkeypatch.setitem(sys.modules, 'kornia.filters', None)
    with pytest.raises(ImportError, match=r'pip install "mmssp\[refine\]"'):
        MODELS.build(dict(type='GuidedFilterRefiner'))


def test_it_tells_its_settings(refiner):
    assert repr(refiner) == 'GuidedFilterRefiner(radius=0.04, eps=0.001)'
