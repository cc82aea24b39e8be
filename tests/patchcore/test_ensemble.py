"""Several networks as one: joined features, averaged scores."""

import numpy as np
import pytest

import minicore
from minicore import Ensemble, PatchCore
from minicore.backbones import Backbone, JointBackbone, open_backbone
from minicore.backbones.joint import Spread
from minicore.cli import main
from minicore.errors import BackboneError, ModelError
from minicore.images import prepare
from minicore.patchcore.search import Detection

OPTIONS = {"coreset_ratio": 0.2, "projection_dim": 8, "progress": False}


@pytest.fixture(scope="module")
def other(write_tiny, tmp_path_factory):
    """Write a second network, of other weights."""
    return write_tiny(tmp_path_factory.mktemp("other") / "other.onnx", seed=1)


@pytest.fixture(scope="module")
def joined(tiny, other, gear):
    return PatchCore([tiny, other], **OPTIONS).fit(gear.train)


@pytest.fixture(scope="module")
def averaged(tiny, other, gear):
    members = [PatchCore(tiny, **OPTIONS), PatchCore(other, **OPTIONS)]
    return Ensemble(members, progress=False).fit(gear.train)


def patches(model, images):
    found = list(model._patches(images, "memory bank", progress=False))
    return np.concatenate([rows.reshape(-1, rows.shape[-1]) for rows, _, _ in found])


def same(a: Detection, b: Detection):
    for name, values in vars(a).items():
        assert np.array_equal(values, getattr(b, name)), name


# ------------------------------------------------------------- joined features


@pytest.mark.slow
def test_joined_features_are_each_networks_own_side_by_side_in_units_of_their_spread(
    joined, tiny, other, gear
):
    both = patches(joined, list(gear.train))
    first = 0
    for network, scale in zip((tiny, other), joined.scales_, strict=True):
        alone = patches(PatchCore(network, **OPTIONS).fit(gear.train), list(gear.train))
        block = both[:, first : first + alone.shape[1]]
        assert np.array_equal(block, alone * np.float32(scale))
        from_mean = block.astype(float) - block.astype(float).mean(axis=0)
        assert np.mean((from_mean**2).sum(axis=1)) == pytest.approx(1, rel=1e-5)
        first += alone.shape[1]
    assert first == both.shape[1]
    assert np.array_equal(joined.memory_bank_, both[joined.coreset_indices_])


def test_spread_of_a_constant_block_leaves_it_as_it_is():
    rows = np.random.default_rng(0).standard_normal((50, 5)).astype(np.float32)
    rows[:, 3:] = 7
    spread = Spread([3, 2])
    for part in np.split(rows, 5):
        spread.add(part)
    expected = 1 / np.sqrt(rows[:, :3].astype(float).var(axis=0).sum())
    assert spread.scales() == (pytest.approx(expected), 1.0)


