import subprocess
import sys

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import recuse
import reference
import reference_plots as slow
from recuse import InputError, plots, scores
from recuse.curves import risk_coverage
from samples import masked, pixels, sample
from strategies import TIED, predictions
from strategies import logits as some_logits

ROUNDING = 1e-9  # of means and deviations of numbers below 100, relative to their spread
FLOAT32 = 1e-5  # the scores round once to float32

mpl = pytest.importorskip("matplotlib", reason="needs matplotlib: pip install 'recuse[plots]'")
style = pytest.importorskip("matplotlib.style")
colors = pytest.importorskip("matplotlib.colors")

Z, Y = sample(2000, classes=6)


def axes(name="default"):
    """Axes of a figure that no global state knows."""
    from matplotlib.figure import Figure

    with style.context(name):
        return Figure().subplots()


# Figure 18


def test_impossible_classes_have_no_rank():
    z = masked(np.random.default_rng(0).normal(size=(60, 5)))
    z[:, 4] = -np.inf
    z = z[(z > -np.inf).any(axis=1)]
    rows = [sorted((x for x in row if x > -np.inf), reverse=True) for row in z.tolist()]
    for center in (False, True):
        means = [sum(row) / len(row) if center else 0 for row in rows]
        at = [[r[k] - m for r, m in zip(rows, means) if len(r) > k] for k in range(4)]
        found = plots.sorted_logits.prepare(z, p=3, center=center)
        assert found.logits.mean == pytest.approx([np.mean(values) for values in at])
        assert found.power.sd == pytest.approx([np.std(np.power(values, 3)) for values in at])
        assert found.exponential.mean == pytest.approx([np.mean(np.exp(v)) for v in at])
        assert found.logits.mean.shape == (4,)


@given(z=some_logits(), p=st.sampled_from([1, 2, 5]), center=st.booleans())
def test_sorted_logits_are_moments_over_predictions_at_each_rank(z, p, center):
    found = plots.sorted_logits.prepare(z, p=p, center=center)
    for got, function in zip(found, (lambda x: x, lambda x: x**p, np.exp)):
        expected = np.array(slow.by_rank(z.tolist(), function, center))
        size = np.abs(expected).max() + 1
        np.testing.assert_allclose(got.mean / size, expected[:, 0] / size, atol=ROUNDING)
        np.testing.assert_allclose(got.sd / size, expected[:, 1] / size, atol=ROUNDING)


def test_pixels_are_predictions_and_nothing_is_changed_in_place():
    z, _ = pixels()
    before = z.copy()
    found = plots.sorted_logits.prepare(z)
    rows = np.moveaxis(z, 1, -1).reshape(-1, z.shape[1])
    np.testing.assert_array_equal(found.power.mean, plots.sorted_logits.prepare(rows).power.mean)
    np.testing.assert_array_equal(z, before)


@pytest.mark.parametrize(
    ("z", "p", "word"),
    [
        ([[800.0, 1.0]], 5, "exp v is a finite"),
        ([[-1e38, 1.0]], 10, r"v\^10 is a finite"),
        ([[0.0, 1.0]], 2.5, "integer >= 1, got 2.5"),
        ([[0.0, 1.0]], 0, "integer >= 1, got 0"),
    ],
)
def test_powers_beyond_numbers_are_refused(z, p, word):
    with pytest.raises(InputError, match=word):
        plots.sorted_logits.prepare(np.array(z), p=p)


# Figure 19


@given(
    z=some_logits(classes=st.integers(3, 5), rows=st.integers(1, 12)),
    p=st.sampled_from([1, 2, 4, 10, np.inf]),
    center=st.booleans(),
)
def test_the_ratio_is_that_of_the_definition(z, p, center):
    from recuse.plots.normalized_max import _ratio

    assume((z.max(axis=1) - z.min(axis=1) > 0.1).all())
    found = _ratio(scores.logit_norm(z, p=p, center=center).astype(float), p)
    expected = [reference.norm_ratio(row, p, center) for row in z.tolist()]
    np.testing.assert_allclose(found, expected, rtol=FLOAT32, atol=FLOAT32)


def test_a_ratio_of_one_large_logit_is_1_for_every_order():
    from recuse.plots.normalized_max import _ratio

    t = np.array([np.inf, 1e38, -1e38, 0.0])
    for p in (1, 4, 10, np.inf):
        np.testing.assert_allclose(_ratio(t, p), [1, 1, -1, 0])


