"""Evaluation, its table, and its files: scores, heat maps, pictures."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score

from minicore import PatchCore, plots
from minicore.cli.demo_run import run_demo
from minicore.cli.outputs import FIELDS, ScoreWriter, heat_map_names, save_heat_map, save_pictures
from minicore.errors import ImageError
from minicore.evaluation.evaluate import COLUMNS, Evaluation, evaluate, table

ROWS = ((Path("a,b.png"), 1.25, 2.5, 0.25, True), (Path('c".png'), 1 / 3, 1e-9, None, None))


@pytest.fixture(scope="module")
def evaluated(tiny, gear):
    model = PatchCore(tiny)
    return model, *evaluate(model, gear)


def test_the_numbers_are_those_of_the_detection(evaluated, gear):
    model, result, found = evaluated
    labels, masks = gear.labels, gear.read_masks(model.preprocessing_)
    assert np.array_equal(found.scores, PatchCore.fit(model, gear.train).anomaly_score(gear.test))
    assert (result.category, result.n_train, result.n_test) == ("gear", 12, 10)
    assert result.bank_rows == len(model.memory_bank_)
    assert result.image_auroc == pytest.approx(roc_auc_score(labels, found.scores))
    assert result.image_auroc_distance == pytest.approx(roc_auc_score(labels, found.distances))
    assert result.average_precision == pytest.approx(average_precision_score(labels, found.scores))
    pixels = masks.ravel(), found.maps.ravel()
    assert result.pixel_auroc == pytest.approx(roc_auc_score(*pixels))
    assert result.pixel_average_precision == pytest.approx(average_precision_score(*pixels))
    assert 0 <= result.pro <= 1 and 0 < result.f1 <= 1
    called = model.predict(gear.test)
    assert result.false_positives == np.sum(called[labels == 0] == -1)
    assert result.false_negatives == np.sum(called[labels == 1] == 1)
    assert result.fit_seconds > 0 and result.milliseconds > 0
    assert Evaluation(**json.loads(json.dumps(result.to_json()))) == result


def test_the_auroc_of_equation_6_is_that_of_the_distances(tiny, gear):
    class Backwards(PatchCore):
        def detect(self, X):
            found = super().detect(X)
            return replace(found, distances=found.distances[::-1])

    result, found = evaluate(Backwards(tiny), gear)
    assert result.image_auroc_distance == pytest.approx(roc_auc_score(gear.labels, found.distances))
    assert result.image_auroc_distance != result.image_auroc


def test_what_the_data_do_not_define_is_none(tiny, gear):
    model = PatchCore(tiny, false_positive_rate=None)
    result, _ = evaluate(model, replace(gear, masks=None))
    assert result.pixel_auroc is result.pixel_average_precision is result.pro is None
    assert result.false_positives is result.false_negatives is None
    assert result.image_auroc is not None
    good = gear.labels == 0
    only = replace(gear, test=gear.test[good], labels=gear.labels[good], masks=gear.masks[good])
    result, _ = evaluate(model, only)
    assert {result.image_auroc, result.f1, result.pro, result.pixel_auroc} == {None}


@pytest.mark.parametrize("n", [0, 3, 9, 11])
def test_masks_and_labels_that_are_not_one_an_image_are_refused_before_the_fit(gear, n):
    some = np.zeros((n, 128, 128), bool)
    message = rf"^gear: {{}} must have one entry for each test image, got {n} for 10$"
    for masks in (some, list(some), [None] * n):
        with pytest.raises(ValueError, match=message.format("masks")):
            replace(gear, masks=masks)
    with pytest.raises(ValueError, match=message.format("labels")):
        replace(gear, labels=np.zeros(n, int))


@pytest.mark.parametrize("labels", [[np.nan] * 10, [2] * 10, ["good"] * 10, [[0, 1]] * 10], ids=str)
def test_labels_that_are_not_0_or_1_are_refused(gear, labels):
    with pytest.raises(ValueError, match=r"^gear: labels must be 0 \(good\) or 1 \(anomalous\)"):
        replace(gear, labels=labels)


@pytest.mark.slow
def test_a_mask_that_is_no_mask_is_named_by_its_number(tiny, gear):
    masks = gear.masks.astype(np.float32)
    masks[5, 0, 0] = np.nan
    with pytest.raises(ImageError, match=r"^mask 5: .*found NaN"):
        evaluate(PatchCore(tiny, progress=False), replace(gear, masks=masks))
    masks = [*gear.masks[:5], gear.masks[5][:100], *gear.masks[6:]]
    with pytest.raises(ImageError, match=r"^mask 5: expected 128 × 128 .*, found 100 × 128"):
        evaluate(PatchCore(tiny, progress=False), replace(gear, masks=masks))


def test_the_table_is_markdown_with_a_mean(evaluated):
    result = replace(evaluated[1], image_auroc=0.995, bank_rows=12345)
    other = replace(result, category="longer name", image_auroc=0.985, pro=None)
    alone, lines = table([result]).splitlines(), table([result, other]).splitlines()
    assert len(alone) == 3 and len(lines) == 5
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert {len(row) for row in cells} == {len(COLUMNS)} and len({len(line) for line in lines}) == 1
    assert set(lines[1]) <= set("|-:")
    named = [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]
    assert [row["image AUROC"] for row in named] == ["99.50", "98.50", "99.00"]
    assert named[0]["bank rows"] == "12,345" and named[1]["PRO"] == "–"
    assert named[2]["category"] == "mean" and named[2]["PRO"] == named[0]["PRO"]
    assert named[2]["fit s"] == ""


# Files


def test_scores_are_csv_or_json_lines(tmp_path, capsys):
    for path in (tmp_path / "scores", None):
        texts = []
        for form in ("csv", "jsonl"):
            with ScoreWriter(path, form) as writer:
                for row in ROWS:
                    writer.write(*row)
            texts.append(path.read_text() if path else capsys.readouterr().out)
        head, *rows = csv.reader(texts[0].splitlines())
        assert tuple(head) == FIELDS
        assert rows == [
            ["a,b.png", "1.25", "2.5", "0.25", "1"],
            ['c".png', repr(1 / 3), "1e-09", "", ""],
        ]
        found = [json.loads(line) for line in texts[1].splitlines()]
        assert [tuple(f.values()) for f in found] == [(str(i), *more) for i, *more in ROWS]


def test_scores_stopped_halfway_leave_no_file(tmp_path):
    with pytest.raises(KeyboardInterrupt), ScoreWriter(tmp_path / "scores", "csv") as writer:
        writer.write(*ROWS[0])
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_heat_maps_have_names_of_their_own():
    def names(*images):
        found = [str(p.relative_to("out")) for p in heat_map_names(images, Path("out"))]
        assert len(set(found)) == len(images) and not any("/" in name for name in found)
        return found

    assert names("x/a.png", "x/b.v2.jpg") == ["a.heat.png", "b.v2.heat.png"]
    assert names("good/0.png", "bad/0.png") == ["good_0.heat.png", "bad_0.heat.png"]
    assert names("/r/good/0.png", "/r/bad/0.png", "/s/good/0.png")[0].endswith("r_good_0.heat.png")
    assert names("a.png", "a.png", "a.jpg") and names("/a.png", "/b/a.png")


@pytest.mark.slow
def test_a_heat_map_is_a_picture_with_name_score_threshold_and_verdict(
    evaluated, gear, tmp_path, monkeypatch
):
    model, _, found = evaluated
    file = tmp_path / "scratch_on_the_neck_of_a_part_001.png"
    Image.fromarray(gear.test[5]).save(file)
    drawn = []
    save = plots.save
    monkeypatch.setattr(
        plots,
        "save",
        lambda figure, path, **options: drawn.append(figure) or save(figure, path, **options),
    )
    for score in (model.threshold_ * 1.5, model.threshold_):
        save_heat_map(tmp_path / "a.png", file, found.maps[5], model, score)
    with Image.open(tmp_path / "a.png") as picture:
        assert min(picture.size) > 64
    bad, good = ([text.get_text() for text in figure.texts] for figure in drawn)
    assert bad[0] == "scratch_…t_001.png" and bad[1:2] == ["anomalous"] and good[1] == "good"
    assert [words.split()[0] for words in bad[2:]] == ["score", "threshold"]
    bar = drawn[0].axes[-1]
    assert "marked: threshold" in bar.get_ylabel()
    limit = model.map_threshold_
    assert bar.get_ylim() == pytest.approx((0.5 * limit, 1.25 * limit))


@pytest.mark.slow
def test_an_evaluation_is_drawn_whatever_the_data_have(evaluated, gear, tmp_path):
    model, _, found = evaluated
    save_pictures(tmp_path / "all", model, gear, found)
    everything = {"panels.png", "histogram.png", "roc.png"}
    assert {p.name for p in (tmp_path / "all").iterdir()} == everything
    save_pictures(tmp_path / "maskless", model, replace(gear, masks=None), found)
    assert {p.name for p in (tmp_path / "maskless").iterdir()} == everything
    for kind in (0, 1):
        chosen = gear.labels == kind
        some = type(found)(*(v[chosen] for v in vars(found).values()))
        defects = [d for d, c in zip(gear.defects, chosen, strict=True) if c]
        test, labels, masks = gear.test[chosen], gear.labels[chosen], gear.masks[chosen]
        part = replace(gear, test=test, labels=labels, masks=masks, defects=defects)
        save_pictures(tmp_path / str(kind), model, part, some)
        assert [p.name for p in (tmp_path / str(kind)).iterdir()] == ["panels.png"]


@pytest.mark.slow
def test_the_demo_writes_two_pictures_and_prints_their_paths(tiny, tmp_path, capsys):
    results = run_demo(["gear", "wood"], PatchCore(tiny), tmp_path / "new", seed=0)
    assert [result.category for result in results] == ["gear", "wood"]
    text = capsys.readouterr().out
    assert table(results) in text and "nearest (eq 6, 7)" in text and "coreset (eq 5)" in text
    for name in ("demo.png", "seconds.png"):
        path = tmp_path / "new" / name
        assert str(path.resolve()) in text
        with Image.open(path) as picture:
            picture.verify()