def test_networks_with_other_colours_see_what_they_would_see_alone(tiny, other, gear):
    strange = Backbone(other, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    joint = JointBackbone([Backbone(tiny), strange])
    _, second = joint.levels(prepare(gear.test[0], joint.preprocessing)[None])
    alone = strange(prepare(gear.test[0], strange.preprocessing)[None])
    for ours, theirs in zip(second, alone.values(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_one_network_with_two_layer_sets(tiny, gear):
    layers = ("0.layer2", "1.layer2", "1.layer3")
    model = PatchCore([tiny, tiny], layers=layers, **OPTIONS).fit(gear.train)
    assert model.backbone_.layers == layers and model.memory_bank_.shape[1] == 8 + 8 + 12


def test_the_paper_embedding_pools_each_network_by_itself(tiny, other, gear):
    model = PatchCore([tiny, other], "paper", dimension=16, **OPTIONS).fit(gear.train)
    assert model.memory_bank_.shape[1] == 32


def test_both_engines_join_alike(tiny, other, gear):
    options = {**OPTIONS, "coreset_ratio": 0.05, "false_positive_rate": None}
    fast, slow = (
        PatchCore([tiny, other], engine=engine, **options).fit(gear.train[:6])
        for engine in ("fast", "equations")
    )
    assert np.array_equal(fast.coreset_indices_, slow.coreset_indices_)
    np.testing.assert_allclose(
        fast.anomaly_score(gear.test[:3]), slow.anomaly_score(gear.test[:3]), rtol=1e-5
    )


@pytest.mark.slow
def test_joined_model_comes_back_with_identical_answers(joined, gear, tmp_path):
    path = joined.save(tmp_path / "joined.minicore")
    for read in (PatchCore.load, minicore.load):
        same(joined.detect(gear.test), read(path, progress=False).detect(gear.test))


def test_joined_model_refuses_networks_in_another_order(joined, tiny, other, tmp_path):
    path = joined.save(tmp_path / "joined.minicore")
    with pytest.raises(ModelError, match=r"fitted with another network"):
        PatchCore.load(path, [other, tiny])


@pytest.mark.parametrize(
    "layers, message",
    [
        (("layer2", "1.layer2"), r"named 0\.layer2, 1\.layer2 …, by network; of 2 networks got"),
        (("0.layer2", "2.layer2"), r"of 2 networks got '2\.layer2'"),
        (("0.layer2",), r"layers: no layer of network 1"),
    ],
)
def test_layers_of_an_ensemble_must_name_their_network(tiny, other, layers, message):
    with pytest.raises(ValueError, match=message):
        open_backbone([tiny, other], layers)


def test_networks_that_cannot_be_joined_say_why(tiny, other, gear):
    with pytest.raises(BackboneError, match=r"must agree on \(resize, crop\).*tiny \(72, 64\)"):
        open_backbone([tiny, Backbone(other, crop=48)])
    with pytest.raises(BackboneError, match=r"different grids: tiny 8 × 8, tiny 4 × 4.*Ensemble"):
        PatchCore([tiny, other], layers=("0.layer2", "1.layer3"), **OPTIONS).fit(gear.train[:2])
    with pytest.raises(ValueError, match=r"at least one network, got an empty list"):
        open_backbone([])


# ------------------------------------------------------------- averaged scores


@pytest.mark.slow
def test_averaged_scores_are_the_mean_in_units_of_each_members_threshold(averaged, gear):
    found = averaged.detect(gear.test)
    alone = [model.detect(gear.test) for model in averaged.models_]
    thresholds = [model.threshold_ for model in averaged.models_]
    expected = np.mean([a.scores / t for a, t in zip(alone, thresholds, strict=True)], axis=0)
    np.testing.assert_allclose(found.scores, expected, rtol=1e-12)
    limits = [model.map_threshold_ for model in averaged.models_]
    expected = np.mean([a.maps / t for a, t in zip(alone, limits, strict=True)], axis=0)
    np.testing.assert_allclose(found.maps, expected, rtol=1e-5)
    assert found.maps.dtype == found.patch_scores.dtype == np.float32


@pytest.mark.slow
def test_an_ensemble_of_one_calls_the_same_images_anomalous(averaged, tiny, gear):
    alone = PatchCore(tiny, **OPTIONS).fit(gear.train)
    one = Ensemble([PatchCore(tiny, **OPTIONS)], progress=False).fit(gear.train)
    assert one.threshold_ == pytest.approx(1) and np.array_equal(
        one.predict(gear.test), alone.predict(gear.test)
    )
    np.testing.assert_allclose(one.anomaly_score(gear.test) * alone.threshold_,
                               alone.anomaly_score(gear.test), rtol=1e-12)  # fmt: skip


def test_a_score_does_not_depend_on_the_other_images_tested(averaged, gear):
    whole = averaged.anomaly_score(gear.test)
    assert averaged.anomaly_score(gear.test[3:4]) == pytest.approx(whole[3], rel=1e-12)


def test_members_of_different_strides_share_the_finest_grid(tiny, gear):
    members = [PatchCore(tiny, stride=s, **OPTIONS) for s in (2, 1)]
    found = Ensemble(members, progress=False).fit(gear.train).detect(gear.test)
    assert found.patch_scores.shape == (10, 8, 8) and found.maps.shape == (10, 64, 64)


@pytest.mark.slow
def test_an_ensemble_comes_back_with_identical_answers(averaged, gear, tmp_path):
    path = averaged.save(tmp_path / "both.minicore")
    for read in (Ensemble.load, minicore.load):
        again = read(path, progress=False)
        same(averaged.detect(gear.test), again.detect(gear.test))
        assert (again.threshold_, again.map_threshold_) == (
            averaged.threshold_,
            averaged.map_threshold_,
        )
    with pytest.raises(ModelError, match=r"an ensemble of scores; read it with minicore\.load"):
        PatchCore.load(path)
    with pytest.raises(ModelError, match=r"an ensemble of 2; pass one network per member"):
        minicore.load(path, "default")
    single = averaged.models_[0].save(tmp_path / "one.minicore")
    with pytest.raises(ModelError, match=r"a single model; read it with minicore\.load"):
        Ensemble.load(single)


def test_members_that_cannot_be_compared_are_refused_before_the_work(tiny, gear):
    def refuse(message, *members, images=gear.train):
        with pytest.raises(ValueError, match=message):
            Ensemble(members).fit(images)

    refuse(r"at least one model, got none")
    other_rate = PatchCore(tiny, false_positive_rate=0.1)
    refuse(
        r"same false_positive_rate, and not None; got \[0.05, 0.1\]", PatchCore(tiny), other_rate
    )
    refuse(r"and not None; got \[None\]", PatchCore(tiny, false_positive_rate=None))
    refuse(r"at least two images.*got 1", PatchCore(tiny), images=gear.train[:1])
    refuse(
        r"images of different sizes, \[\(48, 48\), \(64, 64\)\]",
        PatchCore(tiny, **OPTIONS), PatchCore(tiny, crop=48, **OPTIONS),
    )  # fmt: skip


# ------------------------------------------------------------ the command line


@pytest.mark.slow
@pytest.mark.parametrize("how", ["features", "scores"])
def test_one_flag_says_what_becomes_of_several_networks(
    how, tiny, other, mvtec_root, tmp_path, capsys
):
    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([str(a) for a in arguments])
        assert not end.value.code
        return capsys.readouterr()

    both = ["--backbone", tiny, "--backbone", other, "--ensemble", how, "--coreset", 0.2]
    model = tmp_path / "gear.minicore"
    run("fit", mvtec_root / "gear" / "train" / "good", "-o", model, *both)
    lines = run("score", model, mvtec_root / "gear" / "test" / "good").out.splitlines()
    assert len(lines) == 1 + 4
    again = run(
        "score", model, mvtec_root / "gear" / "test" / "good",
        "--backbone", tiny, "--backbone", other,
    )  # fmt: skip
    assert again.out.splitlines() == lines
    assert "| gear " in run("evaluate", mvtec_root, "gear", *both).out


def test_averaging_scores_takes_two_networks(tiny, mvtec_root, tmp_path, capsys):
    good, out = mvtec_root / "gear" / "train" / "good", tmp_path / "m"
    with pytest.raises(SystemExit) as end:
        main(["fit", str(good), "-o", str(out), "--backbone", str(tiny), "--ensemble", "scores"])
    assert end.value.code == 1 and "give --backbone at least twice" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.slow
def test_an_ensemble_of_which_a_member_is_fitted_again_answers_anew(tiny, other, gear):
    members = [PatchCore(tiny, **OPTIONS), PatchCore(other, **OPTIONS)]
    ensemble = Ensemble(members, progress=False).fit(gear.train)
    before = ensemble.detect(gear.test)
    assert ensemble.detect(gear.test) is before
    ensemble.models_[0].fit(gear.train[:6])
    after = ensemble.detect(gear.test)
    ensemble._last = None
    same(after, ensemble.detect(gear.test))
    assert not np.array_equal(before.scores, after.scores)
