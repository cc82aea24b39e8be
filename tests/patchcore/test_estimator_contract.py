"""scikit-learn's contract for estimators, held with images where scikit-learn has tables.

Its own checks call `fit` with numbers in a table, (n, features), which are no images. So each of
them is in one of three lists: run as it is (no data in it, or data that must be refused), run on
images (the same promise, written for uint8 (n, h, w, 3)), or left out, with the reason. A check
that a later scikit-learn adds and that is in no list fails `test_every_check_is_accounted_for`.
"""

import pickle
import warnings

import joblib
import numpy as np
import pytest
import scipy.sparse
import sklearn
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from sklearn.utils.validation import check_is_fitted

from minicore import Ensemble, PatchCore
from minicore.backbones import Backbone
from minicore.errors import BackboneError, ImageError

LEFT_OUT = {
    "check_array_api_input": "images are files or NumPy arrays",
    "check_fit2d_1feature": "an image has no number of features",
    "check_n_features_in": "images may have any size: they are resized and cropped",
    "check_n_features_in_after_fitting": "images may have any size: they are resized and cropped",
    "check_positive_only_tag_during_fit": "8-bit pixels are never negative",
}

AS_IT_IS = (
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_estimator_cloneable",
    "check_estimator_get_tags_default_keys",  # until scikit-learn 1.5
    "check_estimator_repr",
    "check_estimator_sparse_tag",
    "check_estimator_tags_renamed",
    "check_estimators_unfitted",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_non_transformer_estimators_n_iter",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_valid_tag_types",
)

METHODS = (
    "anomaly_score",
    "anomaly_map",
    "score_samples",
    "decision_function",
    "predict",
)
SAYS_WHAT_IT_CHECKS = hasattr(estimator_checks, "estimator_checks_generator")  # from 1.6 on
REMEMBERED = {"_last", "seconds_"}  # the latest answer, and how long everything took


@pytest.fixture(scope="module")
def other(write_tiny, tmp_path_factory):
    """Write a second network, of other weights."""
    return write_tiny(tmp_path_factory.mktemp("other") / "other.onnx", seed=1)


@pytest.fixture(scope="module", params=["PatchCore", "Ensemble"])
def unfitted(request, tiny, other):
    options = {"coreset_ratio": 0.2, "progress": False, "false_positive_rate": 0.4}
    if request.param == "PatchCore":
        return PatchCore(tiny, **options)
    return Ensemble([PatchCore(n, **options) for n in (tiny, other)], progress=False)


@pytest.fixture(scope="module")
def fitted(unfitted, gear):
    return clone(unfitted).fit(gear.train)


def answers(model, images):
    return {method: getattr(model, method)(images) for method in METHODS}


def same(one, other):
    return all(np.array_equal(one[method], other[method]) for method in METHODS)


def content(value):
    """What a value is made of, as a copy that can be compared; without what is remembered."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, dict):
        return {name: content(its) for name, its in value.items() if name not in REMEMBERED}
    if isinstance(value, (list, tuple)):
        return [content(item) for item in value]
    if type(value).__module__.startswith("minicore."):
        state = value.__getstate__() if isinstance(value, Backbone) else vars(value)
        return type(value), content(dict(state))
    return value


# ---------------------------------------------------------------- the three lists


def all_checks(estimator):
    """Names of what scikit-learn checks of an estimator; none where it does not say."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its deprecations are not ours
        if SAYS_WHAT_IT_CHECKS:
            found = [
                check
                for _, check in estimator_checks.estimator_checks_generator(estimator, mark=None)
            ]
        else:
            found = list(estimator_checks._yield_all_checks(estimator))
    return {getattr(check, "func", check).__name__ for check in found}


class Detector(OutlierMixin, BaseEstimator):
    """An outlier detector of no special kind, of which scikit-learn asks everything."""

    def fit(self, X, y=None):
        return self

    def decision_function(self, X): ...

    def score_samples(self, X): ...


def test_every_check_is_accounted_for(unfitted):
    asked = all_checks(Detector()) | all_checks(unfitted)
    assert len(asked) > 25
    missing = asked - set(LEFT_OUT) - set(AS_IT_IS) - set(ON_IMAGES)
    assert not missing, f"scikit-learn {sklearn.__version__} checks more: {sorted(missing)}"


