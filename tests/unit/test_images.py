"""Every awkward picture file is read right or rejected with a reason; frame, mask and points stay together."""

import warnings

import numpy as np
import pytest
from cub_tree import picture
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from nbsupport.core import images
from nbsupport.core.errors import UnusableImage
from nbsupport.data import difficult, geometry

PICTURE = picture(3)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return difficult.write(tmp_path_factory.mktemp("difficult"), PICTURE)


def test_readable_files_show_the_picture(files):
    for name, path in files.items():
        if name in difficult.UNREADABLE:
            with pytest.raises(UnusableImage):
                images.read_image(path)
            continue
        read = images.read_image(path)
        assert read.shape == PICTURE.shape and read.dtype == np.uint8, name
        if name in ("alpha.png", "grey_alpha.png", "palette_transparent.png"):
            continue
        wanted = PICTURE if "grey" not in name else np.asarray(Image.fromarray(PICTURE).convert("L").convert("RGB"))
        limit = 20 if name.split(".")[0] in ("palette", "animated") else 6
        assert np.abs(read.astype(int) - wanted).mean() < limit, name


def test_transparency_is_laid_on_white(files):
    read = images.read_image(files["alpha.png"]).astype(float)
    weight = np.linspace(0, 255, PICTURE.shape[1]).astype(np.uint8)[None, :, None] / 255
    assert np.abs(read - (PICTURE * weight + 255 * (1 - weight))).max() <= 1.5
    assert images.read_image(files["grey_alpha.png"])[:, 0].min() >= 254
    assert (images.read_image(files["palette_transparent.png"]) == 255).all(axis=-1).any()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("truncated.jpg", "truncated"),
        ("empty.jpg", "the file is empty"),
        ("text.jpg", "not a picture"),
        ("gigantic.png", "gigantic"),
        ("tiny.png", "12 x 8 pixels"),
        ("float.tiff", "floating-point"),
        ("damaged.png", "corrupt"),
        ("absent.jpg", "the file is missing"),
    ],
)
def test_unusable_files_say_why(files, name, reason):
    with pytest.raises(UnusableImage, match=reason):
        images.read_image(files["plain.jpg"].with_name(name))


def test_pixels_are_counted_before_they_are_decoded(files, monkeypatch):
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(UnusableImage, match="80 x 60 pixels, more than the 1,000 allowed"):
        images.read_image(files["plain.jpg"], max_pixels=1000)


def test_no_warning_leaks_and_no_setting_changes(files):
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for path in files.values():
            try:
                images.read_image(path)
            except UnusableImage:
                pass
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_damage_is_read_or_refused(files, data):
    """Whatever bytes are overwritten, the reader answers with a picture or with UnusableImage, nothing else."""
    name = data.draw(st.sampled_from(["plain.jpg", "palette.png", "animated.gif", "turned.jpg", "cmyk.jpg"]))
    content = bytearray(files[name].read_bytes())
    start = data.draw(st.integers(0, len(content) - 1))
    content[start : start + 8] = data.draw(st.binary(min_size=8, max_size=8))
    try:
        assert images.decode(bytes(content[: data.draw(st.integers(1, len(content)))])).mode == "RGB"
    except UnusableImage as reason:
        assert str(reason)


def test_perceptual_hash_equals_imagehash():
    imagehash = pytest.importorskip("imagehash")
    for number in range(20):
        image = Image.fromarray(picture(number, 50 + number, 90))
        assert f"{images.perceptual_hash(image):016x}" == str(imagehash.phash(image))


def test_perceptual_hash_equals_its_definition():
    from scipy.fft import dctn

    image = Image.fromarray(picture(5))
    small = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.LANCZOS), dtype=float)
    low = dctn(small, type=2)[:8, :8]
    bits = "".join("1" if value else "0" for value in (low > np.median(low)).ravel())
    assert images.perceptual_hash(image) == int(bits, 2)


def test_perceptual_hash_survives_resizing_and_tells_pictures_apart(tmp_path):
    image = Image.fromarray(picture(1, 120, 160))
    image.resize((90, 70)).save(tmp_path / "small.jpg", quality=60)
    copy = Image.fromarray(images.read_image(tmp_path / "small.jpg"))
    own, near, far = (images.perceptual_hash(i) for i in (image, copy, Image.fromarray(picture(2))))
    assert (own ^ near).bit_count() <= 4 < 12 < (own ^ far).bit_count()


