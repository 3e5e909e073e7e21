"""Holes in large photographs: outside the hole not a byte changes, what was hidden cannot matter, no seam shows."""

import cv2
import numpy as np
import pytest

from nbsupport.core.errors import UserError
from nbsupport.inpainters import base, neighbourhood, registry

SIZE = 32


def photograph(height, width, seed=0):
    coarse = np.random.default_rng(seed).uniform(40, 210, (4, 5, 3))
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


def hole_at(shape, top, left, height, width):
    mask = np.zeros(shape, bool)
    mask[top : top + height, left : left + width] = True
    return mask


def fill(image, mask, name="telea", seeds=(0,)):
    return neighbourhood.fill(registry.create(name), image, mask, "", list(seeds), SIZE)


HOLES = {
    "middle": ((300, 400), (120, 150, 80, 60)),
    "corner": ((300, 400), (0, 0, 40, 40)),
    "edge": ((300, 400), (260, 380, 40, 20)),
    "wider than high": ((90, 500), (20, 40, 30, 400)),
    "higher than wide": ((500, 90), (10, 5, 450, 60)),
    "one pixel": ((200, 200), (100, 100, 1, 1)),
    "smaller than the network": ((20, 24), (5, 5, 8, 8)),
}


@pytest.mark.parametrize("name", HOLES)
def test_outside_the_hole_nothing_changes(name):
    shape, place = HOLES[name]
    image, mask = photograph(*shape), hole_at(shape, *place)
    before = image.copy()
    regenerated, spliced, square = fill(image, mask, seeds=(0, 1))
    assert spliced.shape == regenerated.shape == (2, *shape, 3) and spliced.dtype == np.uint8
    assert np.array_equal(spliced[:, ~mask], np.stack([image[~mask]] * 2)) and np.array_equal(image, before)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    assert square.top <= rows[0] and rows[-1] < square.top + square.side
    assert square.left <= columns[0] and columns[-1] < square.left + square.side


@pytest.mark.parametrize("name", ["middle", "corner", "wider than high"])
def test_what_was_hidden_has_no_influence(name):
    shape, place = HOLES[name]
    first, mask = photograph(*shape), hole_at(shape, *place)
    second = first.copy()
    second[mask] = np.random.default_rng(3).integers(0, 256, (mask.sum(), 3))
    for mine, other in zip(fill(first, mask)[:2], fill(second, mask)[:2], strict=True):
        assert np.array_equal(mine[:, mask], other[:, mask])


def test_the_border_shows_no_seam():
    shape = (300, 400)
    image, mask = photograph(*shape), hole_at(shape, 100, 140, 90, 110)
    off = np.clip(image.astype(int) + 40, 0, 255).astype(np.uint8)  # paint that is too light everywhere
    blended = neighbourhood.blend(image[:300, :300], off[:300, :300], mask[:300, :300])
    row = slice(110, 180)

    def step(picture):  # across the hole's left border
        return np.abs(picture[row, 140].astype(int) - picture[row, 139]).mean()

    natural = step(image)
    assert step(np.where(mask[..., None], off, image)) > natural + 25
    assert step(blended) < natural + 6
    assert np.abs(blended[145, 195].astype(int) - off[145, 195]).max() <= 8, "the middle is the paint itself"


def test_at_the_networks_own_size_the_fill_is_the_plain_one():
    image, mask = photograph(SIZE, SIZE), hole_at((SIZE, SIZE), 8, 8, 10, 10)
    painter = registry.create("telea")
    regenerated, spliced, square = fill(image, mask)
    plain = painter.fill(image[None], mask[None], [""], seeds=[0])
    assert square is None and np.array_equal(regenerated, plain)
    assert np.array_equal(spliced, base.splice(image[None], plain, mask[None]))


def test_a_square_is_the_hole_with_as_much_around_it():
    mask = hole_at((400, 400), 180, 190, 60, 40)
    square = neighbourhood.find_square(mask, SIZE)
    assert square.side == 120 and square.top == 150 and square.left == 150
    assert neighbourhood.find_square(hole_at((400, 400), 10, 10, 4, 4), SIZE).side == SIZE
    with pytest.raises(UserError, match="no hole"):
        neighbourhood.find_square(np.zeros((40, 40), bool), SIZE)
    with pytest.raises(UserError, match="nothing visible"):
        fill(photograph(100, 100), ~hole_at((100, 100), 0, 0, 1, 1))


def test_beyond_the_edges_a_picture_is_mirrored():
    picture = np.arange(12).reshape(3, 4)
    cut = neighbourhood.cut(picture, neighbourhood.Square(-2, 0, 4))
    assert np.array_equal(cut, picture[[1, 0, 0, 1]][:, :4])