def test_no_check_is_in_two_lists():
    names = [*LEFT_OUT, *AS_IT_IS, *ON_IMAGES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", AS_IT_IS)
def test_scikit_learns_own_check_holds(unfitted, name):
    check = getattr(estimator_checks, name, None)
    if check is None:
        pytest.skip(f"scikit-learn {sklearn.__version__} has no {name}")
    makes_its_own = name == "check_parameters_default_constructible" and not SAYS_WHAT_IT_CHECKS
    if makes_its_own and isinstance(unfitted, Ensemble):
        pytest.skip("before 1.6 it makes an Ensemble without models, of which there is none")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        check(type(unfitted).__name__, unfitted)


# --------------------------------------------------------- the same promises, on images


def fit_changes_no_parameter(unfitted, fitted, gear, tmp_path):
    model = clone(unfitted)
    before = content(model.get_params())
    model.fit(gear.train)
    assert content(model.get_params()) == before


def fit_adds_only_names_that_end_or_begin_with_an_underscore(unfitted, fitted, gear, tmp_path):
    added = set(vars(fitted)) - set(vars(unfitted))
    assert added and all(name.endswith("_") or name.startswith("_") for name in added)


def fit_returns_self(unfitted, fitted, gear, tmp_path):
    model = clone(unfitted)
    assert model.fit(gear.train) is model


def fit_takes_y_second_and_does_not_use_it(unfitted, fitted, gear, tmp_path):
    labels = np.ones(len(gear.train), int)
    assert same(
        answers(clone(unfitted).fit(gear.train, labels), gear.test), answers(fitted, gear.test)
    )


def a_second_fit_gives_the_same_model(unfitted, fitted, gear, tmp_path):
    model = clone(unfitted).fit(gear.train[::-1]).fit(gear.train)
    assert same(answers(model, gear.test), answers(fitted, gear.test))
    assert content(model) == content(fitted)


def check_is_fitted_knows(unfitted, fitted, gear, tmp_path):
    with pytest.raises(NotFittedError):
        check_is_fitted(unfitted)
    check_is_fitted(fitted)
    for method in METHODS:
        with pytest.raises(NotFittedError):
            getattr(unfitted, method)(gear.test)
    with pytest.raises(NotFittedError):
        unfitted.save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def answering_changes_nothing_else(unfitted, fitted, gear, tmp_path):
    before = content(fitted)
    for method in METHODS:
        getattr(fitted, method)(gear.test)
        assert content(fitted) == before, method


def the_order_of_images_changes_no_answer(unfitted, fitted, gear, tmp_path):
    order = np.random.default_rng(0).permutation(len(gear.test))
    straight, mixed = answers(fitted, gear.test), answers(fitted, gear.test[order])
    assert same({k: v[order] for k, v in straight.items()}, mixed)


def an_image_is_answered_the_same_alone(unfitted, fitted, gear, tmp_path):
    together = answers(fitted, gear.test)
    for i in range(len(gear.test)):
        assert same(
            {k: v[i : i + 1] for k, v in together.items()}, answers(fitted, gear.test[i : i + 1])
        )


def scores_decisions_and_labels_agree(unfitted, fitted, gear, tmp_path):
    found = answers(fitted, gear.test)
    for name in ("score_samples", "decision_function"):
        assert found[name].dtype == np.float64 and found[name].shape == (len(gear.test),)
    assert found["predict"].dtype.kind == "i" and set(found["predict"]) == {-1, 1}
    assert np.array_equal(found["predict"], np.where(found["decision_function"] >= 0, 1, -1))
    translation = found["decision_function"] - found["score_samples"]
    np.testing.assert_allclose(translation, fitted.threshold_, rtol=1e-12)


def fit_predict_is_fit_then_predict(unfitted, fitted, gear, tmp_path):
    labels = clone(unfitted).fit_predict(gear.train)
    assert np.array_equal(labels, fitted.predict(gear.train))


def a_pipeline_answers_as_the_model_alone(unfitted, fitted, gear, tmp_path):
    pipeline = make_pipeline(clone(unfitted)).fit(gear.train)
    for method in ("score_samples", "decision_function", "predict"):
        assert np.array_equal(
            getattr(pipeline, method)(gear.test), getattr(fitted, method)(gear.test)
        )


def a_read_only_mapping_of_a_file_will_do(unfitted, fitted, gear, tmp_path):
    mapped = {}
    for name in ("train", "test"):
        np.save(tmp_path / f"{name}.npy", getattr(gear, name))
        mapped[name] = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
    model = clone(unfitted).fit(mapped["train"])
    assert same(answers(model, mapped["test"]), answers(fitted, gear.test))


def any_order_in_memory_will_do(unfitted, fitted, gear, tmp_path):
    model = clone(unfitted).fit(np.asfortranarray(gear.train))
    assert same(answers(model, np.asfortranarray(gear.test)), answers(fitted, gear.test))


def a_list_of_images_will_do(unfitted, fitted, gear, tmp_path):
    model = clone(unfitted).fit(list(gear.train))
    assert same(answers(model, list(gear.test)), answers(fitted, gear.test))


def a_pickle_comes_back_with_the_same_answers(unfitted, fitted, gear, tmp_path):
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        copy = pickle.loads(pickle.dumps(fitted, protocol))
        assert same(answers(copy, gear.test), answers(fitted, gear.test))
        assert content(copy) == content(fitted)
    joblib.dump(fitted, tmp_path / "model.joblib")
    mapped = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    assert same(answers(mapped, gear.test), answers(fitted, gear.test))


def refuses(unfitted, fitted, kinds, message):
    """Fit and answer refuse each of `kinds` by an ImageError that says what was found."""
    for kind in kinds:
        for look in (clone(unfitted).fit, *(getattr(fitted, method) for method in METHODS)):
            with pytest.raises(ImageError, match=message):
                look(kind)


def other_dtypes_are_refused(unfitted, fitted, gear, tmp_path):
    for dtype in (np.float32, np.float64, np.int32, np.int64):
        kinds = [gear.train.astype(dtype), list(gear.train.astype(dtype))]
        refuses(unfitted, fitted, kinds, f"found {np.dtype(dtype).name}")


def complex_numbers_are_refused(unfitted, fitted, gear, tmp_path):
    refuses(unfitted, fitted, [gear.train * 1j], "found complex128")


def objects_are_refused(unfitted, fitted, gear, tmp_path):
    refuses(unfitted, fitted, [gear.train.astype(object)], "found object")


def nan_and_infinity_are_refused(unfitted, fitted, gear, tmp_path):
    for value in (np.nan, np.inf, -np.inf):
        bad = gear.train.astype(float)
        bad[0, 0, 0, 0] = value
        refuses(unfitted, fitted, [bad], "found float64")


def sparse_tables_are_refused(unfitted, fitted, gear, tmp_path):
    table = gear.train[:, :, :, 0].reshape(len(gear.train), -1)
    for make in (scipy.sparse.csr_array, scipy.sparse.coo_matrix):
        refuses(unfitted, fitted, [make(table)], "sparse")


def rows_of_numbers_are_refused(unfitted, fitted, gear, tmp_path):
    refuses(unfitted, fitted, [gear.train[0, 0, :, 0], [[1.0, 2.0], [3.0, 4.0]]], "found")


def no_images_are_refused(unfitted, fitted, gear, tmp_path):
    for empty in ([], gear.train[:0]):
        for look in (clone(unfitted).fit, *(getattr(fitted, method) for method in METHODS)):
            with pytest.raises(ValueError, match=r"at least (one|two) image"):
                look(empty)


def one_image_is_enough_or_refused(unfitted, fitted, gear, tmp_path):
    model = clone(unfitted)
    if isinstance(model, Ensemble):
        with pytest.raises(ValueError, match="at least two images"):
            model.fit(gear.train[:1])
        return
    model.fit(gear.train[:1])
    assert np.isfinite(model.anomaly_score(gear.test)).all()
    with pytest.raises(ValueError, match=r"no threshold: fit it .* on two images"):
        model.predict(gear.test)


ON_IMAGES = {
    "check_classifier_data_not_an_array": a_list_of_images_will_do,
    "check_complex_data": complex_numbers_are_refused,
    "check_dict_unchanged": answering_changes_nothing_else,
    "check_dont_overwrite_parameters": fit_adds_only_names_that_end_or_begin_with_an_underscore,
    "check_dtype_object": objects_are_refused,
    "check_estimator_sparse_array": sparse_tables_are_refused,
    "check_estimator_sparse_data": sparse_tables_are_refused,  # until scikit-learn 1.4
    "check_estimator_sparse_matrix": sparse_tables_are_refused,
    "check_estimators_dtypes": other_dtypes_are_refused,
    "check_estimators_empty_data_messages": no_images_are_refused,
    "check_estimators_fit_returns_self": fit_returns_self,
    "check_estimators_nan_inf": nan_and_infinity_are_refused,
    "check_estimators_overwrite_params": fit_changes_no_parameter,
    "check_estimators_pickle": a_pickle_comes_back_with_the_same_answers,
    "check_f_contiguous_array_estimator": any_order_in_memory_will_do,
    "check_fit1d": rows_of_numbers_are_refused,
    "check_fit2d_1sample": one_image_is_enough_or_refused,
    "check_fit2d_predict1d": rows_of_numbers_are_refused,
    "check_fit_check_is_fitted": check_is_fitted_knows,
    "check_fit_idempotent": a_second_fit_gives_the_same_model,
    "check_fit_score_takes_y": fit_takes_y_second_and_does_not_use_it,
    "check_methods_sample_order_invariance": the_order_of_images_changes_no_answer,
    "check_methods_subset_invariance": an_image_is_answered_the_same_alone,
    "check_outliers_fit_predict": fit_predict_is_fit_then_predict,
    "check_outliers_train": scores_decisions_and_labels_agree,
    "check_pipeline_consistency": a_pipeline_answers_as_the_model_alone,
    "check_readonly_memmap_input": a_read_only_mapping_of_a_file_will_do,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ON_IMAGES)
def test_scikit_learns_promise_holds_on_images(name, unfitted, fitted, gear, tmp_path):
    ON_IMAGES[name](unfitted, fitted, gear, tmp_path)


# ------------------------------------------------------------- tools built on the contract


def good_against_the_rest(gear):
    """Images and labels, and one split of them: fit on good ones, measure on the rest."""
    images = [*gear.train, *gear.test]
    labels = np.concatenate([np.ones(len(gear.train), int), 1 - 2 * gear.labels])
    n = len(gear.train)
    return images, labels, [(np.arange(n), np.arange(n, len(images)))]


def auroc(model, images, labels):
    """A scorer from labels, +1 good and -1 anomalous; "roc_auc" fails in scikit-learn 1.3."""
    return roc_auc_score(labels == -1, model.anomaly_score(images))


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_grid_search_finds_what_a_loop_finds(tiny, gear, n_jobs):
    images, labels, split = good_against_the_rest(gear)
    grid = {"coreset_ratio": [0.02, 0.2], "b": [2, 9]}
    model = PatchCore(tiny, progress=False, n_threads=1)
    search = GridSearchCV(model, grid, scoring=auroc, cv=split, refit=False, n_jobs=n_jobs)
    search.fit(images, labels)
    for options, found in zip(
        search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
    ):
        alone = clone(model).set_params(**options).fit(gear.train)
        assert found == roc_auc_score(gear.labels, alone.anomaly_score(gear.test)), options
    assert len(set(search.cv_results_["mean_test_score"])) > 1


@pytest.mark.slow
def test_a_pipelines_parameters_and_a_scorer_of_ones_own(tiny, gear):
    def worst_margin(model, X, y):
        return float((model.decision_function(X) * y).min())

    images, labels, split = good_against_the_rest(gear)
    pipeline = make_pipeline(PatchCore(tiny, progress=False))
    grid = {"patchcore__sigma": [0.0, 4.0], "patchcore__b": [2, 3]}
    search = GridSearchCV(pipeline, grid, scoring=worst_margin, cv=split, refit=False)
    search.fit(images, labels)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    scores = cross_val_score(pipeline, images, labels, scoring=worst_margin, cv=split)
    assert scores.shape == (1,)


@pytest.mark.slow
def test_fitted_models_travel_to_other_processes_and_back(unfitted, fitted, gear):
    def work(model, train, test):
        model.fit(train)
        return model, model.anomaly_score(test)

    parallel = joblib.Parallel(n_jobs=2, backend="loky")
    jobs = [joblib.delayed(work)(clone(unfitted), gear.train, gear.test) for _ in range(2)]
    expected = fitted.anomaly_score(gear.test)
    for model, scores in parallel(jobs):
        assert np.array_equal(scores, expected)
        assert np.array_equal(model.anomaly_score(gear.test), expected)


@pytest.mark.slow
def test_a_pickle_is_no_larger_for_the_answers_remembered(unfitted, gear):
    model = clone(unfitted).fit(gear.train)
    before = len(pickle.dumps(model))
    model.anomaly_map(gear.test)
    assert abs(len(pickle.dumps(model)) - before) < 1000 < gear.test.nbytes


def test_a_pickle_refuses_a_network_that_has_changed(write_tiny, gear, tmp_path):
    network = write_tiny(tmp_path / "network.onnx", seed=2)
    pickled = pickle.dumps(PatchCore(network, progress=False).fit(gear.train))
    pickle.loads(pickled)
    write_tiny(network, seed=3)
    with pytest.raises(BackboneError, match=r"network\.onnx: has changed since"):
        pickle.loads(pickled)
    network.unlink()
    with pytest.raises(BackboneError, match=r"network\.onnx: no such file"):
        pickle.loads(pickled)


@pytest.mark.slow
def test_a_network_in_use_is_copied_with_its_model(tiny, gear):
    model = PatchCore(Backbone(tiny), progress=False).fit(gear.train)
    copy = clone(model).fit(gear.train)
    assert copy.backbone is not model.backbone
    assert np.array_equal(copy.anomaly_score(gear.test), model.anomaly_score(gear.test))