@pytest.mark.parametrize("center", [True, False])
def test_a_bin_of_msp_is_trimmed_at_two_deviations_and_windowed(center):
    (found,) = plots.normalized_max.prepare(Z, p=4, center=center, bins=[(0.6, 0.9)]).bins
    pairs = slow.of_similar_msp(Z.tolist(), 4, center, 0.6, 0.9)
    top, share = map(list, zip(*pairs))
    expected = slow.sliding(top, share, 0.2, found.window.at.tolist())
    np.testing.assert_allclose(found.window.mean, [m for m, _, _ in expected], rtol=1e-3)
    assert np.abs(found.window.count - [n for _, _, n in expected]).max() <= 2  # float32 edges
    assert found.window.count.min() >= 10
    assert found.slope == pytest.approx(np.polyfit(top, share, 1)[0], rel=1e-4)


def test_an_empty_bin_draws_no_line():
    found = plots.normalized_max.prepare(Z, bins=[(0.0, 0.01), (0.5, 0.6)])
    assert found.bins[0].window.at.size == 0
    assert np.isnan(found.bins[0].slope)
    plots.normalized_max.draw(found, axes())


# Figure 9 right


@pytest.mark.parametrize("center", [True, False])
def test_the_maximum_logit_is_averaged_over_msp_for_right_and_wrong_apart(center):
    found = plots.max_logit.prepare(Z, Y, center=center)
    wrong = Z.argmax(axis=1) != Y
    q = [1 / (1 + np.exp(-reference.msp(z))) for z in Z.tolist()]
    top = [max(z) - (sum(z) / len(z) if center else 0) for z in Z.tolist()]
    for rows, window in ((~wrong, found.right), (wrong, found.wrong)):
        x, y = (np.array(v)[rows].tolist() for v in (q, top))
        expected = slow.sliding(x, y, 0.05, window.at.tolist())
        assert np.abs(window.count - [n for _, _, n in expected]).max() <= 2  # float32 edges
        np.testing.assert_allclose(window.mean, [m for m, _, _ in expected], rtol=2e-2)
        assert window.count.min() >= 10


def test_a_model_without_errors_has_no_line_of_them():
    found = plots.max_logit.prepare(Z, Z.argmax(axis=1))
    assert found.wrong.at.size == 0 < found.right.at.size
    plots.max_logit.draw(found, axes())


# Figure 5


@given(
    one=predictions(min_size=2),
    seed=st.integers(0, 99),
    count=st.integers(1, 9),
    both=st.booleans(),
)
def test_percentiles_of_the_surest_errors_are_mid_ranks_among_all(one, seed, count, both):
    c, l = one
    order = np.random.default_rng(seed).permutation(len(c))
    models = {"a": (c, l), "b": (c[order], np.roll(l, 1))}
    found = plots.errors.prepare(models, of="a", count=count, shared=both)
    rows = slow.surest_errors(
        {k: (list(x), list(y)) for k, (x, y) in models.items()}, "a", count, both
    )
    assert found.ids.tolist() == rows
    for j, (confidence, loss) in enumerate(models.values()):
        expected = [slow.percentile_of_uncertainty(list(confidence), i) for i in rows]
        assert found.uncertainty[:, j].tolist() == pytest.approx(expected)
        assert found.wrong[:, j].tolist() == [loss[i] > 0 for i in rows]


def test_ids_name_the_errors_and_any_increasing_confidence_gives_the_same_table():
    rng = np.random.default_rng(0)
    c, l = rng.normal(size=50), (rng.uniform(size=50) < 0.3) * 1.0
    names = np.array([f"image-{i}" for i in range(50)])
    found = plots.errors.prepare({"a": (c, l)}, of="a", ids=names)
    again = plots.errors.prepare({"a": (np.exp(c), l)}, of="a", ids=names)
    np.testing.assert_array_equal(found.uncertainty, again.uncertainty)
    assert set(found.ids) <= set(names[l > 0])


def test_whoever_is_chosen_for_being_sure_looks_surest_even_against_an_equal():
    """Why the table is to be made both ways."""
    rng = np.random.default_rng(0)
    base = rng.normal(size=3000)
    loss = (rng.uniform(size=3000) < 1 / (1 + np.exp(2 + base))) * 1.0
    models = {name: (base + rng.normal(size=3000), loss) for name in "ab"}
    for of, column in (("a", 0), ("b", 1)):
        medians = np.median(plots.errors.prepare(models, of=of).uncertainty, axis=0)
        assert medians[column] < 0.5 * medians[1 - column]


