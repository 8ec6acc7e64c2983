"""What the sliders, tables and pictures of the report say, against plain loops."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import notation
import recuse
from notation import words
from recuse import curves, intervals, plots, selectors
from recuse.io import HeldOut
from recuse.reports import details, explore, prepare, tables
from recuse.scores import Score, predict
from recuse.tuning import MSP
from reference_report import outcome, splits, strictest_fallback, who

details_module = sys.modules["recuse.reports.details"]  # the package names the function so
MODELS = {"plain": splits(0), "damaged": splits(1, damage=20.0)}


@pytest.fixture(scope="module")
def evaluation():
    return recuse.evaluate(MODELS, target_risk=0.2)


@pytest.fixture(scope="module")
def detail(evaluation):
    return details(evaluation, MODELS)


@pytest.fixture(scope="module")
def shown(evaluation, detail):
    return explore.explore(prepare.prepare(evaluation), detail, 0.2, 0.05)


def arrays(evaluation, curve):
    """Confidence and loss behind a curve of the page."""
    m = evaluation[curve["model"]]
    return (m.msp if curve["name"].endswith(", MSP") else m.confidence), m.loss


few = st.sampled_from([0.0, 0.5, 1.0, 2.0])


@given(st.lists(st.tuples(few, st.sampled_from([0.0, 1.0])), min_size=1, max_size=30))
def test_every_position_counts_what_a_loop_counts(rows):
    c, loss = np.float32([r[0] for r in rows]), np.array([r[1] for r in rows])
    whole, risks = curves.risk_coverage(c, loss), explore.targets(0.05)
    at = explore.positions(c, loss, whole, risks, [[0.7], [3.0]])
    assert {np.float32(0.7), np.float32(3)} <= set(at.threshold)
    assert (np.diff(at.threshold) < 0).all()
    for t, *held in zip(*at):
        assert tuple(held) == outcome(c, loss, t)
    for risk, place in zip(risks, explore.at_targets(whole, at, risks)):
        coverage = curves.coverage_at_risk(c, loss, risk)
        assert (0 if place < 0 else at.accepted[place] / c.size) == coverage


def test_a_curve_of_few_points_stops_at_all_of_them():
    c, loss = np.float32([3, 2, 2, 1]), np.array([0.0, 1.0, 0.0, 1.0])
    at = explore.positions(c, loss, curves.risk_coverage(c, loss), np.array([0.1]))
    assert at.threshold.tolist() == [3, 2, 1]


def test_each_position_falls_back_to_the_next_stricter_limit_of_the_band(evaluation, detail, shown):
    assert len(shown["curves"]) == 3
    for curve in shown["curves"]:
        stage = "before" if curve["name"].endswith(", MSP") else "after"
        band, limits = getattr(detail[curve["model"]], stage), curve["limits"]
        for t, of in zip(curve["threshold"], limits["of"]):
            fallback = strictest_fallback(band.threshold, t)
            if fallback is None:
                assert of == explore.NONE
                assert band.at(t).upper == 1
                continue
            assert curve["threshold"][limits["position"][of]] == fallback == band.at(t).threshold
            assert limits["upper"][of] == band.at(t).upper


def test_a_guaranteed_target_is_that_of_the_band(detail, shown):
    for curve in shown["curves"]:
        stage = "before" if curve["name"].endswith(", MSP") else "after"
        band = getattr(detail[curve["model"]], stage)
        for risk, place in zip(shown["targets"], curve["limits"]["of_target"]):
            at = np.inf if place < 0 else curve["threshold"][place]
            assert at == band.threshold_for(risk)


def test_the_limits_of_all_curves_share_delta(evaluation, detail):
    for m in evaluation.models:
        d = detail[m.name]
        z, labels = MODELS[m.name]["calibrate"]
        wrong = predict(z) != labels
        for score, found in ((recuse.tune(*MODELS["plain"]["tune"]).score, d.before),):
            tune = score(MODELS[m.name]["tune"][0])
            again = selectors.band(score(z), wrong, delta=0.05 / 3, tune=tune)
            assert found.upper.tolist() == again.upper.tolist()
            assert found.threshold.tolist() == again.threshold.tolist()
        assert (d.after is d.before) == (not m.repaired)


def test_the_fitted_position_is_what_the_rejector_does(evaluation, shown):
    fitted = [curve for curve in shown["curves"] if curve["fitted"] >= 0]
    assert [c["model"] for c in fitted] == ["plain", "damaged"]
    for curve in fitted:
        m, k = evaluation[curve["model"]], curve["fitted"]
        assert (curve["accepted"][k], curve["errors"][k]) == (m.accepted, m.errors)
        assert curve["rules"][k] in words.rule(m)


def test_tables_by_class_and_subgroup_count_what_a_loop_counts(evaluation):
    of = {name: np.arange(600) % 3 for name in MODELS}
    found = details(evaluation, MODELS, subgroups=of)
    page = explore.explore(prepare.prepare(evaluation), found, 0.2, 0.05)
    for curve in page["curves"]:
        c, loss = arrays(evaluation, curve)
        d = found[curve["model"]]
        by = {"True class": d.labels, "Predicted class": d.predicted, "Subgroup": d.subgroups}
        assert [t["kind"] for t in curve["tables"]] == list(by)
        for table in curve["tables"]:
            codes = by[table["kind"]]
            for k in range(0, len(curve["threshold"]), 17):
                slow = who(codes, c, loss, curve["threshold"][k])
                assert table["names"] == [str(code) for code in slow]
                fast = zip(table["accepted"][:, k], table["errors"][:, k])
                assert list(fast) == list(slow.values())


def test_many_rows_keep_those_with_most_errors_and_their_sums():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 60, 3000)
    c, loss = (
        rng.normal(size=3000).astype(np.float32),
        (rng.random(3000) < codes / 60).astype(float),
    )
    at = explore.positions(c, loss, curves.risk_coverage(c, loss), np.array([0.1]))
    table = explore.table(codes, codes, c, loss, at)
    assert table["names"][-1] == "35 others together"
    assert set(table["names"][:-1]) >= {"59", "58", "57"}
    assert table["size"].sum() == 3000
    np.testing.assert_array_equal(table["accepted"].sum(axis=0), at.accepted)
    np.testing.assert_array_equal(table["errors"].sum(axis=0), at.errors)


def test_splits_names_and_subgroups_of_something_else_are_refused(evaluation):
    refused = [
        ({"plain": MODELS["plain"]}, {}, "splits of the models evaluated"),
        ({**MODELS, "plain": MODELS["damaged"]}, {}, "splits that were evaluated"),
        (MODELS, {"classes": ["one"]}, "expected 5 class names, got 1"),
        (MODELS, {"subgroups": {"plain": [1]}}, r"shape \(600,\), got \(1,\)"),
        (MODELS, {"images": "nowhere"}, "folder of images"),
        (MODELS, {"scenes": {"plain": "nowhere.npz"}}, "expected scenes.npz"),
    ]
    for given_splits, options, message in refused:
        with pytest.raises(recuse.InputError, match=message):
            details(evaluation, given_splits, **options)


def test_a_void_guarantee_has_no_limits(evaluation):
    m = evaluation.models[0]
    void = replace(m.selection, guarantee=replace(m.selection.guarantee, void=True))
    models = (replace(m, selection=void), evaluation.models[1])
    found = details(replace(evaluation, models=models), MODELS)
    assert found["plain"].before is None
    assert found["damaged"].after is not None
    page = explore.explore(prepare.prepare(replace(evaluation, models=models)), found, 0.2, 0.05)
    assert page["curves"][0]["limits"] is None
    assert page["curves"][0]["void"]


def test_one_row_of_each_group_makes_the_limits():
    grouped = {
        name: HeldOut(z, y, groups=np.arange(len(y)) // 2 + 1000 * i)
        for i, (name, (z, y)) in enumerate(splits(0).items())
    }
    found = recuse.evaluate({"net": grouped}, target_risk=0.3)
    detail = details(found, {"net": grouped})["net"]
    assert detail.before.n == found.models[0].selection.guarantee.n == 300
    assert len(detail.groups) == 600


def test_the_confusion_matrix_adds_up_to_what_the_threshold_does(evaluation, detail):
    for m in evaluation.models:
        d = detail[m.name]
        counts = tables.confusion(m, d).counts
        assert counts.sum() == m.n
        assert counts[:, -1].sum() == m.n - m.accepted
        assert counts[:, :-1].sum() - np.trace(counts[:, :-1]) == m.errors
        assert counts.sum(axis=1).tolist() == np.bincount(d.labels, minlength=5).tolist()


def test_without_a_threshold_the_matrix_shows_what_there_would_be_to_abstain_from(evaluation):
    hard = recuse.evaluate({"plain": MODELS["plain"]}, target_risk=0.001)
    m, found = hard.models[0], details(hard, {"plain": MODELS["plain"]})["plain"]
    assert not m.selection.feasible
    counts = tables.confusion(m, found).counts
    assert counts[:, -1].sum() == 0
    assert {e.accepted for e in tables.most_confident(m, found)} == {"-"}


def test_many_classes_list_their_most_frequent_confusions(evaluation, detail, monkeypatch):
    monkeypatch.setattr(tables, "LARGEST", 4)
    m, d = evaluation.models[0], detail["plain"]
    assert tables.confusion(m, d) is None
    pairs = {}
    for label, said, l in zip(d.labels, d.predicted, m.loss):
        if l:
            pairs[f"{label} → {said}"] = pairs.get(f"{label} → {said}", 0) + 1
    rows = tables.confused(m, d).rows
    assert {name: int(total) for name, total, *_ in rows}.items() <= pairs.items()
    assert int(rows[0][1]) == max(pairs.values())
    assert all(int(n) == int(accepted) + int(kept) for _, n, accepted, kept in rows)


def test_the_most_confident_errors_come_first(evaluation, detail):
    for m in evaluation.models:
        found = tables.most_confident(m, detail[m.name])
        wrong = sorted(m.confidence[m.loss > 0], reverse=True)
        assert [e.score for e in found] == [float(c) for c in wrong[: tables.SHOWN]]
        kept = [e.accepted == "yes" for e in found]
        assert kept == [e.score >= np.float32(m.selection.threshold) for e in found]


def test_models_are_compared_on_the_same_examples_only(evaluation, detail):
    models = prepare.prepare(evaluation)
    assert tables.paired(models, detail) is None
    assert tables.paired(models, {}) is None
    shifted = {k: (z + np.float32(0.1) * z**2, y) for k, (z, y) in MODELS["plain"].items()}
    both = {"plain": MODELS["plain"], "other": shifted}
    same = recuse.evaluate(both, target_risk=0.2)
    found = tables.paired(prepare.prepare(same), details(same, both))
    a, b = same["other"], same["plain"]
    again = intervals.compare(a.confidence, a.loss, b.confidence, b.loss)
    assert found.rows[0].comparison == again
    shown = map(notation.prose, tables.paired_table(found).rows[0])
    assert notation.p_value(again.p_value) in shown


@given(st.floats(0, 1))
def test_an_upper_limit_is_never_written_below_itself(x):
    written = float(notation.upper(x).replace("\u00a0%", ""))
    assert written >= 100 * x - 1e-7
    assert written <= 100 * x + 0.1001


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, 2.0, np.inf]), st.booleans()), min_size=1))
def test_a_histogram_holds_every_prediction(rows):
    c, wrong = np.float32([r[0] for r in rows]), np.array([float(r[1]) for r in rows])
    found = plots.confidence.prepare(c, wrong)
    assert (found.right.sum(), found.wrong.sum()) == ((wrong == 0).sum(), wrong.sum())
    assert (np.diff(found.edge) > 0).all()


# Pictures


def test_a_thumbnail_never_leaves_its_folder(tmp_path):
    image = pytest.importorskip("PIL.Image")
    (tmp_path / "in").mkdir()
    for place in ("in/a.png", "secret.png"):
        image.new("RGB", (200, 100)).save(tmp_path / place)
    assert details_module.thumbnail(tmp_path / "in", "a").startswith("data:image/jpeg;base64,")
    for name in ("../secret", "../secret.png", str(tmp_path / "secret.png"), "none", ""):
        assert details_module.thumbnail(tmp_path / "in", name) is None
    (tmp_path / "in" / "b.png").write_text("no image")
    with pytest.raises(recuse.InputError, match="cannot be read as an image"):
        details_module.thumbnail(tmp_path / "in", "b")


def test_one_error_without_an_image_hides_no_other(tmp_path):
    image = pytest.importorskip("PIL.Image")
    named = {
        split: HeldOut(z, y, ids=np.array([f"{split}{i}" for i in range(len(y))]))
        for split, (z, y) in MODELS["plain"].items()
    }
    found = recuse.evaluate({"net": named}, target_risk=0.2)
    errors = tables.most_confident(found.models[0], details(found, {"net": named})["net"])
    for e in errors[1:]:
        image.new("RGB", (8, 8)).save(tmp_path / f"{e.id}.png")
    more = details(found, {"net": named}, images=tmp_path)
    recuse.report(found, tmp_path / "r.html", details=more)
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert html.count('<img src="data:image/jpeg') == len(errors) - 1


def test_scenes_are_drawn_with_the_error_they_hold(tmp_path, evaluation):
    pytest.importorskip("matplotlib")
    rng = np.random.default_rng(0)
    z = rng.normal(size=(2, 5, 6, 8)).astype(np.float16)
    labels = predict(z)
    labels[0, :3] = (labels[0, :3] + 1) % 5
    labels[1, 0] = 11  # void
    path = tmp_path / "scenes.npz"
    image = np.zeros((2, 12, 16, 3), np.uint8)
    np.savez(path, image=image, logits=z, labels=labels, item=np.arange(2))
    found = details(evaluation, MODELS, scenes={"plain": path})["plain"].scenes
    assert [notation.prose(p.text) for p in found] == [
        "plain, scene 0: 50.0\u00a0% of the labelled pixels are wrong",
        "plain, scene 1: 0\u00a0% of the labelled pixels are wrong",
    ]
    assert [list(p.panels) for p in found] == [["image", "prediction", "errors"]] * 2
    for picture in (image for p in found for image in p.panels.values()):
        assert picture.startswith("data:image/png;base64,")
    np.savez(path, image=image, logits=z, labels=labels[:1], item=np.arange(2))
    with pytest.raises(recuse.InputError, match=r"labels \(S, H, W\)"):
        details_module.read_scenes(path)


# The command


@pytest.fixture
def files(tmp_path):
    for split, (z, y) in MODELS["plain"].items():
        ids = np.array([f"{split}{i}" for i in range(len(y))])
        recuse.write_logits(tmp_path / "net" / f"{split}.npz", z, y, ids=ids)
    return tmp_path


ARGUMENTS = ("report", "--model", "net=net", "--target-risk", "0.2", "--out", "r.html", "--quiet")


def test_class_names_and_subgroups_come_from_files(files, recuse):
    (files / "names.txt").write_text("a\nb\n<script>alert(1)</script>\nd\ne\n")
    rows = "\n".join(f"test{i},{'north' if i % 2 else 'south'}" for i in range(600))
    (files / "sites.csv").write_text(f"id,site\n{rows}\n")
    code, _, err = recuse(*ARGUMENTS, "--classes", "names.txt", "--by", "sites.csv")
    assert (code, err) == (0, "")
    html = (files / "r.html").read_text(encoding="utf-8")
    assert "north" in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<script>alert" not in html


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--classes", "names.txt"), "expected 5 class names"),
        (("--by", "nowhere.csv"), "nowhere.csv"),
        (("--images", "nowhere"), "expected a folder of images"),
        (("--scenes", "other=s.npz"), "expected --scenes of a model among net"),
        (("--scenes", "net=s.npz"), "expected scenes.npz"),
        (("--scenes", "net=net/test.npz"), "labels, item, got logits, labels, ids"),
        (("--scenes", "net=x.npy"), "x.npy: expected scenes.npz of image, logits, labels, item"),
    ],
)
def test_bad_files_end_in_one_line_and_write_nothing(files, recuse, options, message):
    np.save(files / "x.npy", np.zeros(3))
    (files / "names.txt").write_text("a\n")
    code, out, err = recuse(*ARGUMENTS, *options)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert not (files / "r.html").exists()


def test_a_folder_without_an_image_of_any_id_is_warned_of(files, recuse):
    (files / "empty").mkdir()
    code, _, err = recuse(*ARGUMENTS, "--images", "empty")
    assert code == 0
    assert err == "recuse: warning: empty: no image is named by an id, such as test0\n"


@pytest.mark.validity
def test_no_limit_of_any_curve_is_exceeded_more_often_than_delta():
    """Every threshold of both scores has one true risk; whoever looks finds the luckiest."""
    delta, risk, draws, n = 0.1, 0.3, 400, 400
    score = Score("logit_norm", {"p": 3, "center": True})
    m = SimpleNamespace(
        selection=SimpleNamespace(guarantee=SimpleNamespace(void=False)),
        repaired=True,
        tuned=SimpleNamespace(score=score, baseline=MSP, masked=lambda z: z),
    )
    rng = np.random.default_rng(0)

    def draw():
        z = rng.normal(size=(n, 4))
        wrong = rng.uniform(size=n) < risk
        return HeldOut(z, (predict(z) + wrong) % 4)

    def lucky():
        bands = details_module._bands(m, tune, draw(), delta / 2, 0)
        return min(band.upper.min() for band in bands) < risk

    tune = draw()
    exceeded = sum(lucky() for _ in range(draws))
    assert exceeded <= draws * delta + 3 * np.sqrt(draws * delta * (1 - delta))
    assert exceeded > 0  # the limits are not idle


def test_a_page_of_a_thousand_classes_stays_small(tmp_path):
    rng = np.random.default_rng(0)

    def draw():
        labels = rng.integers(0, 1000, 800)
        z = rng.normal(size=(800, 1000)).astype(np.float32)
        z[np.arange(800), labels] += rng.uniform(0, 8, 800)
        return z, labels

    models = {"net": {name: draw() for name in ("tune", "calibrate", "test")}}
    found = recuse.evaluate(models, learned=False)
    detail = details(found, models, classes=[f"class {i}" for i in range(1000)])
    recuse.report(found, tmp_path / "r.html", details=detail)
    assert (tmp_path / "r.html").stat().st_size < 1_300_000
    names = explore.explore(prepare.prepare(found), detail, 0.05, 0.05)["curves"][0]["tables"]
    assert [t["names"][-1][-15:] for t in names] == ["others together"] * 2
