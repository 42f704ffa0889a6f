"""`ConvClassifier`: rows that are images, in scikit-learn's manner."""

import pickle

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from scratchnet import ConvNet, load_network
from scratchnet.errors import DataError, DtypeError, ParameterError
from scratchnet.estimator import ConvClassifier
from scratchnet.estimator.stacked import usual_layers
from scratchnet.layers import Conv2D

X, Y = load_digits(return_X_y=True)
X = (X / 16).astype("float32")

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def fitted(**options):
    return ConvClassifier(**{"max_iter": 3, "random_state": 0, **options}).fit(X[:900], Y[:900])


def test_it_learns_digits():
    model = fitted(max_iter=40)
    assert model.score(X[900:], Y[900:]) > 0.93
    assert [w.ndim for w in model.coefs_] == [4, 4, 2, 2]
    assert [len(b) for b in model.intercepts_] == [16, 32, 100, 10]
    assert model.n_layers_ == 5


@pytest.mark.parametrize(
    ("columns", "shape"), [(64, (8, 8)), (1, (1, 1)), (9, (3, 3)), (10, (1, 10)), (63, (1, 63))]
)
def test_a_square_where_the_columns_are_one_else_a_line(columns, shape):
    model = fitted_to(np.resize(X, (60, columns)), image_shape=None)
    assert model._network.input_shape == shape


def fitted_to(x, **options):
    return ConvClassifier(max_iter=1, random_state=0, **options).fit(x, np.arange(len(x)) % 2)


def test_colours_and_rectangles_are_told_by_their_shape():
    model = fitted_to(X[:50, :60], image_shape=(4, 5, 3), conv=["6x3", "global"])
    assert model._network.input_shape == (4, 5, 3)
    assert model.coefs_[0].shape == (3, 3, 3, 6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 2), (3, 7), (8, 8), (28, 28), (32, 32, 3)])
def test_the_usual_layers_fit_every_image(shape):
    words = usual_layers(shape)
    ConvNet(shape, words, [], 2)
    assert [word for word in words if "p" not in word or word.endswith("p")] == ["16x3p", "32x3p"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_shape": (5, 5)}, "image_shape must have as many values .* 64, got"),
        ({"image_shape": (64,)}, "image_shape must be .height, width."),
        ({"image_shape": "8x8"}, "'image_shape' parameter"),
        ({"conv": ["8x9"]}, r"conv must fit images of the shape \(8, 8\): Conv2D\(8, 9\)"),
        ({"conv": ["8q9"]}, "must be a word, for example 16x3"),
        ({"conv": 16}, "'conv' parameter"),
        ({"augment": {"shft": 1}}, "did you mean 'shift'"),
        ({"augment": ["shift"]}, "'augment' parameter"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_cure(options, message):
    with pytest.raises((ValueError, ParameterError), match=message):
        fitted(**options)


def test_a_sparse_x_is_refused():
    with pytest.raises((DtypeError, TypeError), match="sparse"):
        fitted().predict(csr_matrix(X))
    with pytest.raises((DtypeError, TypeError), match="sparse"):
        ConvClassifier(max_iter=1).fit(csr_matrix(X), Y)


def test_images_are_distorted_in_training_alone():
    plain, distorted = fitted(), fitted(augment={"shift": 1, "rotate": 10})
    assert plain.loss_ < distorted.loss_
    np.testing.assert_array_equal(distorted.predict_proba(X), distorted.predict_proba(X))


def test_the_same_seed_gives_the_same_bits_and_other_seeds_others():
    one, same, other = fitted(), fitted(), fitted(random_state=1)
    np.testing.assert_array_equal(one._network.vector, same._network.vector)
    assert not np.array_equal(one._network.vector, other._network.vector)


def test_threads_share_large_batches_alone(monkeypatch):
    monkeypatch.setattr("scratchnet.training.threads.processors", lambda: 2)
    small = fitted(n_threads=2)
    assert small._threads_of_parts(10) == 1
    large = ConvClassifier(image_shape=(28, 28), max_iter=1, n_threads=2)
    large.fit(np.resize(X, (50, 784)), np.arange(50) % 2)
    assert large._threads_of_parts(200) == 2
    assert fitted(n_threads=None)._threads_of_parts(200) is None


def test_it_is_cloned_pickled_saved_and_searched_as_every_estimator(tmp_path):
    model = fitted(batch_norm=True, conv=["6x3", "pool2"], hidden_layer_sizes=(8,))
    assert clone(model).get_params() == model.get_params()
    for other in (
        pickle.loads(pickle.dumps(model)),
        (model.save(tmp_path / "m.npz"), ConvClassifier.load(tmp_path / "m.npz"))[1],
    ):
        np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))
    network = load_network(tmp_path / "m.npz")
    assert any(isinstance(layer, Conv2D) for layer in network.layers)
    pipeline = make_pipeline(MinMaxScaler(), ConvClassifier(max_iter=20, random_state=0))
    assert cross_val_score(pipeline, X, Y, cv=2).mean() > 0.7
    with pytest.raises(ParameterError, match=r"no Conv2D\(6, 3\) in this place"):
        model.to_sklearn()


def test_training_goes_on_with_a_warm_start_to_the_bit():
    whole = fitted(max_iter=4)
    half = fitted(max_iter=2, warm_start=True).fit(X[:900], Y[:900])
    np.testing.assert_array_equal(half._network.vector, whole._network.vector)


def test_a_file_of_another_class_is_refused(tmp_path):
    from scratchnet.estimator import MLPClassifier

    fitted().save(tmp_path / "m.npz")
    with pytest.raises(DataError, match="must be a file of MLPClassifier"):
        MLPClassifier.load(tmp_path / "m.npz")


def test_own_layers_of_images_and_layers_without_a_size():
    from scratchnet import Affine, MaxPool, ReLU
    from scratchnet.estimator import NetworkClassifier

    layers = [Conv2D(4, 3, image=(8, 8)), MaxPool(2), ReLU(), Affine(10)]
    model = NetworkClassifier(layers, max_iter=2, random_state=0).fit(X[:300], Y[:300])
    assert model.predict(X).shape == (len(X),)
    dense = NetworkClassifier([Affine(20), ReLU(), Affine(10)], max_iter=2, random_state=0)
    assert dense.fit(X[:300], Y[:300]).coefs_[0].shape == (64, 20)
    with pytest.raises(ValueError, match=r"Conv2D\(4, 3\) needs images"):
        NetworkClassifier([Conv2D(4, 3), Affine(10)], max_iter=2).fit(X[:300], Y[:300])