@pytest.mark.parametrize(
    ("models", "options", "word"),
    [
        ({"a": ([1.0], [1])}, {"of": "b"}, "among a, got 'b'"),
        ({"a": ([1.0], [1])}, {"of": "a", "count": 0}, "`count` >= 1, got 0"),
        ({"a": ([1.0], [1]), "b": ([1.0, 2], [1, 0])}, {"of": "a"}, "got 2 of 'b'"),
        ({"a": ([1.0], [1])}, {"of": "a", "ids": [1, 2]}, r"`ids` of shape \(1,\)"),
        ({"a": ([np.nan], [1])}, {"of": "a"}, "confidence of 'a' without NaN"),
    ],
)
def test_errors_of_nothing_comparable_are_refused(models, options, word):
    with pytest.raises(InputError, match=word):
        plots.errors.prepare(models, **options)


# Risk and coverage


def test_a_curve_is_thinned_but_exact_at_both_ends():
    rng = np.random.default_rng(0)
    c, l = rng.normal(size=5000), (rng.uniform(size=5000) < 0.2) * 1.0
    (found,) = plots.risk_coverage.prepare({"a": (c, l)}, points=100)
    whole = risk_coverage(c, l)
    assert len(found.points.risk) <= 100
    for end in (0, -1):
        assert [x[end] for x in found.points] == [x[end] for x in whole]
    assert set(found.points.risk) <= set(whole.risk)
    assert found.aurc == recuse.aurc(c, l)


@given(one=predictions(), threshold=TIED)
def test_the_point_of_a_threshold_is_what_it_accepts(one, threshold):
    c, l = one
    (found,) = plots.risk_coverage.prepare({"a": one}, thresholds={"a": threshold})
    accepted = [loss for x, loss in zip(c, l) if x >= threshold]
    if not accepted:
        assert found.at_threshold is None
    else:
        assert found.at_threshold.coverage == len(accepted) / len(c)
        assert found.at_threshold.risk == pytest.approx(sum(accepted) / len(accepted))


def test_a_float32_confidence_at_its_own_threshold_is_accepted():
    c = np.float32([0.1, 0.7])
    (found,) = plots.risk_coverage.prepare({"a": (c, [1, 0])}, thresholds={"a": 0.7})
    assert found.at_threshold.coverage == 0.5


def test_a_threshold_of_no_model_is_refused():
    with pytest.raises(InputError, match="of a, got one of 'b'"):
        plots.risk_coverage.prepare({"a": ([1.0], [0])}, thresholds={"b": 1})


def test_a_logarithmic_risk_leaves_out_what_has_none():
    data = plots.risk_coverage.prepare({"a": ([3.0, 2, 1], [0, 0, 1])}, thresholds={"a": 2})
    ax = axes()
    plots.risk_coverage.draw(data, ax, log=True)
    assert np.isnan(ax.lines[0].get_ydata()).tolist() == [True, True, False]
    assert ax.get_yscale() == "log"
    assert len(ax.lines) == 1  # the point has no risk either


# Over alpha


def picked(seed=0, **names):
    y = np.tile(np.arange(3), 80)
    rng = np.random.default_rng(seed)
    models = {
        name: (scale * np.eye(3)[y] + rng.normal(size=(240, 3)), y) for name, scale in names.items()
    }
    return recuse.evaluation.pick(models)


def test_seeds_are_points_and_models_lie_at_their_smoothing():
    picks = [picked(seed, **{"0.2": 1.0, "0": 3.0, "0.05": 2.0}) for seed in range(2)]
    found = plots.over_alpha.prepare(picks)
    assert found.names == ("0", "0.05", "0.2")
    assert found.at.tolist() == [0, 0.05, 0.2]
    accuracy = found.panels[0].series[0]
    assert accuracy.values.tolist() == [[p[n].accuracy.value for n in found.names] for p in picks]
    assert [p.title for p in found.panels] == [
        "accuracy",
        "ECE",
        "AURC",
        "coverage at 1 % risk",
        "coverage at 5 % risk",
    ]
    ax = axes()
    plots.over_alpha.draw(found, found.panels[0], ax)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), accuracy.values.mean(axis=0))
    assert ax.get_xlabel() == "smoothing"


