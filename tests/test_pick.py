import re
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

import recuse
import reference_pick as slow_pick
import reference_plots as slow
from answers import plain
from learnable import with_information
from recuse import InputError, calibration, intervals, scores
from recuse._internal.files import to_json
from recuse.evaluation import pick
from recuse.evaluation._pick import _Options, _repaired, mid_ranks
from recuse.io import HeldOut
from samples import pixels, sample
from strategies import TIED

Z, Y = sample(600)


def noisy(z, scale, seed=1):
    return z + scale * np.random.default_rng(seed).normal(size=z.shape).astype(z.dtype)


CANDIDATES = [
    scores.Score("logit_norm", {"p": p, "center": center})
    for p in (1, 2, 4, 10)
    for center in (True, False)
] + [scores.Score(name) for name in ("margin", "entropy", "max_logit", "energy")]
W, V = noisy(Z, 1.0), noisy(Z, 0.1, 2)


def smoothed(n, seed, bend=1.0):
    """Logits whose size tells wrong from right better than their softmax does."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 5, n)
    z = rng.normal(size=(n, 5)) * 0.7
    z[np.arange(n), y] += rng.choice([0.3, 3.0], n)
    wrong = z.argmax(axis=1) != y
    top = z.max(axis=1, keepdims=True)
    return np.where(z == top, z, z - bend * rng.uniform(size=z.shape) * wrong[:, None]), y


@given(x=st.lists(TIED, min_size=1, max_size=20))
def test_mid_ranks_count_those_below_and_half_of_the_equal(x):
    n = len(x)
    expected = [Fraction(2 * sum(a < b for a in x) + sum(a == b for a in x), 2 * n) for b in x]
    assert mid_ranks(x).tolist() == pytest.approx([float(e) for e in expected])


def test_every_number_is_that_of_its_own_function():
    found = pick({"a": (Z, Y), "b": (W, Y)})
    for name, z in (("a", Z), ("b", W)):
        m, loss, c = found[name], (z.argmax(axis=1) != Y) * 1.0, scores.msp(z)
        q = scores.as_probability(c)
        assert m.accuracy.value == pytest.approx((z.argmax(axis=1) == Y).mean())
        assert m.accuracy.error == pytest.approx(loss.std(ddof=1) / np.sqrt(600))
        assert m.ece.value == pytest.approx(calibration.ece(q, loss))
        assert m.ece.error == pytest.approx(calibration.standard_error(q, loss, calibration.ece))
        assert m.msp.aurc.value == pytest.approx(recuse.aurc(c, loss))
        assert m.msp.aurc.error == pytest.approx(intervals.standard_error(c, loss))
        for risk, at in m.msp.coverage.items():
            assert at.value == recuse.coverage_at_risk(c, loss, risk)
        assert m.errors == loss.sum()
        assert (m.classes, m.gap) == (5, None)
    assert (found.n, found.groups, found.matched_by) == (600, None, "rows")


def test_without_a_repair_both_rankings_are_those_of_msp():
    found = pick({"a": (Z, Y), "b": (W, Y)})
    for m in found.models:
        assert [s.name for s in m.scores] == ["msp", "msp"]
        assert m.repaired == m.msp


def test_each_half_is_ranked_by_the_score_chosen_on_the_other():
    z, y = smoothed(3000, 0)
    file = HeldOut(z, y)
    confidence, chosen = _repaired(file, scores.msp(z), _Options("logits", 0))
    assert {s.name for s in chosen} != {"msp"}
    halves = recuse.io.split_rows(
        replace(file, ids=np.arange(3000)), {"one": 0.5, "other": 0.5}, seed=0
    )
    one, other = halves["one"], halves["other"]
    assert chosen == tuple(recuse.tune(h.logits, h.labels).score for h in (other, one))
    if chosen[0] == chosen[1]:
        np.testing.assert_array_equal(confidence, chosen[0](z))
    else:
        for half, score in zip((one, other), chosen):
            np.testing.assert_array_equal(confidence[half.ids], mid_ranks(score(half.logits)))


def test_scores_of_two_scales_are_joined_by_rank(monkeypatch):
    from recuse.evaluation import _pick

    z, y = smoothed(400, 0)
    answers = iter([scores.Score("msp"), scores.Score("logit_norm", {"p": 3})])
    monkeypatch.setattr(_pick, "tune", lambda *_, **__: type("Tuned", (), {"score": next(answers)}))
    confidence, chosen = _repaired(HeldOut(z, y), scores.msp(z), _Options("logits", 0))
    assert [s.name for s in chosen] == ["msp", "logit_norm"]
    assert 0 < confidence.min() < 0.01
    assert 0.99 < confidence.max() < 1
    assert np.sort(confidence).tolist() == pytest.approx((np.arange(400) // 2 + 0.5) / 200)


def test_scores_fitted_to_each_half_are_joined_by_rank_and_said_to_be_fitted():
    z, y = with_information(3000, 0)
    found = pick({"a": (z, y), "b": (noisy(z, 0.01), y)})
    assert [s.name for s in found["a"].scores] == ["learned", "learned"]
    confidence, chosen = _repaired(HeldOut(z, y), scores.msp(z), _Options("logits", 0))
    assert chosen[0] != chosen[1]
    assert 0 < confidence.min() < confidence.max() < 1
    assert "a: learned (fitted anew for each half);" in " ".join(str(found).split())
    assert found["a"].to_dict()["repaired_by"] == ["learned", "learned"]


@pytest.mark.validity
def test_the_repaired_aurc_is_not_optimistic(monkeypatch):
    """Where no score tells right from wrong, AURC is the error rate, however the score is chosen.

    A `tune` that always takes the best of its candidates, so that there is much to be chosen.
    """
    from recuse.evaluation import _pick

    def greedy(file, **_):
        z, y = file.logits, file.labels
        loss = (z.argmax(axis=1) != y) * 1.0
        scored = [(recuse.aurc(s(z), loss), s) for s in CANDIDATES]
        return type("Tuned", (), {"score": min(scored, key=lambda pair: pair[0])[1]})

    monkeypatch.setattr(_pick, "tune", greedy)
    crossed, in_sample = [], []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        z = rng.normal(size=(200, 5))
        loss = (rng.uniform(size=200) < 0.3) * 1.0
        y = (z.argmax(axis=1) + loss.astype(int)) % 5
        confidence, _ = _repaired(HeldOut(z, y), scores.msp(z), _Options("logits", seed))
        crossed.append(recuse.aurc(confidence, loss) - loss.mean())
        in_sample.append(recuse.aurc(greedy(HeldOut(z, y)).score(z), loss) - loss.mean())
    error = np.std(crossed) / 10
    assert abs(np.mean(crossed)) < 2.5 * error
    assert np.mean(in_sample) < -2.5 * error


@pytest.mark.validity
def test_the_truly_best_is_among_those_not_significantly_worse():
    """Four equally good models: each is left out in fewer than 5 % of draws."""
    left_out, draws = 0, 200
    for seed in range(draws):
        z, y = sample(300, seed=seed)
        rng = np.random.default_rng(seed)
        loss_and_confidence = {}
        for name in "abcd":
            w = z + 0.7 * rng.normal(size=z.shape)
            loss_and_confidence[name] = scores.msp(w), (w.argmax(axis=1) != y) * 1.0
        areas = {k: recuse.aurc(c, l) for k, (c, l) in loss_and_confidence.items()}
        best = min(areas, key=areas.get)
        rows = intervals.compare_all(loss_and_confidence, baseline=best).rows
        left_out += any(r.name == "a" and r.p_adjusted < 0.05 for r in rows)
    assert left_out <= draws * 0.05 + 2.5 * np.sqrt(draws * 0.05 * 0.95)


def test_a_clearly_worse_model_is_told_from_the_best_and_an_equal_one_is_not():
    found = pick({"a": (Z, Y), "worse": (W, Y), "alike": (V, Y)})
    best = found.best.name
    assert best in ("a", "alike")
    assert found.not_significantly_worse == (({"a", "alike"} - {best}).pop(),)
    assert "worse (5 %, Holm): worse (" in found.answer
    assert re.search(r"in AURC x 1000, 95 % interval [0-9.]+ to [0-9.]+\)", found.answer)
    rows = {r.name: r for r in found.comparisons.rows}
    c, l = scores.msp(W), (W.argmax(axis=1) != Y) * 1.0
    z = {"a": Z, "alike": V}[best]
    expected = intervals.compare(c, l, scores.msp(z), (z.argmax(axis=1) != Y) * 1.0)
    assert rows["worse"].comparison.difference == pytest.approx(expected.difference)
    assert rows["worse"].p_adjusted == pytest.approx(
        intervals.holm([r.comparison.p_value for r in found.comparisons.rows])[
            list(rows).index("worse")
        ]
    )


POINTS = st.tuples(st.sampled_from([0.8, 0.9, 0.95]), st.sampled_from([0.01, 0.02, 0.03]))


@given(points=st.lists(POINTS, min_size=2, max_size=6))
def test_the_front_holds_those_that_no_other_beats(points):
    base = pick({"a": (Z[:60], Y[:60]), "b": (W[:60], Y[:60])})
    models = []
    for i, (accuracy, area) in enumerate(points):
        m = base.models[0]
        ranking = replace(m.repaired, aurc=m.repaired.aurc._replace(value=area))
        point = m.accuracy._replace(value=accuracy)
        models.append(replace(m, name=str(i), accuracy=point, repaired=ranking))
    found = replace(base, models=tuple(models))
    named = {str(i): point for i, point in enumerate(points)}
    assert set(found.front) == slow.front(named)
    assert found.best_by("accuracy").accuracy.value == max(a for a, _ in points)
    assert found.best_by("aurc").repaired.aurc.value == min(b for _, b in points)
    assert {found.best_by(by).name for by in ("aurc", "accuracy")} <= set(found.front)


def test_the_criterion_picks():
    two = {"a": (Z, Y), "b": (W, Y)}
    for by in ("aurc", "accuracy", "coverage@0.2"):
        found = pick(two, criterion=by)
        assert found.best.name == "a"
        assert found.answer.startswith(f"Choose a by {by.replace('aurc', 'AURC')}. a ")
    assert found.risks == (0.01, 0.05, 0.2)
    assert "a has the largest coverage at 20 % risk (" in found.answer


def test_every_criterion_comes_with_the_interval_of_the_distance_and_a_verdict():
    models = {"a": (Z, Y), "worse": (W, Y), "alike": (V, Y)}
    found = pick(models, criterion="accuracy")
    best = found.best.name
    right = {name: z.argmax(axis=1) == y for name, (z, y) in models.items()}
    for d in found.behind("accuracy"):
        told = (d.value, d.standard_error, d.low, d.high)
        expected = slow_pick.difference_of_accuracy(right[d.name], right[best])
        assert told == pytest.approx(expected, rel=1e-5)
    assert [d.significant for d in found.behind("accuracy")] == [
        d.name == "worse" for d in found.behind("accuracy")
    ]
    alike = next(d for d in found.behind("accuracy") if d.name != "worse")
    said = f"{best} is the most accurate ({100 * right[best].mean():.1f} %); "
    said += "not significantly ahead of "
    said += (
        f"{alike.name} ({-100 * alike.value:.1f} points, 95 % interval {-100 * alike.high:.1f} to "
    )
    assert said in found.answer
    assert " points, 95 % interval " in found.answer.partition("Holm): worse (")[2]


def test_a_coverage_is_compared_by_its_paired_interval():
    found = pick({"a": (Z, Y), "b": (W, Y)}, criterion="coverage@0.1")
    (d,) = found.behind("coverage@0.1")
    pair = [(scores.msp(z), (z.argmax(axis=1) != Y) * 1.0) for z in (W, Z)]
    expected = intervals.compare(*pair[0], *pair[1], intervals.coverage_at(0.1))
    assert (d.value, d.low, d.high) == pytest.approx(
        (expected.difference, expected.low, expected.high)
    )
    assert found.to_dict()["compared_with_the_pick"]["b"]["value"] == d.value
    assert d.significant
    assert f"b ({-100 * d.value:.1f} points, 95 % interval " in found.answer


def test_a_distance_without_a_standard_error_is_said_to_have_none():
    found = pick({"a": (Z, Y), "b": (W, Y)}, criterion="coverage@0.9")  # both cover everything
    assert "a has the largest coverage at 90 % risk (100.0 %); equal to it: b. " in found.answer
    found = pick({"a": (Z, Y), "b": (W, Y)}, criterion="coverage@0.2")
    assert "no test of its lead over b (" in found.answer
    assert "points, without a standard error)" in found.answer


def test_accuracy_alone_is_ahead_by_an_interval():
    rng = np.random.default_rng(0)
    shuffled = Z * np.where(rng.random(len(Z)) < 0.5, 0.01, 1.0)[:, None]  # right, but unsure
    wrong = np.where(rng.random(len(Z))[:, None] < 0.01, -Z, Z)
    found = pick({"a": (wrong, Y), "unsure": (shuffled, Y)})
    assert (found.best.name, found.best_by("accuracy").name) == ("a", "unsure")
    d = next(iter(found.behind("accuracy")))
    size = f"{-100 * d.value:.1f} points, 95 % interval "
    assert f"By accuracy alone the choice would be unsure, ahead of a ({size}" in found.answer


@pytest.mark.parametrize("gap", [0.3, -0.3])
def test_a_training_accuracy_is_above_or_below_in_points(gap):
    found = pick({"a": (Z, Y), "b": (W, Y)})
    models = [replace(m, gap=m.ece._replace(value=gap, error=0.01)) for m in found.models]
    side = "above" if gap > 0 else "below"
    assert f", training 30.0 +- 1.0 points {side}," in str(replace(found, models=tuple(models)))


def test_of_probabilities_nothing_but_msp_is_tried(tmp_path):
    z, y = with_information(600, 0)
    logits = pick({"a": (z, y), "b": (2 * z, y)})
    assert {str(s) for m in logits.models for s in m.scores} != {"msp"}
    odds = [np.exp(t.astype(np.float64)) for t in (z, 2 * z)]
    for name, o in zip("ab", odds):
        recuse.write_logits(tmp_path / f"{name}.npz", o / o.sum(axis=1, keepdims=True), y)
    found = pick({name: tmp_path / f"{name}.npz" for name in "ab"}, kind="probs")
    assert {str(s) for m in found.models for s in m.scores} == {"msp"}
    assert found["a"].msp.aurc.value == pytest.approx(logits["a"].msp.aurc.value)


def test_the_gap_is_training_accuracy_minus_this_one():
    z, y = sample(500, seed=9)
    y = z.argmax(axis=1)
    found = pick({"a": (Z, Y), "b": (W, Y)}, train={"b": (z, y)})
    assert found["a"].gap is None
    assert found["b"].gap.value == pytest.approx(1 - found["b"].accuracy.value)
    assert found["b"].gap.error == pytest.approx(found["b"].accuracy.error)
    assert "training" in str(found)


def test_groups_widen_the_errors_and_stay_whole():
    groups = np.arange(600) // 6
    p = {k: softmax(z, axis=1) for k, z in (("a", Z), ("b", W))}  # MSP is kept
    of = {k: recuse.from_arrays(p[k], Y, kind="probs", groups=groups, name=k) for k in p}
    found, alone = pick(of), pick({k: recuse.from_arrays(p[k], Y, kind="probs") for k in p})
    assert found.groups == 100
    assert found["a"].msp.aurc.value == alone["a"].msp.aurc.value
    assert found["a"].msp.aurc.error != alone["a"].msp.aurc.error
    expected = intervals.compare(
        *(x for k in "ba" for x in (scores.msp(of[k].logits), of[k].loss)), groups=groups
    )
    assert found.comparisons.rows[0].comparison.standard_error == expected.standard_error


def test_ids_match_rows_in_any_order_and_no_number_depends_on_it():
    z, y = smoothed(800, 0)
    w, ids = noisy(z, 0.3), np.arange(800)
    expected = pick({"a": HeldOut(z, y, ids=ids), "b": HeldOut(w, y, ids=ids)})
    for seed in range(2):
        rng = np.random.default_rng(seed)
        i, j = rng.permutation(800), rng.permutation(800)
        found = pick({"a": HeldOut(z[i], y[i], ids=ids[i]), "b": HeldOut(w[j], y[j], ids=ids[j])})
        assert found.matched_by == "ids"
        assert found.to_dict() == expected.to_dict()
    same = np.random.default_rng(5).permutation(800)
    by_row = pick({"a": (z[same], y[same]), "b": (w[same], y[same])})
    assert by_row.to_dict() == pick({"a": (z, y), "b": (w, y)}).to_dict()


def test_images_are_matched_whole_and_are_the_groups():
    z, y = pixels(20)
    w = noisy(z, 1.0)
    y[:, 0] = 255
    order = np.random.default_rng(1).permutation(20)
    void = {"ignore_index": 255}
    found = pick(
        {
            "a": HeldOut(z, y, ids=np.arange(20), **void),
            "b": HeldOut(w[order], y[order], ids=order, **void),
        }
    )
    assert (found.n, found.groups) == (600, 20)
    kept = y != 255
    assert found["b"].accuracy.value == pytest.approx((w.argmax(axis=1) == y)[kept].mean())


def test_files_are_read_one_by_one(tmp_path):
    recuse.write_logits(tmp_path / "a.npz", Z, Y)
    found = pick({"a": tmp_path / "a.npz", "b": lambda: HeldOut(W, Y)})
    assert found.to_dict() == pick({"a": (Z, Y), "b": (W, Y)}).to_dict()


def test_what_is_undefined_is_null_with_a_reason():
    loss_free = np.eye(3)[np.tile([0, 1, 2], 30)] * 5
    y = np.tile([0, 1, 2], 30)
    found = pick({"a": (loss_free, y), "b": (loss_free * 2, y)})
    data = plain(to_json(found.to_dict()))
    coverage = data["models"][0]["msp"]["coverage_at_risk"]["0.01"]
    assert coverage["value"] == 1
    assert coverage["standard_error"] is None
    assert "nothing varies" in coverage["reason"]["standard_error"]
    gap = data["models"][0]["gap"]
    assert gap == {"value": None, "reason": {"value": "no training logits"}}
    assert found.not_significantly_worse == ("b",)
    assert "Fewer than 20 errors (a, b)" in str(found)


def with_coverage(found, **pairs):
    """The same pick, with coverages at 1 % risk under MSP and repaired put in."""
    models = []
    for m in found.models:
        before, after = (m.ece._replace(value=x) for x in pairs[m.name])
        msp, repaired = (
            replace(ranking, coverage={0.01: x})
            for ranking, x in ((m.msp, before), (m.repaired, after))
        )
        models.append(replace(m, msp=msp, repaired=repaired))
    return replace(found, models=tuple(models))


def test_the_collapse_of_msp_is_said_where_the_repair_undoes_it():
    found = pick({"a": (Z, Y), "b": (W, Y)}, risks=(0.01,))
    said = with_coverage(found, a=(0.5, 0.5), b=(0.001, 0.45)).answer
    assert "Do not rank b by MSP: at 1 % risk its coverage is 0.1 %, against 50.0 %" in said
    assert "of another model; repaired it is 45.0 %." in said
    for b in ((0.4, 0.45), (0.001, 0.001)):
        assert "Do not rank" not in with_coverage(found, a=(0.5, 0.5), b=b).answer


@pytest.mark.parametrize(
    ("models", "options", "word"),
    [
        ({"a": (Z, Y)}, {}, "at least two models"),
        ([(Z, Y), (W, Y)], {}, 'expected models by name, as {"0": ..., "0.1": ...}, got a list'),
        ({"a": (Z, Y), "b": (W, Y)}, {"train": [(Z, Y)]}, "training logits by name, .* got a list"),
        (
            {"a": (Z, Y), "b": (W, Y)},
            {"train": {"a": sample(50, 7)}},
            "5 classes, as held-out, got 7",
        ),
        ({"a": (Z, Y), "b": (W, Y)}, {"seed": -1}, "`seed` as an integer >= 0, got -1"),
        ({"a": Z, "b": W}, {}, r"a: expected \(outputs, labels\) or a HeldOut, got"),
        ({"a": (Z,), "b": (W, Y)}, {}, r"a: expected \(outputs, labels\) or a HeldOut, got"),
        ({"a": (Z, Y), "b": (W, Y)}, {"train": {"c": (Z, Y)}}, "of a, b, got 'c'"),
        (
            {"a": (Z, Y), "b": (W, Y)},
            {"train": {"a": (Z, Y)}},
            "a .training.: expected training logits of other",
        ),
        (
            {"a": (Z, Y), "b": (W, Y)},
            {"criterion": "loss"},
            "aurc, accuracy or coverage@0.05, got 'loss'",
        ),
        (
            {"a": (Z, Y), "b": (W, Y)},
            {"criterion": "coverage@5"},
            r"coverage@risk` in \[0, 1\], got 5",
        ),
        ({"a": (Z, Y), "b": (W, Y)}, {"risks": (2,)}, r"`risk` in \[0, 1\], got 2"),
        ({"a": (Z, Y), "b": (W[:-1], Y[:-1])}, {}, "the same examples in a and b"),
        ({"a": (Z, Y), "b": (W, np.roll(Y, 1))}, {}, "labels that differ"),
        ({"a": (Z, Y), "b": HeldOut(W, name="b")}, {}, "b: expected `labels`"),
    ],
)
def test_what_cannot_be_picked_from_is_refused(models, options, word):
    with pytest.raises(InputError, match=word):
        pick(models, **options)


def test_nothing_given_is_changed():
    z, y = Z.copy(), Y.copy()
    pick({"a": (z, y), "b": (W, Y)})
    np.testing.assert_array_equal(z, Z)
    np.testing.assert_array_equal(y, Y)


def test_a_risk_of_many_digits_is_a_criterion_too():
    z, y = with_information(400, 0)
    found = pick({"a": (z, y), "b": (2 * z, y)}, criterion="coverage@0.3333333333333333")
    assert found.best.name in ("a", "b")


def test_an_equal_model_is_no_alternative_and_is_called_the_same():
    found = pick({"a": (Z, Y), "b": (Z, Y), "c": (W, Y)})
    assert found.same == found.to_dict()["same"] == {"b": "a"}
    assert "More accurate" not in found.answer
    assert "b and a have the same confidence and the same errors in every row" in str(found)
    assert pick({"a": (Z, Y), "c": (W, Y)}).same == {}
