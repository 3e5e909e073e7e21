"""The hole of the demo: strokes, rectangles, undo; each against what it must be, pixel by pixel."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nbsupport.core.errors import ConfigError, UnusableImage, UserError
from nbsupport.demo.mask_editor import STEPS, MaskEditor, mask_png


def disc(shape, x, y, diameter):
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    return np.hypot(columns - x, rows - y) <= diameter / 2


def test_a_dot_is_a_disc_and_a_line_joins_two():
    editor = MaskEditor(64, 48)
    assert editor.coverage == 0 and editor.stroke([(20, 30)], 15)
    expected = disc((64, 48), 20, 30, 15)
    assert (editor.mask & expected).sum() / (editor.mask | expected).sum() > 0.85
    editor.clear()
    editor.stroke([(10, 32), (38, 32)], 9)
    assert editor.mask[32, 10:38].all() and not editor.mask[:25].any() and not editor.mask[40:].any()
    assert editor.coverage == pytest.approx((28 * 9 + np.pi * 4.5**2) / (64 * 48), rel=0.15)


@pytest.mark.parametrize("diameter", [0.1, 1, 2.4])
def test_the_smallest_brush_paints_the_pixel_under_the_pointer(diameter):
    editor = MaskEditor(8, 8)
    editor.stroke([(3.9, 5.1)], diameter)
    assert editor.mask[5, 3] and editor.mask.sum() <= 9


def test_an_eraser_takes_away_only_what_it_touches():
    editor = MaskEditor(32, 32)
    editor.rectangle((0, 0), (32, 16))
    editor.stroke([(16, 8)], 6, erase=True)
    assert not editor.mask[8, 16] and editor.mask[0].all() and not editor.mask[16:].any()


def test_a_rectangle_covers_the_pixels_it_touches_whichever_corner_comes_first():
    first, second = MaskEditor(20, 30), MaskEditor(20, 30)
    first.rectangle((4.2, 3.9), (10.1, 8.0))
    second.rectangle((10.1, 8.0), (4.2, 3.9))
    expected = np.zeros((20, 30), bool)
    expected[3:8, 4:11] = True
    assert np.array_equal(first.mask, expected) and np.array_equal(second.mask, expected)
    first.rectangle((-50, -50), (500, 500))
    assert first.mask.all()


def test_strokes_outside_the_picture_are_no_step():
    editor = MaskEditor(16, 16)
    assert not editor.stroke([(-80, -80), (-90, -70)], 5) and not editor.can_undo
    assert not editor.stroke([], 5)
    with pytest.raises(ConfigError, match="finite"):
        editor.stroke([(np.nan, 3)], 5)


_ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("stroke"), st.floats(-5, 25), st.floats(-5, 25), st.floats(0.5, 12), st.booleans()),
        st.tuples(st.just("rectangle"), st.floats(-5, 25), st.floats(-5, 25), st.floats(-5, 25), st.floats(-5, 25)),
        st.tuples(st.sampled_from(["clear", "invert", "undo", "redo"])),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(_ACTIONS)
def test_undo_and_redo_walk_the_same_way_back_and_forth(actions):
    editor = MaskEditor(20, 20)
    past, future = [editor.mask.copy()], []
    for name, *numbers in actions:
        if name == "stroke":
            x, y, diameter, erase = numbers
            changed = editor.stroke([(x, y), (y, x)], diameter, erase)
        elif name == "rectangle":
            changed = editor.rectangle(tuple(numbers[:2]), tuple(numbers[2:]))
        else:
            changed = getattr(editor, name)()
        if name == "undo":
            assert changed == (len(past) > 1)
            if changed:
                future.append(past.pop())
        elif name == "redo":
            assert changed == bool(future)
            if changed:
                past.append(future.pop())
        elif changed:
            past.append(editor.mask.copy())
            future.clear()
        assert np.array_equal(editor.mask, past[-1])
        assert editor.can_undo == (len(past) > 1) and editor.can_redo == bool(future)


def test_only_so_many_steps_are_kept():
    editor = MaskEditor(4, 4)
    for _ in range(STEPS + 30):
        editor.invert()
    count = 0
    while editor.undo():
        count += 1
    assert count == STEPS


def test_a_mask_comes_back_from_its_file_as_it_was():
    editor, other = MaskEditor(17, 23), MaskEditor(17, 23)
    editor.stroke([(3, 4), (20, 12)], 5)
    data = editor.to_png()
    image = Image.open(io.BytesIO(data))
    assert image.mode == "L" and set(np.unique(np.array(image))) == {0, 255}
    assert np.array_equal(np.array(image) == 255, editor.mask), "255 = hole"
    assert other.load_png(data) and np.array_equal(other.mask, editor.mask)
    assert other.undo() and not other.mask.any()


def test_a_mask_of_another_size_is_brought_to_the_picture():
    half = np.zeros((80, 120), bool)
    half[:, :60] = True
    editor = MaskEditor(40, 60)
    editor.load_png(mask_png(half))
    assert editor.mask[:, :30].all() and not editor.mask[:, 30:].any()
    with pytest.raises(UnusableImage):
        editor.load_png(b"no picture")
    assert editor.mask[:, :30].all(), "what was there stays"


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((40, 60), np.uint8), "marks nothing"),
        (np.full((40, 60), 255, np.uint8), "marks everything"),
        (np.eye(50, dtype=np.uint8) * 255, "50 x 50 pixels and the picture 60 x 40"),
        (np.full((40, 60), 30, np.uint8), "one grey level"),
    ],
)
def test_a_bad_mask_never_erases_what_was_painted(mask, message):
    editor, buffer = MaskEditor(40, 60), io.BytesIO()
    editor.stroke([(10, 10), (30, 20)], 5)
    painted = editor.mask.copy()
    Image.fromarray(mask).save(buffer, "PNG")
    with pytest.raises(UnusableImage, match=message):
        editor.load_png(buffer.getvalue())
    assert painted.any() and np.array_equal(editor.mask, painted)


def test_a_mask_of_ones_is_a_hole():
    editor, buffer = MaskEditor(40, 60), io.BytesIO()
    truth = np.zeros((40, 60), np.uint8)
    truth[5:20, 5:30] = 1
    Image.fromarray(truth).save(buffer, "PNG")
    assert editor.load_png(buffer.getvalue()) and np.array_equal(editor.mask, truth == 1)


def test_nothing_and_everything_are_no_hole_to_fill():
    editor = MaskEditor(16, 16)
    with pytest.raises(UserError, match="no hole yet"):
        editor.usable()
    editor.invert()
    with pytest.raises(UserError, match="whole picture"):
        editor.usable()
    editor.stroke([(8, 8)], 4, erase=True)
    hole = editor.usable()
    hole[:] = False
    assert editor.mask.any(), "a copy"
    with pytest.raises(ConfigError, match="pixels"):
        editor.add(np.zeros((4, 4), bool))