def test_models_of_other_names_stand_side_by_side_in_their_order():
    found = plots.over_alpha.prepare(picked(resnet=1.0, mlp=2.0))
    assert (found.names, found.numeric, found.at.tolist()) == (("resnet", "mlp"), False, [0, 1])


def test_picks_of_different_models_are_refused():
    with pytest.raises(InputError, match="the same models"):
        plots.over_alpha.prepare([picked(a=1.0, b=2.0), picked(a=1.0, c=2.0)])
    with pytest.raises(InputError, match="at least one"):
        plots.over_alpha.prepare([])


# One scene

VOID = 9
C = np.random.default_rng(1).integers(5, size=(7, 6)).astype(float)  # many ties
K, SCENE = np.random.default_rng(2).integers(3, size=(2, 7, 6))
SCENE[0] = VOID


def test_errors_of_a_scene_have_their_mean_rank_among_labelled_pixels():
    found = plots.scene.prepare(C, K, SCENE, ignore_index=VOID)
    labelled = [C[p] for p in np.ndindex(C.shape) if SCENE[p] != VOID]
    for p in np.ndindex(C.shape):
        below = sum(c < C[p] for c in labelled) + sum(c == C[p] for c in labelled) / 2
        wrong = SCENE[p] != VOID and K[p] != SCENE[p]
        expected = below / len(labelled) if wrong else np.nan
        np.testing.assert_allclose(found.rank[p], expected)
        assert found.counted[p] == (SCENE[p] != VOID)


def test_a_scene_without_labels_or_of_other_shapes_is_refused():
    with pytest.raises(InputError, match="at least one labelled pixel"):
        plots.scene.prepare(C, K, np.full(C.shape, VOID), ignore_index=VOID)
    with pytest.raises(InputError, match="one \\(H, W\\)"):
        plots.scene.prepare(C[1:], K, SCENE)


# All of them


def figures():
    """Each with its data, on whatever axes."""
    loss = (Z.argmax(axis=1) != Y) * 1.0
    two = {"MSP": (scores.msp(Z), loss), "norm": (scores.logit_norm(Z), loss)}
    over = plots.over_alpha.prepare(picked(**{"0": 2.0, "0.1": 1.0}))
    return {
        "sorted_logits": lambda ax: plots.sorted_logits.draw(
            plots.sorted_logits.prepare(Z).power, ax
        ),
        "normalized_max": lambda ax: plots.normalized_max.draw(plots.normalized_max.prepare(Z), ax),
        "max_logit": lambda ax: plots.max_logit.draw(plots.max_logit.prepare(Z, Y), ax),
        "errors": lambda ax: plots.errors.draw(plots.errors.prepare(two, of="MSP"), ax),
        "risk_coverage": lambda ax: plots.risk_coverage.draw(
            plots.risk_coverage.prepare(two, thresholds={"MSP": 1.0}), ax
        ),
        "scene": lambda ax: plots.scene.draw(
            plots.scene.prepare(C, K, SCENE, ignore_index=VOID), ax
        ),
        "confidence": lambda ax: plots.confidence.draw(
            plots.confidence.prepare(two["MSP"][0], loss, threshold=1.0), ax
        ),
        "reliability": lambda ax: plots.reliability.draw(
            plots.reliability.prepare(scores.as_probability(two["MSP"][0]), loss), ax
        ),
        "confusion": lambda ax: plots.confusion.draw(
            plots.confusion.prepare(Y, Z.argmax(axis=1), two["MSP"][0] > 0), ax
        ),
        "per_class": lambda ax: plots.per_class.draw(
            plots.per_class.prepare(two["MSP"][0] > 0, loss, Y).risk, ax
        ),
        "over_alpha": lambda ax: plots.over_alpha.draw(over, over.panels[2], ax),
        "templates": lambda ax: plots.templates.draw(
            plots.templates.prepare(Z, np.eye(Z.shape[1]), Y, (0, 1, 2)), ax, names=("a", "b", "c")
        ),
    }


FIGURES = figures()


def drawn(line):
    return np.array([line.get_xdata(), line.get_ydata()], float)


