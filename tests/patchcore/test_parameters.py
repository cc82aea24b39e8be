"""A parameter that cannot be is refused by its name, with what was expected and what was found."""

import numpy as np
import pytest

from minicore import Ensemble, PatchCore
from minicore.backbones import Backbone
from minicore.evaluation.baselines import SPADE, MahalanobisAD, OneClassSVM, PaDiM

NOTHING_LIKE_IT = ("two", [1], np.array([1, 2]), np.zeros((40, 40)))
NO_NUMBER = (*NOTHING_LIKE_IT, True, -1, float("nan"), float("inf"))
NOT_WHOLE = (*NO_NUMBER, 1.5, "8", np.float64(2), 1 + 0j)
WHOLE = ("seed", "patchsize", "stride", "batch_size")
PARAMETERS = [
    (PatchCore, (*WHOLE, "projection_dim"), (*NOT_WHOLE, None)),
    (PatchCore, ("b",), NOT_WHOLE),
    (PatchCore, ("n_threads", "dimension", "resize", "crop"), NOT_WHOLE),
    (PatchCore, ("sigma", "coreset_ratio"), (*NO_NUMBER, None)),
    (PatchCore, ("coreset_radius", "false_positive_rate"), NO_NUMBER),
    (
        PatchCore,
        ("embedding", "engine", "bank_storage", "selection", "score"),
        (*NOTHING_LIKE_IT, None, 1, "FAST"),
    ),
    (PatchCore, ("whiten",), (*NOTHING_LIKE_IT, None, 1)),
    (PatchCore, ("augment",), (*NOTHING_LIKE_IT, True, 1, "ROTATIONS")),
    (PatchCore, ("angles",), (*NO_NUMBER, 1.5, "8")),
    (PatchCore, ("layers",), (1.5, True, [1], np.array(["layer2"]))),
    (PatchCore, ("backbone",), (1.5, True, [1.5], np.array(["default"]))),
    (SPADE, (*WHOLE, "k", "kappa"), (*NOT_WHOLE, None)),
    (PaDiM, (*WHOLE, "d"), (*NOT_WHOLE, None)),
    (PaDiM, ("epsilon", "sigma"), (*NO_NUMBER, None, "0.1")),
    (PaDiM, ("reduction",), (*NOTHING_LIKE_IT, None, 1)),
    (OneClassSVM, (*WHOLE, "n_patches"), (*NOT_WHOLE, None)),
    (OneClassSVM, ("nu", "gamma"), (*NO_NUMBER, None)),
    (MahalanobisAD, WHOLE, (*NOT_WHOLE, None)),
    (MahalanobisAD, ("n_threads", "resize", "crop"), NOT_WHOLE),
    (MahalanobisAD, ("layers",), (1.5, True, [1])),
    (Backbone, ("batch_size",), (*NOT_WHOLE, None)),
    (Backbone, ("threads", "resize", "crop"), NOT_WHOLE),
    (Backbone, ("mean", "std"), (1, True, "two", [1], [1, 2, "x"], [1, 2, float("nan")])),
    (Backbone, ("path_or_name",), (1.5, None, True, [1])),
]


def refused(name, value, make):
    with pytest.raises(ValueError) as error:
        make()
    said = f"{error.value}"
    assert said.startswith((f"{name} must be ", f"{name}: expected ")), (value, said)
    assert "\n" not in said and len(said) < 300, said


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind, name, values",
    [(kind, name, values) for kind, names, values in PARAMETERS for name in names],
    ids=lambda value: getattr(value, "__name__", value if isinstance(value, str) else ""),
)
def test_what_a_parameter_cannot_be_is_refused_by_its_name(tiny, gear, kind, name, values):
    for value in values:
        options = {"path_or_name": tiny} if kind is Backbone else {"backbone": tiny}
        options[name] = value
        model = None if kind is Backbone else kind(**options)  # which looks at nothing yet
        refused(name, value, lambda o=options, m=model: m.fit(gear.train) if m else Backbone(**o))


def test_numbers_of_numpy_are_as_good_as_those_of_python(tiny, gear):
    counted = {"batch_size": np.int8(5), "n_threads": np.uint8(1), "seed": np.int64(3)}
    plain = {"batch_size": 5, "n_threads": 1, "seed": 3}
    scores = [
        PatchCore(tiny, sigma=kind(2), **options).fit(gear.train).anomaly_score(gear.test)
        for kind, options in ((np.float32, counted), (float, plain))
    ]
    assert np.array_equal(*scores)


@pytest.mark.slow
def test_what_a_fitted_model_is_told_later_is_looked_at_too(tiny, gear, tmp_path):
    model = PatchCore(tiny, progress=False).fit(gear.train)
    path = model.save(tmp_path / "m")
    ensemble = Ensemble([PatchCore(tiny)] * 2, progress=False).fit(gear.train)
    spade = SPADE(tiny, progress=False).fit(gear.train)
    for name, value in (("batch_size", 1.5), ("n_threads", "2"), ("engine", "slow")):
        refused(name, value, lambda n=name, v=value: PatchCore.load(path, **{n: v}))
        for fitted, member in ((model, model), (ensemble, ensemble.models_[1]), (spade, spade)):
            if name in member.get_params():
                before = getattr(member, name)
                member.set_params(**{name: value})
                refused(name, value, lambda f=fitted: f.detect(gear.test))
                member.set_params(**{name: before})
    refused("batch_size", 1.5, lambda: Ensemble([model, PatchCore(tiny, batch_size=1.5)]).fit(
        gear.train))  # fmt: skip


@pytest.mark.parametrize("models", [1.5, "two", True, [1], [None], ["default"]], ids=str)
def test_an_ensemble_is_of_patchcores(gear, models):
    refused("models", models, lambda: Ensemble(models).fit(gear.train))