def test_plain_pictures_have_no_hash():
    assert images.perceptual_hash(Image.new("RGB", (64, 64), (40, 90, 200))) is None


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(16, 300),
    height=st.integers(16, 300),
    box=st.one_of(st.none(), st.tuples(*[st.floats(-50, 350)] * 2, *[st.floats(0.1, 400)] * 2)),
    fit=st.sampled_from(geometry.FITS),
)
def test_frames_lie_in_the_picture(width, height, box, fit):
    left, top, right, bottom = geometry.choose_frame(width, height, box, fit)
    assert 0 <= left < right <= width and 0 <= top < bottom <= height
    if fit == "crop":
        assert (right - left, bottom - top) == pytest.approx((min(width, height),) * 2)


@pytest.mark.parametrize("fit", geometry.FITS)
@pytest.mark.parametrize("size", [24, 64, 128])
def test_picture_mask_and_points_go_through_one_cut(fit, size):
    """A red disc in the picture, its mask and the point at its centre must still agree after the cut."""
    y, x = np.mgrid[:90, :140]
    disc = (x - 62) ** 2 + (y - 40) ** 2 < 15**2
    image = np.where(disc[..., None], (255, 0, 0), (0, 0, 255)).astype(np.uint8)
    frame = geometry.choose_frame(140, 90, (30.0, 12.0, 80.0, 50.0), fit)
    cut = geometry.cut_image(Image.fromarray(image), frame, size)
    mask = geometry.cut_mask(disc, frame, size)
    assert cut.shape == (size, size, 3) and mask.shape == (size, size) and mask.dtype == bool
    assert np.mean((cut[..., 0] > 127) == mask) > 0.98  # a shift by one pixel of 24 gives 0.95
    rows, columns = np.nonzero(mask)
    point = geometry.cut_points({"middle": (62.5, 40.5), "outside": (-3.0, 5.0)}, frame, size)
    assert list(point) == ["middle"]
    assert abs(point["middle"][0] - (columns.mean() + 0.5)) < 0.6
    assert abs(point["middle"][1] - (rows.mean() + 0.5)) < 0.6


def test_a_box_outside_the_picture_is_no_box():
    assert geometry.clip_box((200.0, 5.0, 30.0, 30.0), 100, 80) is None
    assert geometry.clip_box((-5.0, -5.0, 15.0, 25.0), 100, 80) == (0.0, 0.0, 10.0, 20.0)


@pytest.mark.parametrize("box", [(10.0, 20.0, 30.0, 40.0), (-5.0, 3.0, 30.0, 400.0), (95.0, 70.0, 30.0, 4.0)])
def test_a_box_is_cut_as_its_mask_is(box):
    mask = np.zeros((80, 100), dtype=bool)
    left, top, right, bottom = (int(edge) for edge in geometry.clip_box(box, 100, 80))
    mask[top:bottom, left:right] = True
    for frame in ((0.0, 0.0, 100.0, 80.0), (7.5, 0.0, 87.5, 80.0), (20.0, 30.0, 31.0, 52.0)):
        assert (geometry.cut_box(box, frame, 33) == geometry.cut_mask(mask, frame, 33)).all()


def test_mask_files_are_read_without_alpha(tmp_path):
    mask = (np.mgrid[:30, :40][1] > 20).astype(np.uint8) * 255
    Image.merge("LA", [Image.fromarray(mask), Image.new("L", (40, 30), 0)]).save(tmp_path / "m.png")
    assert (images.read_grey(tmp_path / "m.png") == mask).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), size=st.integers(4, 40), fit=st.sampled_from(geometry.FITS))
def test_masks_are_cut_by_exact_area(seed, size, fit):
    """Against a mask enlarged so far that every cut falls on whole pixels."""
    generator = np.random.default_rng(seed)
    mask = generator.random((18, 24)) > 0.5
    frame = geometry.choose_frame(24, 18, (3.0, 2.0, 12.0, 15.0), fit)
    large = np.kron(mask, np.ones((size, size)))  # a cut's edge k/size of the frame is now at a whole pixel
    left, top, right, bottom = (round(edge * size) for edge in frame)
    blocks = large[top:bottom, left:right].reshape(size, (bottom - top) // size, size, (right - left) // size)
    area = blocks.mean(axis=(1, 3))
    cut = geometry.cut_mask(mask, frame, size)
    clear = np.abs(area - 0.5) > 1e-3
    assert (cut == (area > 0.5))[clear].all()
