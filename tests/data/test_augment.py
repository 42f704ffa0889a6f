"""Augmentation: each distortion against SciPy's of the same matrix, or its own statistics."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from scratchnet.data import AUGMENTATIONS, Augmentation, make_augmentation
from scratchnet.data import augment as module
from scratchnet.errors import DtypeError, ParameterError, ShapeError

SHAPE = (9, 7)
SOME = {"shift": 1, "rotate": 30, "scale": 0.2, "shear": 0.3, "elastic": [5, 2], "erase": 0.5}


def images(n=5, shape=SHAPE, dtype="float32", seed=0):
    return np.random.default_rng(seed).random((n, math.prod(shape))).astype(dtype)


def rng(seed=0):
    return np.random.default_rng(seed)


def fixed(matrix=None, offset=None):
    """An augmentation by one matrix, or one offset, for every image."""

    class Fixed(module.Distortion):
        def matrix(self, n, rng):
            return None if matrix is None else np.tile(matrix, (n, 1, 1))

        def offset(self, n, rng):
            return None if offset is None else np.tile(offset, (n, 1))

    return Augmentation(SHAPE, Fixed())


@pytest.mark.parametrize(
    "matrix",
    [
        [[1.0, 0.0], [0.0, 1.0]],
        [[math.cos(0.4), math.sin(0.4)], [-math.sin(0.4), math.cos(0.4)]],
        [[0.8, 0.0], [0.0, 1.3]],
        [[1.0, 0.0], [0.3, 1.0]],
        [[0.0, 1.0], [-1.0, 0.0]],
    ],
)
def test_a_matrix_gives_what_scipy_gives_about_the_centre(matrix):
    x = images(dtype="float64")
    centre = (np.array(SHAPE) - 1) / 2
    for found, image in zip(fixed(matrix)(x, rng()), x, strict=True):
        # SciPy is given a border of 0, so that both fade out between the edge and the outside
        padded = np.pad(image.reshape(SHAPE), 1)
        expected = ndimage.affine_transform(
            padded, matrix, centre + 1 - np.dot(matrix, centre + 1), order=1, mode="constant"
        )
        np.testing.assert_allclose(found.reshape(SHAPE), expected[1:-1, 1:-1], atol=2e-5)


@pytest.mark.parametrize("offset", [(0.25, -0.5), (1.75, 3.0), (-20.0, 0.0)])
def test_an_offset_gives_what_scipy_gives(offset):
    x = images(dtype="float64")
    for found, image in zip(fixed(offset=offset)(x, rng()), x, strict=True):
        wide = np.pad(image.reshape(SHAPE), 25)
        expected = ndimage.shift(wide, -np.array(offset), order=1)[25:-25, 25:-25]
        np.testing.assert_allclose(found.reshape(SHAPE), expected, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_shift_moves_whole_pixels_to_the_bit_and_fills_with_0(dtype):
    x = images(400, dtype=dtype)
    moved = make_augmentation(SHAPE, shift=2)(x, rng()).reshape(-1, *SHAPE)
    seen = set()
    for image, found in zip(x.reshape(-1, *SHAPE), moved, strict=True):
        padded = np.pad(image, 2)
        places = [
            (dy, dx)
            for dy in range(5)
            for dx in range(5)
            if (padded[dy : dy + 9, dx : dx + 7] == found).all()
        ]
        assert len(places) == 1
        seen |= set(places)
    assert len(seen) == 25  # all of them occur


def test_a_shift_farther_than_the_image_leaves_the_background_alone():
    found = fixed(offset=(10**6, -(10**6)))(images(), rng())
    np.testing.assert_array_equal(found, 0)


def test_a_shift_by_itself_is_what_interpolation_makes_of_it():
    x = images(200)
    alone = make_augmentation(SHAPE, shift=3)(x, rng())
    np.testing.assert_array_equal(alone, make_augmentation(SHAPE, shift=3, rotate=0)(x, rng()))


def test_the_images_of_a_batch_are_interpolated_alike_however_many_go_at_a_time(monkeypatch):
    x, found = images(50), []
    for pixels in (1, 200, 10**6):
        monkeypatch.setattr(module, "CHUNK", pixels)
        found.append(make_augmentation(SHAPE, **SOME)(x, rng()))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_rotations_stay_within_their_range_and_keep_lengths():
    matrices = AUGMENTATIONS["rotate"](30).matrix(1000, rng())
    angles = np.degrees(np.arctan2(matrices[:, 0, 1], matrices[:, 0, 0]))
    assert 29 < angles.max() <= 30
    assert -30 <= angles.min() < -29
    assert abs(angles.mean()) < 4 * (60 / math.sqrt(12)) / math.sqrt(1000)
    np.testing.assert_allclose(
        matrices @ matrices.transpose(0, 2, 1), [np.eye(2)] * 1000, atol=1e-12
    )


def test_scale_and_shear_draw_from_their_ranges():
    factors = 1 / np.diagonal(AUGMENTATIONS["scale"](0.2).matrix(1000, rng()), axis1=1, axis2=2)
    assert factors.min() >= 0.8
    assert factors.max() <= 1.2
    assert factors.std(axis=0) == pytest.approx(0.4 / math.sqrt(12), rel=0.1)
    assert abs(np.corrcoef(factors.T)[0, 1]) < 0.15  # each axis by itself
    shear = AUGMENTATIONS["shear"](0.3).matrix(1000, rng())
    assert np.abs(shear[:, 1, 0]).max() <= 0.3
    assert (shear[:, 0] == [1, 0]).all()


@pytest.mark.parametrize(("alpha", "sigma"), [(34, 4), (10, 2.5), (2, 0.3)])
def test_the_elastic_field_has_the_statistics_of_blurred_uniform_noise(alpha, sigma):
    field = AUGMENTATIONS["elastic"](alpha, sigma).field(500, (20, 16), rng())
    noise = rng(1).uniform(-1, 1, (1000, 20, 16))
    axes = (0, sigma, sigma)
    expected = alpha * ndimage.gaussian_filter(noise, axes, mode="constant", truncate=8)
    assert field.shape == (500, 2, 20, 16)
    found = field.reshape(1000, 20, 16)
    for part in ((10, 8), (0, 8), (0, 0)):
        assert found[:, *part].std() == pytest.approx(expected[:, *part].std(), rel=0.12)
    for a, b in (((10, 8), (10, 10)), ((5, 3), (9, 3)), ((10, 8), (0, 0))):
        correlation = np.corrcoef(found[:, *a], found[:, *b])[0, 1]
        assert correlation == pytest.approx(
            np.corrcoef(expected[:, *a], expected[:, *b])[0, 1], abs=0.15
        )
    assert abs(np.corrcoef(field[:, 0, 10, 8], field[:, 1, 10, 8])[0, 1]) < 0.2


def test_erasing_blanks_one_rectangle_in_its_share_of_the_images():
    augment = make_augmentation((28, 28), erase=0.3)
    x = np.ones((2000, 784), "float32")
    blank = augment(x, rng()).reshape(-1, 28, 28) == 0
    hit = blank.any(axis=(1, 2))
    assert hit.mean() == pytest.approx(0.3, abs=4 * math.sqrt(0.3 * 0.7 / 2000))
    for image in blank[hit]:
        rows, columns = image.any(axis=1), image.any(axis=0)
        assert image.sum() == rows.sum() * columns.sum()  # full, and
        assert rows.sum() == np.flatnonzero(rows)[-1] - np.flatnonzero(rows)[0] + 1  # in one piece
        assert columns.sum() == np.flatnonzero(columns)[-1] - np.flatnonzero(columns)[0] + 1
    share = blank[hit].mean(axis=(1, 2))
    assert 0.01 < share.min() < 0.03
    assert 0.17 < share.max() < 0.22
    assert share.mean() == pytest.approx(0.11, abs=0.01)


@pytest.mark.parametrize("name", SOME)
def test_an_amount_of_0_changes_nothing(name):
    zero = [0, 2] if name == "elastic" else 0
    np.testing.assert_allclose(make_augmentation(SHAPE, **{name: zero})(images(), rng()), images())


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_distortion_changes_images_keeps_their_dtype_and_leaves_the_argument(name, dtype):
    x = images(20, dtype=dtype)
    before = x.copy()
    found = make_augmentation(SHAPE, **{name: SOME[name]})(x, rng())
    np.testing.assert_array_equal(x, before)
    assert found.shape == x.shape
    assert found.dtype == dtype
    assert (found != x).any()
    assert found.min() >= 0
    assert found.max() <= 1


def test_the_same_generator_gives_the_same_bits_and_another_gives_others():
    augment = make_augmentation(SHAPE, **SOME)
    first, again, other = (augment(images(), rng(seed)).copy() for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("name", [*SOME, None])
def test_memory_is_kept_and_a_short_batch_after_a_long_one_is_its_first_rows(name):
    amounts = {} if name is None else {name: SOME[name]}
    augment, x = make_augmentation(SHAPE, **amounts), images(12)
    long = augment(x, rng())
    expected = make_augmentation(SHAPE, **amounts)(x[:5], rng(1))
    short = augment(x[:5], rng(1))
    assert np.shares_memory(long, short)
    assert not np.shares_memory(long, x)
    np.testing.assert_array_equal(short, expected)
    np.testing.assert_array_equal(long[:5], expected)
    assert augment(images(30), rng()).shape == (30, 63)
    assert augment(x.astype("float64"), rng()).dtype == "float64"
    assert augment(x[:0], rng()).shape == (0, 63)


def test_each_image_is_distorted_in_its_own_way():
    x = np.repeat(images(1), 4, axis=0)
    found = make_augmentation(SHAPE, rotate=30)(x, rng())
    assert len({row.tobytes() for row in found}) == 4


def test_what_is_configured_can_be_made_again():
    augment = make_augmentation(SHAPE, **SOME)
    again = make_augmentation(SHAPE, **augment.config())
    assert again.config() == SOME
    assert repr(again) == repr(augment)
    assert "Rotate(degrees=30)" in repr(augment)
    np.testing.assert_array_equal(augment(images(), rng()), again(images(), rng()))


def test_the_configuration_is_plain_json_whatever_kind_the_amounts_had():
    augment = make_augmentation(SHAPE, shift=np.int64(2), elastic=(np.float32(34), 4))
    assert json.loads(json.dumps(augment.config())) == {"shift": 2, "elastic": [34, 4]}


def test_a_distortion_of_ones_own_is_configured_by_its_class():
    assert fixed(offset=(1, 0)).config() == {"Fixed": []}


def test_the_same_distortion_twice_is_refused():
    with pytest.raises(ParameterError, match="may be given once, got Shift 2 times; keep one"):
        make_augmentation(SHAPE, shift=1, Shift=2)


@pytest.mark.parametrize(
    ("amounts", "words"),
    [
        ({"shift": 0.5}, "shift must be an integer >= 0 and <= 1000, got 0.5"),
        ({"shift": "two"}, "shift must be an integer >= 0 and <= 1000, got 'two'"),
        ({"rotate": 181}, "rotate must be a finite number >= 0 and <= 180, got 181"),
        ({"scale": 1.0}, "scale must be a finite number >= 0 and < 1, got 1.0"),
        ({"shear": -1}, "shear must be a finite number >= 0 and <= 1000, got -1"),
        (
            {"elastic": [34, 0]},
            "the sigma of elastic must be a finite number > 0 and <= 1000, got 0",
        ),
        ({"elastic": float("nan")}, "elastic must be a finite number >= 0 and <= 1000, got nan"),
        ({"elastic": [1, 2, 3]}, "elastic takes alpha, sigma; got [1, 2, 3]"),
        ({"shift": [1, 2]}, "shift takes pixels; got [1, 2]"),
        ({"erase": 1.1}, "erase must be a finite number >= 0 and <= 1, got 1.1"),
        ({"rotat": 1}, "unknown augmentation 'rotat'; did you mean 'rotate'?"),
    ],
)
def test_amounts_that_cannot_be_are_refused(amounts, words):
    with pytest.raises(ParameterError) as caught:
        make_augmentation(SHAPE, **amounts)
    assert words in str(caught.value)


@pytest.mark.parametrize("shape", [None, 28, "ab", (784,), (8, 8, 3, 1), (0, 5), (-4, 7), (4.5, 7)])
def test_what_is_no_image_is_refused(shape):
    with pytest.raises(ParameterError, match=r"needs images of shape \(height, width\)"):
        make_augmentation(shape, shift=1)


def test_images_of_another_size_are_refused():
    with pytest.raises(ShapeError, match=r"must have the shape \(N, 63\), got \(5, 64\)"):
        make_augmentation(SHAPE, shift=1)(np.zeros((5, 64)), rng())


def test_images_that_are_no_floats_are_refused():
    with pytest.raises(DtypeError, match="x must be float32 or float64, got uint8; convert"):
        make_augmentation(SHAPE, shift=1)(np.zeros((5, 63), "uint8"), rng())


def test_the_table_holds_every_distortion_and_cannot_be_changed():
    kinds = {
        kind for kind in module.Distortion.__subclasses__() if kind.__module__ == module.__name__
    }
    assert set(AUGMENTATIONS.values()) == kinds
    with pytest.raises(TypeError):
        AUGMENTATIONS["mine"] = None
    assert replace(AUGMENTATIONS["shift"](2), pixels=3).pixels == 3


@pytest.mark.parametrize(
    "amounts",
    [
        {"shift": 2},
        {"rotate": 20, "scale": 0.2, "elastic": [4, 3]},
        {"erase": 1.0},
        {"shift": 1, "shear": 0.2, "erase": 0.5},
    ],
    ids=str,
)
def test_the_channels_of_an_image_are_distorted_alike(amounts):
    x = np.random.default_rng(0).random((5, 8, 7, 3)).astype("float32")
    found = make_augmentation((8, 7, 3), **amounts)(
        x.reshape(5, -1), np.random.default_rng(1)
    ).reshape(x.shape)
    for channel in range(3):
        plane = np.ascontiguousarray(x[:, :, :, channel]).reshape(5, -1)
        alone = make_augmentation((8, 7), **amounts)(plane, np.random.default_rng(1))
        np.testing.assert_array_equal(found[:, :, :, channel], alone.reshape(5, 8, 7))


def test_images_of_another_number_of_channels_are_refused():
    with pytest.raises(ShapeError, match=r"\(N, 168\), got \(2, 56\)"):
        make_augmentation((8, 7, 3), shift=1)(np.ones((2, 56), "float32"), np.random.default_rng(0))
