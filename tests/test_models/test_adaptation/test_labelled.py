"""Images of several classes, each once, and the parts that are set aside in turn."""

import torch

from mmssp.models import Shot
from mmssp.models.adaptation.labelled import joined, parts


def shot(seed: int, *pixels: tuple[int, int], ignored=()) -> Shot:
    mask = torch.zeros(4, 4, dtype=torch.uint8)
    for pixel in pixels:
        mask[pixel] = 1
    for pixel in ignored:
        mask[pixel] = 255
    generator = torch.Generator().manual_seed(seed)
    return Shot(torch.rand(3, 4, 4, generator=generator), mask)


def test_an_image_of_two_classes_is_one():
    (own,) = joined(dict(a=[shot(0, (0, 0))], b=[shot(0, (1, 1), ignored=[(2, 2)])]))
    assert own.masks[0, 0, 0] == 1
    assert own.masks[0, 1, 1] == 0
    assert own.masks[1, 1, 1] == 1
    assert own.masks[1, 2, 2] == 255
    assert [places.tolist() for places in own.places] == [[[0, 0]], [[1, 1]]]


def test_of_classes_that_an_image_was_not_labelled_for_only_its_object_is_known():
    first, second = joined(dict(a=[shot(0, (0, 0))], b=[shot(1, (1, 2))]))
    assert first.masks[1, 0, 0] == 0
    assert (first.masks[1] == 255).sum() == 15
    assert second.masks[0, 1, 2] == 0
    assert first.shows(0) and not first.shows(1)
    assert first.knows(1)
    # x before y
    assert second.places[0].tolist() == [[2, 1]]


def test_the_same_image_twice_for_one_class_stays_twice():
    assert len(joined(dict(a=[shot(0, (0, 0)), shot(0, (0, 0))]))) == 2


def test_an_image_without_the_class_is_known_to_lack_it():
    _, without = joined(dict(a=[shot(0, (0, 0)), shot(1)]))
    assert without.knows(0) and not without.shows(0)
    assert without.places == ()


def test_parts_hold_every_image_once_and_leave_each_class_something():
    images = joined(
        dict(
            a=[shot(i, (0, 0)) for i in range(5)],
            b=[shot(10 + i, (1, 1)) for i in range(2)],
        )
    )
    found = parts(images, 3)
    assert sorted(i for part in found for i in part) == list(range(7))
    for part in found:
        rest = [own for i, own in enumerate(images) if i not in part]
        assert any(own.shows(0) for own in rest)
        assert any(own.shows(1) for own in rest)


def test_a_single_image_of_each_class_cannot_be_set_aside():
    assert parts(joined(dict(a=[shot(0, (0, 0))], b=[shot(1, (0, 0))])), 3) == []


def test_two_images_are_set_aside_in_turn():
    assert parts(joined(dict(a=[shot(i, (0, 0)) for i in range(2)])), 3) == [[0], [1]]
