"""Drawings of characters are brought to the size and the place that a data set has."""

import numpy as np
import pytest

from scratchnet import Samples, load
from scratchnet.data.drawings import (
    STYLES,
    box_of,
    centre_of_mass,
    draw_like,
    find_ink,
    find_style,
    resampling,
    resize,
    upright,
)
from scratchnet.data.preparation import Preparation, square
from scratchnet.errors import ParameterError

RNG = np.random.default_rng(0)


def glyph(height=90, width=60, slant=0.0):
    """A thick L, light on dark, from 0 to 1."""
    ink = np.zeros((height, width))
    ink[10:-10, 10:22] = 1
    ink[-22:-10, 10:-10] = 1
    rows = (np.round(slant * (row - height / 2)).astype(int) for row in range(height))
    return np.array([np.roll(line, move) for line, move in zip(ink, rows, strict=True)])


def on_canvas(ink, top, left, size=200, paper=255, dark=True, scale=200.0):
    canvas = np.full((size, size), float(paper))
    canvas[top : top + ink.shape[0], left : left + ink.shape[1]] += (
        (-1 if dark else 1) * scale * ink
    )
    return canvas


@pytest.mark.parametrize(("paper", "dark"), [(255, True), (0, False), (230, True), (20, False)])
def test_ink_is_what_differs_from_the_border(paper, dark):
    ink, found = find_ink(on_canvas(glyph(), 20, 50, paper=paper, dark=dark))
    assert found == dark
    assert ink.min() == 0
    assert ink.max() == 1
    np.testing.assert_allclose(ink[20:110, 50:110], glyph(), atol=1e-12)


def test_a_picture_that_shows_nothing_has_no_ink():
    ink, _ = find_ink(np.full((30, 20), 200))
    assert not ink.any()
    assert box_of(ink) is None
    for style in STYLES.values():
        assert not draw_like(ink, style).any()


@pytest.mark.parametrize("name", STYLES)
def test_a_drawing_gives_the_same_image_wherever_it_is_and_however_dark(name):
    style = STYLES[name]
    images = [
        draw_like(find_ink(on_canvas(glyph(), top, left, paper=paper, dark=dark))[0], style)
        for top, left, paper, dark in ((5, 5, 255, True), (100, 130, 255, True), (40, 60, 0, False))
    ]
    for image in images:
        assert image.shape == style.shape
        np.testing.assert_allclose(image, images[0], atol=1e-9)
        assert image.min() >= 0
        assert image.max() == 1


@pytest.mark.parametrize("times", [2, 3])
def test_a_larger_drawing_gives_nearly_the_same_image(times):
    ink = glyph()
    larger = np.kron(ink, np.ones((times, times)))
    style = STYLES["mnist"]
    difference = draw_like(larger, style) - draw_like(ink, style)
    assert np.abs(difference).mean() < 0.02


def test_an_image_of_mnist_fits_its_box_and_has_its_centre_of_mass_in_the_middle():
    image = draw_like(glyph(), STYLES["mnist"])
    top, bottom, left, right = box_of(image)
    assert max(bottom - top, right - left) in (20, 21)
    np.testing.assert_allclose(centre_of_mass(image), 14.5, atol=0.05)


def test_slant_is_taken_out():
    slanted, straight = glyph(slant=0.3), glyph()
    apart = np.abs(draw_like(slanted, STYLES["digits"]) - draw_like(straight, STYLES["digits"]))
    assert apart.mean() < 0.05
    rows, columns = np.nonzero(upright(slanted) > 0.5)
    assert abs(np.cov(rows, columns)[0, 1] / rows.var()) < 0.02


def test_an_image_of_the_right_size_stays_as_it_is_when_resized():
    picture = RNG.integers(0, 256, (12, 9, 3))
    np.testing.assert_allclose(resize(picture, (12, 9)), picture, atol=1e-9)
    flat = np.full((50, 70), 77)
    np.testing.assert_allclose(resize(flat, (8, 8)), 77, atol=1e-9)


@pytest.mark.parametrize(("n_out", "n_in"), [(8, 8), (8, 29), (28, 20), (1, 5), (5, 1)])
def test_the_weights_of_a_stretch_have_the_sum_1(n_out, n_in):
    weights = resampling(n_out, n_in, n_out / n_in, n_in / 2, n_out / 2, ends=True)
    np.testing.assert_allclose(weights.sum(axis=1), 1)


def test_digits_have_their_style_and_other_images_have_none():
    digits = load("digits")
    assert Preparation.of(digits) == Preparation(1 / 16, 16.0, (8, 8), "digits")
    assert Preparation.of(digits.train) == Preparation(1 / 16, 16.0, (8, 8), "digits")
    dark = 16 - digits.train.x
    assert find_style(dark, (8, 8)) is None
    assert find_style(RNG.random((200, 64)), (8, 8)) is None
    assert find_style(np.zeros((50, 784)), (28, 28)) is None
    assert find_style(RNG.random((50, 100)), (10, 10)) is None


def test_images_made_as_those_of_mnist_are_known_as_such():
    made = [
        draw_like(np.roll(glyph(90, width), 3, axis=0), STYLES["mnist"]).ravel()
        for width in range(40, 90)
    ]
    images = np.round(255 * np.array(made)).astype(np.uint8)
    found = Preparation.of(Samples(images, np.arange(50) % 2, scale=1 / 255))
    assert found.style == "mnist"
    assert found.image_shape == (28, 28)
    assert found.white == pytest.approx(255)


def test_a_table_with_as_many_columns_as_a_square_is_no_image():
    found = Preparation.of(Samples(RNG.normal(size=(40, 64)), np.arange(40) % 3))
    assert found.image_shape is None
    assert found.style is None


@pytest.mark.parametrize(
    ("values", "scale", "white"),
    [(RNG.random((9, 64)), 1.0, 1.0), (255 * RNG.random((9, 64)), 1.0, 255.0)],
)
def test_the_value_of_a_full_pixel_is_the_end_of_the_range(values, scale, white):
    values[0, 0] = white
    samples = Samples(values, np.arange(9) % 2, scale)
    assert Preparation.of(samples, (8, 8)).white == white
    assert Preparation.of(samples).white == 1  # of a table


def test_numbers_of_any_size_can_be_trained_with():
    for values, scale in ((np.full((9, 64), 1e30), 1.0), (np.ones((9, 4)), 1e-40)):
        found = Preparation.of(Samples(values, np.arange(9) % 2, scale))
        assert (found.scale, found.white) == (1, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"scale": 0},
        {"scale": "1"},
        {"white": -1.0},
        {"image_shape": (8,)},
        {"image_shape": (8, 0)},
        {"style": "cubist"},
        {"style": "mnist", "image_shape": (8, 8)},
        {"class_names": [1, 2]},
    ],
)
def test_a_preparation_that_cannot_be_is_refused(wrong):
    with pytest.raises(ParameterError):
        Preparation(**wrong)


def test_rows_are_scaled_and_plain_data_makes_the_same_again():
    one = Preparation(0.5, 2.0, (2, 2), None, ("a", "b"))
    assert Preparation.from_config(one.config()) == one
    np.testing.assert_array_equal(one.rows(np.ones((3, 2, 2))), np.full((3, 4), 0.5))
    assert one.name_of(1) == "b"
    assert Preparation().name_of(7) == "7"
    assert square(63) is None
    assert square(49) is None