def test_each_line_has_its_curve_with_coverage_to_the_right_and_risk_upwards():
    rng = np.random.default_rng(0)
    c, loss = rng.normal(size=(2, 300)), rng.random((2, 300)) < 0.3
    data = plots.risk_coverage.prepare({"a": (c[0], loss[0]), "b": (c[1], loss[1])})
    ax = axes()
    plots.risk_coverage.draw(data, ax)
    for curve, line in zip(data, ax.lines, strict=True):
        np.testing.assert_array_equal(drawn(line), [curve.points.coverage, curve.points.risk])
        assert line.get_label().startswith(curve.name)


def test_right_and_wrong_predictions_have_their_own_lines():
    data, ax = plots.max_logit.prepare(Z, Y), axes()
    plots.max_logit.draw(data, ax)
    lines = {line.get_label(): drawn(line) for line in ax.lines}
    for name in ("right", "wrong"):
        window = getattr(data, name)
        np.testing.assert_array_equal(lines[name], [window.at, window.mean])
    assert not np.array_equal(lines["right"], lines["wrong"])


def test_ranks_and_bins_are_drawn_at_their_means():
    data, ax = plots.sorted_logits.prepare(Z), axes()
    plots.sorted_logits.draw(data.power, ax)
    ranks = np.arange(1, Z.shape[1] + 1)
    np.testing.assert_array_equal(drawn(ax.lines[0]), [ranks, data.power.mean])
    found, ax = plots.normalized_max.prepare(Z), axes()
    plots.normalized_max.draw(found, ax)
    for b, line in zip(found.bins, ax.lines, strict=True):
        np.testing.assert_array_equal(drawn(line), [b.window.at, b.window.mean])


def test_each_error_is_a_line_across_the_models_and_full_where_it_is_wrong():
    c, loss = np.arange(12.0).reshape(2, 6) % 5, np.array([[1, 0, 1, 0, 1, 0], [0, 0, 1, 1, 1, 0]])
    models = {"a": (c[0], loss[0]), "b": (c[1], loss[1])}
    data, ax = plots.errors.prepare(models, of="a", shared=False), axes()
    plots.errors.draw(data, ax)
    for row, line in zip(data.uncertainty, ax.lines):
        np.testing.assert_array_equal(drawn(line), [[0, 1], row])
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    for i, (wrong, right) in enumerate(zip(dots[::2], dots[1::2], strict=True)):
        assert (wrong.get_fillstyle(), right.get_fillstyle()) == ("full", "none")
        shares = data.uncertainty[:, i]
        np.testing.assert_array_equal(drawn(wrong)[1], shares[data.wrong[:, i]])
        np.testing.assert_array_equal(drawn(right)[1], shares[~data.wrong[:, i]])


def test_a_scene_is_drawn_upright_with_its_ranks():
    c, y = np.arange(6.0).reshape(2, 3), np.array([[1, 0, 0], [0, 1, 9]])
    data, ax = plots.scene.prepare(c, np.zeros((2, 3), int), y, ignore_index=9), axes()
    plots.scene.draw(data, ax)
    np.testing.assert_array_equal(ax.images[-1].get_array().filled(np.nan), data.rank)
    assert ax.images[-1].origin == "upper"
    low, high = (ax.images[-1].cmap(x)[:3] for x in (0.0, 1.0))
    assert sum(high) < sum(low)  # a more confident error is darker


def test_every_module_is_drawn_here():
    modules = {name for name in plots.__all__ if hasattr(getattr(plots, name), "draw")}
    assert modules == set(FIGURES)


@pytest.mark.parametrize("look", ["default", "dark_background"])
@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_drawn_on_the_given_axes_and_touches_nothing_else(name, look):
    import io

    import matplotlib.pyplot as plt

    before, open_figures = dict(mpl.rcParams), plt.get_fignums()
    with style.context(look):
        ax = axes(look)
        styled = dict(mpl.rcParams)
        assert FIGURES[name](ax) is None
        assert dict(mpl.rcParams) == styled
        ax.figure.savefig(io.BytesIO(), format="svg")
    assert (ax.get_ylabel() and ax.lines) or ax.images
    assert (dict(mpl.rcParams), plt.get_fignums()) == (before, open_figures)


def test_dark_text_is_never_drawn_on_a_dark_ground():
    ax = axes("dark_background")
    with style.context("dark_background"):
        for draw in FIGURES.values():
            draw(ax)
    drawn = [line.get_color() for line in ax.lines] + [ax.title.get_color()]
    assert not {colors.to_hex(c) for c in drawn} & {"#000000"}


def test_importing_the_figures_loads_no_plotting_library():
    code = "import recuse.plots, sys; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
