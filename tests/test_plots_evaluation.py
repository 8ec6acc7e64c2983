"""The figures of an evaluation: what they show is counted again in plain loops."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import recuse
import reference_plots_evaluation as slow
from recuse import InputError, plots, scores
from samples import sample
from strategies import TIED, predictions

BISECTED = 1e-9  # an interval's end is found by other means
PROBABILITY = st.sampled_from([0.0, 0.2, 0.25, 0.6, 0.999, 1.0])
CLASS = st.integers(0, 4)

TUNE, CALIBRATE, TEST = (sample(600, seed=seed) for seed in range(3))
Z, Y = TEST
SAID = scores.predict(Z)
SPLITS = {"tune": TUNE, "calibrate": CALIBRATE, "test": TEST}
ONE = recuse.evaluate({"net": SPLITS}, target_risk=0.2)
SCALE = np.random.default_rng(0).lognormal(0, 1, (600, 1))  # hurts MSP, and no norm
SCALED = {name: (SCALE * z, y) for name, (z, y) in SPLITS.items()}
TWO = recuse.evaluate({"net": SPLITS, "scaled": SCALED}, target_risk=0.2)
NONE = recuse.evaluate({"net": SPLITS}, target_risk=0.0005)


def axes():
    figure = pytest.importorskip("matplotlib.figure", reason="pip install 'recuse[plots]'")
    return figure.Figure().subplots()


@pytest.mark.parametrize("name", ["risk_coverage", "confidence", "reliability", "max_logit"])
def test_a_legend_has_a_place_or_says_that_it_looks_for_the_best(name, monkeypatch):
    legend = pytest.importorskip("matplotlib.legend", reason="pip install 'recuse[plots]'").Legend
    much = name in ("risk_coverage", "confidence")  # a point or a bar for each of many
    look, looked, ticks = legend._find_best_position, [], itertools.count()

    def best(self, *args):
        looked.append(1)
        return look(self, *args)

    monkeypatch.setattr(legend, "_find_best_position", best)
    monkeypatch.setattr("time.perf_counter", lambda: 10.0 * next(ticks))  # a slow machine
    ax, figure_of = axes(), getattr(plots, name)
    figure_of.draw(figure_of.of(ONE), ax)
    ax.figure.draw_without_rendering()
    assert not (much and looked)


# Confidence


@given(one=predictions(), bins=st.integers(1, 7))
def test_a_histogram_counts_right_and_wrong_predictions_of_each_bin(one, bins):
    c, l = one
    found = plots.confidence.prepare(c, l, bins=bins)
    assert len(found.edge) == bins + 1
    for count, wrong in ((found.right, False), (found.wrong, True)):
        assert count.tolist() == slow.histogram(c, l, found.edge, wrong)


def test_a_histogram_ends_where_all_but_a_tail_lies_and_holds_the_tail_too():
    c = np.r_[np.arange(1001.0), np.inf, -np.inf, 1e9]
    found = plots.confidence.prepare(c, np.zeros(1004), bins=10)
    np.testing.assert_allclose(found.edge[[0, -1]], np.quantile(c[np.isfinite(c)], [0.002, 0.998]))
    assert found.right.sum() == 1004


@pytest.mark.parametrize("c", [[np.inf, np.inf], [-np.inf, np.inf], [1.0, 1.0]])
def test_a_confidence_without_a_range_has_bins(c):
    found = plots.confidence.prepare(c, [0, 1])
    assert (np.diff(found.edge) > 0).all()
    assert (found.right.sum(), found.wrong.sum()) == (1, 1)


def test_right_ones_stand_and_wrong_ones_hang_each_of_its_own_total():
    ax = axes()
    plots.confidence.draw(plots.confidence.prepare([3.0, 2, 1, 0], [0, 0, 0, 1], bins=2), ax)
    heights = [[bar.get_height() for bar in bars] for bars in ax.containers]
    np.testing.assert_allclose(heights, [[1 / 3, 2 / 3], [-1, 0]])
    assert [bars.get_label() for bars in ax.containers] == ["right, 3", "wrong, 1"]


# Reliability


@given(
    rows=st.lists(st.tuples(PROBABILITY, st.sampled_from([0.0, 1.0])), min_size=1, max_size=20),
    bins=st.integers(1, 12),
)
def test_a_bin_has_its_rates_its_place_and_an_exact_interval(rows, bins):
    q, l = map(list, zip(*rows))
    found = plots.reliability.prepare(q, l, bins=bins)
    expected = slow.reliability(q, l, bins)
    assert found.bins.count.tolist() == [len(losses) for _, losses in expected]
    for i, (number, losses) in enumerate(expected):
        n, right = len(losses), len(losses) - round(sum(losses))
        assert found.bins.accuracy[i] == pytest.approx(right / n)
        assert (found.start[i], found.end[i]) == (number / bins, (number + 1) / bins)
        interval = (found.low[i], found.high[i])
        assert interval == pytest.approx(slow.exact_interval(right, n), abs=BISECTED)
    assert found.share.sum() == pytest.approx(1)


def test_a_diagram_says_the_errors_of_calibration():
    m = ONE["net"]
    found = plots.reliability.of(ONE)
    assert found.ece == m.ece
    assert found.smooth_ece == recuse.calibration.smooth_ece(m.probability, m.loss)
    ax = axes()
    plots.reliability.draw(found, ax)
    assert f"ECE {m.ece:.3f}" in ax.get_legend().get_texts()[1].get_text()


def test_a_diagram_draws_observed_against_stated_and_its_intervals():
    rng = np.random.default_rng(0)
    q = rng.uniform(0.2, 1, 500)
    found, ax = plots.reliability.prepare(q, rng.random(500) > q**2), axes()
    plots.reliability.draw(found, ax)
    dots, _, (bars,) = ax.containers[-1]
    np.testing.assert_array_equal(dots.get_xdata(), found.bins.probability)
    np.testing.assert_array_equal(dots.get_ydata(), found.bins.accuracy)
    ends = np.array([line[:, 1] for line in bars.get_segments()])
    np.testing.assert_allclose(ends, np.transpose([found.low, found.high]))
    heights = [bar.get_height() for bar in ax.patches]
    np.testing.assert_allclose(heights, found.share)


def test_each_class_is_drawn_at_its_rate_with_its_interval():
    rates, ax = plots.per_class.of(ONE, Y).risk, axes()
    plots.per_class.draw(rates, ax)
    dots, _, (bars,) = ax.containers[0]
    some = ~np.isnan(rates.value)
    np.testing.assert_array_equal(dots.get_xdata(), rates.value[some])
    np.testing.assert_array_equal(dots.get_ydata(), np.flatnonzero(some))
    ends = np.array([line[:, 0] for line in bars.get_segments()])
    np.testing.assert_allclose(ends, np.transpose([rates.low, rates.high])[some])
    assert [name.get_text() for name in ax.get_yticklabels()] == list(rates.classes)


def test_a_calibrated_model_lies_within_most_intervals():
    rng, inside, of = np.random.default_rng(0), 0, 0
    for _ in range(100):
        q = rng.choice([0.1, 0.5, 0.9, 0.97], size=200)
        found = plots.reliability.prepare(q, rng.uniform(size=200) > q)
        stated = found.bins.probability
        inside += ((found.low <= stated) & (stated <= found.high)).sum()
        of += stated.size
    assert 0.95 <= inside / of < 1  # exact intervals cover 95 % or more; four in a hundred may not


# Confusion


@given(
    rows=st.lists(st.tuples(CLASS, CLASS, st.booleans()), min_size=1, max_size=25),
    most=st.integers(1, 6),
)
def test_a_matrix_counts_what_was_said_of_each_class_and_abstentions(rows, most):
    y, said, accept = (np.array(column) for column in zip(*rows))
    found = plots.confusion.prepare(y, said, accept, most=most)
    classes = range(max(*y, *said) + 1)
    errors = [sum(a != b and k in (a, b) for a, b, _ in rows) for k in classes]
    kept = slow.most_wrong(errors, most)
    left = len(classes) - len(kept)
    names = [str(k) for k in kept] + ([f"{left} others together"] if left else [])
    assert found.classes == tuple(names)
    assert found.counts.tolist() == slow.confusion(*map(list, zip(*rows)), kept, left > 0)


def test_a_matrix_of_an_evaluation_abstains_where_the_threshold_does():
    m = ONE["net"]
    found = plots.confusion.of(ONE, Y, SAID, classes="abcde")
    assert found.classes == tuple("abcde")
    assert found.counts[:, :-1].sum() == m.accepted
    assert found.counts[:, :-1].sum() - np.trace(found.counts) == m.errors
    assert found.counts[:, -1].sum() == m.n - m.accepted
    np.testing.assert_allclose(found.share.sum(axis=1), 1)


def test_without_a_threshold_all_is_abstained():
    found = plots.confusion.of(NONE, Y, SAID)
    assert found.counts[:, -1].sum() == len(Y)
    ax = axes()
    plots.per_class.draw(plots.per_class.of(NONE, Y).risk, ax)
    assert [t.get_text().strip() for t in ax.texts] == ["nothing accepted"] * 5
    assert plots.confidence.of(NONE).threshold is None
    assert plots.risk_coverage.of(NONE)[-1].at_threshold is None


def test_every_count_is_written_on_its_cell():
    ax = axes()
    data = plots.confusion.of(ONE, Y, SAID)
    plots.confusion.draw(data, ax)
    for text in ax.texts:
        j, i = text.get_position()
        assert text.get_text() == f"{data.counts[i, j]:,}"
    assert len(ax.texts) == (data.counts > 0).sum()


@pytest.mark.parametrize("n", [7, 123_456])
@pytest.mark.parametrize("classes", [2, 16])
def test_no_number_is_wider_than_its_cell(n, classes):
    data = plots.confusion.Confusion(
        tuple(map(str, range(classes))), np.full((classes, classes + 1), n)
    )
    ax = axes()
    plots.confusion.draw(data, ax)
    cell = ax.get_window_extent().width / (classes + 1)
    assert max(text.get_window_extent().width for text in ax.texts) < cell


def test_a_class_without_examples_has_a_row_of_zeros():
    found = plots.confusion.prepare([0, 2], [0, 1], [True, True])
    assert found.share.tolist() == [[1, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]]


# Per class


@given(
    rows=st.lists(st.tuples(CLASS, st.booleans(), st.booleans()), min_size=1, max_size=20),
    most=st.integers(1, 5),
)
def test_each_class_has_its_rates_and_exact_intervals(rows, most):
    g, accept, loss = (np.array(column) for column in zip(*rows))
    found = plots.per_class.prepare(accept, loss, g, most=most)
    there = sorted(set(g.tolist()))
    kept = slow.most_wrong([sum(loss[g == k]) for k in there], most)
    parts = [g == there[i] for i in kept]
    if left := len(there) - len(kept):
        parts.append(~np.logical_or.reduce(parts))
        assert found.risk.classes[-1] == f"{left} others together"
    assert found.risk.classes[: len(kept)] == tuple(str(there[i]) for i in kept)
    for i, part in enumerate(parts):
        n, a, e = part.sum(), accept[part].sum(), loss[part & accept].sum()
        for rates, k, of in ((found.coverage, a, n), (found.risk, e, a)):
            np.testing.assert_allclose(rates.value[i], k / of if of else np.nan)
            expected = slow.exact_interval(int(k), int(of)) if of else (0, 1)
            assert (rates.low[i], rates.high[i]) == pytest.approx(expected, abs=BISECTED)
    assert found.coverage.overall == pytest.approx(accept.mean())


def test_classes_of_an_evaluation_add_up_to_it():
    m, found = ONE["net"], plots.per_class.of(ONE, Y, classes="abcde")
    assert found.coverage.classes == tuple("abcde")
    assert found.coverage.overall == m.accepted / m.n
    assert found.risk.overall == m.errors / m.accepted
    assert found.coverage.value @ np.bincount(Y) == pytest.approx(m.accepted)


def test_groups_may_be_text_and_names_are_of_the_classes_that_occur():
    site = np.where(np.arange(len(Y)) % 3, "north", "south")
    assert plots.per_class.of(ONE, site).risk.classes == ("north", "south")
    found = plots.per_class.prepare([True, True], [0, 1], [3, 1], classes="abcd")
    assert found.risk.classes == ("b", "d")


# Of an evaluation


def test_curves_are_of_all_models_before_and_after_their_repair():
    found = {curve.name: curve for curve in plots.risk_coverage.of(TWO)}
    for m in TWO.models:
        assert found[f"{m.name}, MSP"].aurc == m.before.aurc
        last = f"{m.name}, {m.tuned.score}" if m.repaired else f"{m.name}, MSP"
        assert found[last].aurc == m.after.aurc
        assert found[last].at_threshold == (m.accepted / m.n, m.errors / m.accepted)
    assert any(m.repaired for m in TWO.models)
    assert len(found) == sum(1 + m.repaired for m in TWO.models)


def test_the_maximum_logit_of_an_evaluation_is_that_of_its_logits():
    found, expected = plots.max_logit.of(ONE["net"]), plots.max_logit.prepare(Z, Y)
    for a, b in zip(found[:2], expected[:2]):
        np.testing.assert_array_equal(a, b)


def test_predictions_without_a_maximum_logit_are_left_out():
    from dataclasses import replace

    m = ONE["net"]
    some = np.arange(m.n) % 2 == 0
    odd = replace(m, max_logit=np.where(some, m.max_logit, np.inf))
    expected = replace(
        m, **{name: getattr(m, name)[some] for name in ("max_logit", "msp", "loss", "confidence")}
    )
    for a, b in zip(plots.max_logit.of(odd)[:2], plots.max_logit.of(expected)[:2]):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(InputError, match="'net': expected finite logits"):
        plots.max_logit.of(replace(m, max_logit=np.full(m.n, np.inf)))


def test_the_confidence_of_an_evaluation_is_its_score_with_its_threshold():
    m, found = ONE["net"], plots.confidence.of(ONE)
    assert found.threshold == m.selection.threshold
    assert found.wrong.sum() == m.loss.sum()
    assert found.score.startswith(m.tuned.score.name if m.repaired else "MSP")


FIGURES = {
    "risk_coverage": lambda x: plots.risk_coverage.of(x),
    "max_logit": lambda x: plots.max_logit.of(x),
    "confidence": lambda x: plots.confidence.of(x),
    "reliability": lambda x: plots.reliability.of(x),
    "confusion": lambda x: plots.confusion.of(x, Y, SAID),
    "per_class": lambda x: plots.per_class.of(x, Y).coverage,
}


def test_every_figure_of_an_evaluation_is_here():
    assert {name for name in plots.__all__ if hasattr(getattr(plots, name), "of")} == set(FIGURES)


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("evaluation", [ONE, TWO["scaled"], NONE], ids=["one", "of two", "none"])
def test_an_evaluation_is_drawn_on_the_given_axes(name, evaluation):
    import io

    ax = axes()
    assert getattr(plots, name).draw(FIGURES[name](evaluation), ax) is None
    ax.figure.savefig(io.BytesIO(), format="svg")
    assert "" not in (ax.get_xlabel(), ax.get_ylabel())


DOLLARS = "a${b$"  # no formula
CLASSES = [DOLLARS, "$x$", "c", "d", "e"]
PAIR = {DOLLARS: (ONE["net"].confidence, ONE["net"].loss)}
NAMED = {
    "risk_coverage": lambda ax: plots.risk_coverage.draw(plots.risk_coverage.prepare(PAIR), ax),
    "confusion": lambda ax: plots.confusion.draw(
        plots.confusion.of(ONE, Y, SAID, classes=CLASSES), ax
    ),
    "per_class": lambda ax: plots.per_class.draw(
        plots.per_class.of(ONE, Y, classes=CLASSES).risk, ax
    ),
    "errors": lambda ax: plots.errors.draw(plots.errors.prepare(PAIR, of=DOLLARS), ax),
    "confidence": lambda ax: plots.confidence.draw(
        plots.confidence.prepare(*PAIR[DOLLARS], score=DOLLARS), ax
    ),
    "over_alpha": lambda ax: plots.over_alpha.draw(
        found := plots.over_alpha.prepare(recuse.evaluation.pick({DOLLARS: TEST, "b": TEST})),
        found.panels[0],
        ax,
    ),
    "templates": lambda ax: plots.templates.draw(
        plots.templates.prepare(Z, np.eye(5), Y, (0, 1, 2)), ax, names=CLASSES[:3]
    ),
}


@pytest.mark.parametrize("name", NAMED)
def test_a_name_with_dollars_is_no_formula(name):
    import io

    ax = axes()
    NAMED[name](ax)
    ax.figure.savefig(io.BytesIO(), format="svg")


@pytest.mark.parametrize("name", sorted(set(FIGURES) - {"risk_coverage"}))
def test_a_figure_of_one_model_wants_one(name):
    with pytest.raises(
        InputError, match=r"one model, such as evaluation\['net'\], got net, scaled"
    ):
        FIGURES[name](TWO)


@pytest.mark.parametrize("name", FIGURES)
def test_what_is_no_evaluation_is_refused(name):
    with pytest.raises(InputError, match="an Evaluation or one of its models, got dict"):
        FIGURES[name]({"net": SPLITS})


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: plots.confusion.of(ONE, np.roll(Y, 1), SAID), "split evaluated, got others"),
        (lambda: plots.confusion.of(ONE, Y[1:], SAID), "one shape"),
        (lambda: plots.confusion.of(ONE, Y, SAID, classes="abc"), "5 classes or more, got 3"),
        (lambda: plots.confusion.prepare([0.5], [0], [True]), "`labels` as integers >= 0"),
        (
            lambda: plots.confusion.prepare([0], [-1], [True]),
            "`predicted` as .*, got .* -1",
        ),
        (lambda: plots.confusion.prepare([0], [0], [1]), "`accept` as booleans, got int64"),
        (lambda: plots.confusion.prepare([], [], []), "one shape"),
        (lambda: plots.confusion.prepare([0], [0], [True], most=0), "`most` >= 1, got 0"),
        (lambda: plots.per_class.of(ONE, Y[1:]), "got \\(599,\\) and \\(600,\\)"),
        (lambda: plots.per_class.prepare([True], [0.5], [0]), "0 and 1"),
        (lambda: plots.per_class.prepare([1], [0], [0]), "`accepted` as booleans"),
        (lambda: plots.per_class.prepare([True], [0], [-1], classes="ab"), "`groups` as integers"),
        (lambda: plots.reliability.prepare([1.5], [0]), r"`probability` in \[0, 1\]"),
        (lambda: plots.reliability.prepare([0.5], [0], bins=0), "`bins` as an integer >= 1"),
        (lambda: plots.confidence.prepare([np.nan], [0]), "without NaN"),
        (lambda: plots.confidence.prepare([0.5], [0], bins=0), "`bins` as an integer >= 1"),
    ],
)
def test_what_cannot_be_counted_is_refused(call, word):
    with pytest.raises(InputError, match=word):
        call()


@given(one=predictions(), threshold=TIED)
def test_a_threshold_is_drawn_where_it_is(one, threshold):
    ax = axes()
    plots.confidence.draw(plots.confidence.prepare(*one, threshold=threshold), ax)
    assert ax.lines[-1].get_xdata()[0] == threshold
