import json
import warnings
import zipfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recuse as rc
import reference
from recuse import CurveSketch, InputError, _kernels
from recuse.curves import _harmonic
from recuse.evaluation import _shards as shards
from recuse.sketch import Certified, SubgroupSketches, _bins, is_sketch, load
from recuse.sketch._bins import SCALES, edges
from strategies import GENERAL, ZERO_ONE

settings.register_profile("sketch", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("sketch")

EXACT = 1e-12  # relative: what the interval of an exact sketch is widened by
F32 = np.float32


def beside(*values):
    """Each value with its neighbours in float32."""
    v = np.array(values, F32)
    return np.concatenate([np.nextafter(v, F32(-np.inf)), v, np.nextafter(v, F32(np.inf))])


# Values where a bin ends, or where a scale does
CORNERS = {
    "log_odds": [
        *beside(-12, -(2**-10), 0, 2**-10, 1, 20, 20 + 2**-8, 148 - 2**-8),
        *(1e30, -1e30, -0.0, np.inf, -np.inf, 1e-40),
    ],
    "probability": [
        *(0.0, -0.0, 0.25, 0.5, 0.75, 1.0, 1e-30, 1 / 3, 1 - 2**-10),
        *beside(0.25, 0.5, 0.75, 1 - 2**-13, 1 - 2**-23),
    ],
    "float": [
        *beside(-1, -(2.0**-22), 0, 2.0**-22, 1, 1.5, 1 + 2.0**-10, 1022, 1023),
        *(1e38, -1e38, -0.0, np.inf, -np.inf, 1e-44),
    ],
    "float16": [
        *(-np.inf, -7.5, -(2.0**-24), -0.0, 0.0, 2.0**-24, 0.5, 0.5 + 2**-11, 65504, np.inf),
    ],
    "bfloat16": [
        *(-np.inf, -7.5, -(2.0**-133), -0.0, 0.0, 2.0**-133, 0.5, 0.5 + 2**-8, 2.0**127, np.inf),
    ],
}


def confidences(scale):
    """Few values, close to each other; for the wide scales also any."""
    few = st.sampled_from([float(x) for x in CORNERS[scale]])
    if SCALES[scale].half:
        return few
    low, high = (0.0, 1.0) if scale == "probability" else (-50.0, 130.0)
    return st.one_of(few, few, st.floats(F32(low), F32(high), width=32))


@st.composite
def data(draw, loss=ZERO_ONE, max_size=25, width=32):
    """The name of a scale, confidences and losses."""
    scale = draw(st.sampled_from(list(SCALES)))
    values = st.lists(confidences(scale), min_size=1, max_size=6)
    pool = draw(values)
    n = draw(st.integers(1, max_size))
    c = draw(st.lists(st.sampled_from(pool), min_size=n, max_size=n))
    if width == 64 and not SCALES[scale].half:
        c = [x * (1 - k % 3 * 2.0**-40) for k, x in enumerate(c)]
    l = draw(st.lists(loss, min_size=n, max_size=n))
    return scale, np.array(c, F32 if width == 32 else np.float64), np.array(l)


def holds(found, exact):
    assert isinstance(found, Certified)
    assert 0 <= found.low <= found.high <= 1
    assert found.low <= found.value <= found.high
    assert found.low <= exact <= found.high


def check(sketch, c, l):
    """Every interval holds what the plain loops say."""
    c, l = c.tolist(), l.tolist()
    n = len(c)
    assert sketch.n == n
    points = reference.operating_points(c, l)
    holds(sketch.aurc(), reference.aurc(c, l))
    holds(sketch.augrc(), reference.augrc(c, l))
    holds(sketch.mean_loss(), float(points[-1][1] / n))
    for level in (0.0, 0.1, 0.25, 1 / 3, 0.5, 0.9, 1.0):
        fits = [k for k, total in points if float(total / k) <= level]
        holds(sketch.coverage_at_risk(level), max(fits, default=0) / n)
        if level:
            k, total = next((k, total) for k, total in points if k / n >= level)
            holds(sketch.risk_at_coverage(level), float(total / k))


@given(data())
def test_every_interval_holds_the_exact_value(case):
    scale, c, l = case
    check(CurveSketch(scale).update(c, l), c, l)


@given(data(loss=st.one_of(GENERAL, st.floats(0, 1))))
def test_every_interval_holds_the_exact_value_of_general_losses(case):
    scale, c, l = case
    check(CurveSketch(scale).update(c, l), c, l)


@given(data(width=64))
def test_what_ties_only_in_float32_is_not_taken_for_a_tie(case):
    scale, c, l = case
    check(CurveSketch(scale).update(c, l), c, l)


@given(data())
def test_e_aurc_and_n_aurc_hold_the_exact_value(case):
    scale, c, l = case
    sketch = CurveSketch(scale).update(c, l)
    exact = rc.e_aurc(c, l)
    low, value, high = sketch.e_aurc()
    assert low - EXACT <= exact <= high + EXACT
    assert low <= value <= high
    low, value, high = sketch.n_aurc()
    if np.isnan(exact := rc.n_aurc(c, l)):
        assert np.isnan([low, value, high]).all()
    else:
        assert low - 1e-9 <= exact <= high + 1e-9


@given(data(loss=st.one_of(GENERAL, ZERO_ONE)))
def test_the_curve_is_exact_at_the_edges_of_bins(case):
    scale, c, l = case
    sketch = CurveSketch(scale).update(c, l)
    curve = sketch.curve()
    exact = dict(reference.operating_points(c.tolist(), l.tolist()))
    assert curve.accepted[-1] == len(c)
    assert (np.diff(curve.threshold) < 0).all()
    for k, risk, coverage, t in zip(curve.accepted, curve.risk, curve.coverage, curve.threshold):
        assert (c >= F32(t)).sum() == k
        assert risk == pytest.approx(float(exact[k] / int(k)), abs=2e-10)
        assert coverage == k / len(c)


@given(data(loss=st.one_of(GENERAL, ZERO_ONE)))
def test_half_precision_and_single_valued_bins_are_exact(case):
    scale, c, l = case
    sketch = CurveSketch(scale).update(c, l)
    if not SCALES[scale].half:
        return
    slack = EXACT + 2.0**-32 * bool(sketch._rounded[1])
    for found in (sketch.aurc(), sketch.augrc(), sketch.risk_at_coverage(0.5)):
        assert found.high - found.low <= 2 * slack
    if set(l) <= {0, 1}:
        low, value, high = sketch.coverage_at_risk(0.25)
        assert low == value == high


@given(data(loss=st.one_of(GENERAL, st.floats(0, 1))), st.randoms())
def test_merging_in_any_order_is_counting_in_any_order(case, random):
    scale, c, l = case
    whole = CurveSketch(scale).update(c, l)
    order = list(range(len(c)))
    random.shuffle(order)
    cuts = sorted(random.choices(range(len(c) + 1), k=3))
    parts = [order[a:b] for a, b in zip([0, *cuts], [*cuts, len(c)]) if a < b]
    sketches = [CurveSketch(scale).update(c[p], l[p]) for p in parts]
    random.shuffle(sketches)
    again = CurveSketch.merged(sketches)
    general = whole._part is not None
    assert again == whole
    assert general == (not set(l.tolist()) <= {0, 1})


def test_a_merge_leaves_the_other_as_it_is_and_chains():
    a, b = CurveSketch().update([1, 2], [0, 1]), CurveSketch().update([3], [0.5])
    before = CurveSketch.merged([b])
    assert a.merge(b) is a
    assert b == before != a
    assert a.update([1], [1]) is a
    assert a.n == 4


# Bins


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
def test_a_bin_ends_where_the_next_begins(scale):
    found = edges(scale)
    lowest = found.lowest[~np.isnan(found.lowest)]
    own = np.flatnonzero(~np.isnan(found.lowest))
    np.testing.assert_array_equal(np.sort(lowest), lowest)
    reached = scale.bins(lowest, np)
    last = np.r_[lowest[1:] != lowest[:-1], True]  # a bin without any float32 has the next's
    np.testing.assert_array_equal(reached[last], own[last])
    if scale.half:
        assert found.single[own].all()
        return
    inside = lowest > scale.domain[0]
    with np.errstate(over="ignore"):
        below = np.nextafter(lowest[inside], F32(-np.inf))
    assert (scale.bins(below, np) < reached[inside]).all()
    assert reached.min() == 0
    assert reached.max() == scale.size - 1


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
def test_bins_are_monotone_over_random_patterns(scale):
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 1 << 32, 200_000, dtype=np.uint32)
    values = bits.view(F32) if not scale.half else _bins.patterns(scale)
    with np.errstate(over="ignore", invalid="ignore"):
        values = np.sort(values[scale.holds(values, np)])
    bins = scale.bins(values, np)
    assert (np.diff(bins.astype(int)) >= 0).all()
    assert bins.min() >= 0
    assert bins.max() < scale.size


def test_the_scales_are_what_they_are_said_to_be():
    bins = SCALES["log_odds"].bins
    at = np.array([-np.inf, -12, -12 + 2**-10, 0, 20, 20 + 2**-8, 1e30, np.inf], F32)
    assert bins(at, np).tolist() == [0, 0, 1, 12288, 32768, 32769, 65534, 65535]
    assert edges(SCALES["log_odds"]).single.sum() == 1
    probability = edges(SCALES["probability"])
    assert probability.lowest[-1] == 1
    near = F32(1) - np.arange(2048, dtype=F32) * F32(2**-24)
    found = SCALES["probability"].bins(near, np)
    assert np.unique(found).size == near.size
    assert probability.single[found].all()
    assert edges(SCALES["float"]).lowest[[0, 32768, 65535]].tolist() == [-np.inf, 0, np.inf]
    assert edges(SCALES["float"]).single[[0, 32768, 65535]].all()


# One definition, three ways of counting


def by_numpy(scale, c, l):
    sketch = CurveSketch(scale)
    counts = _bins._counted(SCALES[scale], c, l, np)
    sketch._add(counts.pairs, counts.part, counts.rounded)
    return sketch


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", ["log_odds", "probability", "float"])
@pytest.mark.parametrize("loss", [bool, np.uint8, np.int64, np.float32, np.float64])
def test_compiled_loops_count_the_same(scale, dtype, loss, monkeypatch):
    rng = np.random.default_rng(0)
    n = 3 * 1024 + 7
    c = rng.choice(np.array(CORNERS[scale], dtype), n)
    spread = rng.random(n) if scale == "probability" else 40 * rng.normal(size=n)
    c[::2] = spread[::2].astype(dtype)
    l = rng.integers(0, 2, n).astype(loss)
    expected = by_numpy(scale, c, l)
    monkeypatch.setattr(_bins, "SMALLEST_COMPILED", 1)
    monkeypatch.setattr(_kernels, "repays", lambda seconds: True)
    monkeypatch.setattr(_bins, "_check", None)  # only the other path calls it
    assert CurveSketch(scale).update(c, l) == expected
    assert CurveSketch(scale).update(c[::3], l[::3]) == by_numpy(scale, c[::3], l[::3])


@pytest.mark.parametrize("scale", ["float16", "bfloat16"])
def test_compiled_loops_count_all_patterns(scale, monkeypatch):
    import ml_dtypes

    values = _bins.patterns(SCALES[scale])
    values = values[~np.isnan(values)]
    l = np.arange(values.size) % 3 == 0
    expected = by_numpy(scale, values, l)
    monkeypatch.setattr(_kernels, "repays", lambda seconds: True)
    half = values.astype(np.float16 if scale == "float16" else ml_dtypes.bfloat16)
    assert CurveSketch(scale).update(half, l) == expected
    assert expected._pairs.sum() == values.size
    assert expected._pairs.sum(axis=1).max() == 2  # 0.0 and -0.0


@pytest.mark.parametrize("scale", SCALES)
def test_tensors_are_counted_by_torch_where_they_lie(scale, monkeypatch):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    c = rng.choice(np.array(CORNERS[scale], F32), 500)
    for l in (rng.integers(0, 2, 500), rng.random(500)):
        expected = CurveSketch(scale).update(c, l)
        monkeypatch.setattr(_bins, "_on_device", lambda x: isinstance(x, torch.Tensor))
        monkeypatch.setattr(_bins, "_check", None)
        found = CurveSketch(scale).update(torch.tensor(c), torch.tensor(l))
        monkeypatch.undo()
        assert found == expected
        assert CurveSketch(scale).update(torch.tensor(c), torch.tensor(l)) == expected


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_tensors_are_counted_as_they_are(dtype, monkeypatch):
    torch = pytest.importorskip("torch")
    c = torch.tensor([0.1, 0.5, 0.5, -3.0], dtype=getattr(torch, dtype))
    l = torch.tensor([True, False, True, False])
    expected = CurveSketch(dtype).update(c, l)
    monkeypatch.setattr(_bins, "_on_device", lambda x: isinstance(x, torch.Tensor))
    assert CurveSketch(dtype).update(c, l) == expected
    with pytest.raises(InputError, match="row 0"):
        CurveSketch(dtype).update(torch.tensor([0.1]), torch.tensor([1]))
    with pytest.raises(InputError, match="row 1"):
        CurveSketch().update(torch.tensor([0.1, torch.nan]), torch.tensor([1, 0]))
    with pytest.raises(InputError, match="same shape"):
        CurveSketch().update(torch.tensor([0.1, 0.2]), torch.tensor([1]))
    tiny = torch.tensor([0.5 + 2.0**-40], dtype=torch.float64)
    with pytest.raises(InputError, match="that are"):
        CurveSketch(dtype).update(tiny, torch.tensor([1]))


def test_no_interval_of_an_area_could_be_narrower():
    c = np.array([1, 1 + 2**-13, 1 + 2**-12, 1 + 2**-11], F32)  # one bin
    l = np.array([0.5, 0.75, 1, 0])
    order = -np.arange(4.0)
    sketch = CurveSketch().update(c, l)
    for found, exact in ((sketch.aurc(), reference.aurc), (sketch.augrc(), reference.augrc)):
        assert found.low == pytest.approx(exact(order, [0, 0.25, 1, 1]), rel=EXACT)
        assert found.high == pytest.approx(exact(order, [1, 1, 0.25, 0]), rel=EXACT)
        assert found.value == pytest.approx(exact(np.zeros(4), l), rel=EXACT)


def test_many_predictions_lie_in_a_narrow_interval():
    rng = np.random.default_rng(0)
    c = rng.gamma(2, 3, 200_000).astype(F32)
    l = rng.random(c.size) < 1 / (1 + np.exp(c))
    found, exact = CurveSketch().update(c, l).aurc(), rc.aurc(c, l)
    assert found.low <= exact <= found.high
    assert found.high - found.low < 1e-4
    assert abs(found.value - exact) < 1e-6
    point = CurveSketch().update(c, l).coverage_at_risk(0.05)
    assert point.low <= rc.coverage_at_risk(c, l, 0.05) <= point.high
    assert point.high - point.low < 1e-3


# Sums


@given(st.integers(0, 200), st.integers(0, 200))
def test_rise_and_ramp_are_the_sums_that_they_close(a, m):
    rise, ramp = _harmonic.rise_and_ramp(np.array([a]), np.array([m]))
    exact = sum((Fraction(1, a + j) for j in range(1, m + 1)), Fraction(0))
    assert rise[0] == pytest.approx(float(exact), rel=1e-13)
    assert ramp[0] == pytest.approx(float(m - a * exact), rel=1e-13)


def test_counts_of_many_billions_are_exact():
    c = np.array([2.0, 1.0], F32)
    sketch = CurveSketch().update(c, np.array([0.0, 1.0]))
    for _ in range(40):
        sketch.merge(CurveSketch.merged([sketch]))
    n = 2**41
    assert sketch.n == n
    half = n // 2
    exact = (half - half * np.log(2)) / n  # the sum of j / (half + j), up to 1 / n
    assert sketch.coverage_at_risk(0.0) == (0.5, 0.5, 0.5 + 1 / n)
    assert sketch.aurc().low < exact < sketch.aurc().high + 1 / n
    general = CurveSketch().update(c, np.array([0.25, 0.75]))
    for _ in range(40):
        general.merge(CurveSketch.merged([general]))
    assert general.mean_loss().value == 0.5


# Refusals


BAD = [
    (([0.5, np.nan], [0, 1]), "without NaN.*row 1"),
    (([[0.5]], [[0]]), r"shape \(n,\)"),
    (([], []), "n >= 1"),
    (([0.5, 1], [0]), "same shape"),
    (([0.5], [1.5]), "divide by the largest"),
    (([0.5], [-1]), ">= 0, got -1"),
    (([0.5], [np.nan]), "finite"),
    ((["a"], [0]), "floating dtype"),
]


@pytest.mark.parametrize("repeat", [1, 1 << 14])
@pytest.mark.parametrize(("batch", "words"), BAD)
def test_malformed_batches_leave_the_sketch_as_it_was(batch, words, repeat):
    sketch = CurveSketch().update([1.0, 2.0], [0, 1])
    before = CurveSketch.merged([sketch])
    c, l = (np.asarray(x * repeat) for x in batch)
    words = words.replace("row 1", "row")
    with pytest.raises(InputError, match=words):
        sketch.update(c, l)
    assert sketch == before


@pytest.mark.parametrize("scale", ["log_odds", "float16"])
def test_what_was_counted_before_a_bad_row_is_taken_back(scale):
    c = np.linspace(0, 4, 20_000).astype("float16" if scale == "float16" else F32)
    l = np.arange(c.size) % 2
    sketch = CurveSketch(scale).update(c, l)
    before = CurveSketch.merged([sketch])
    bad = c.copy()
    bad[-1] = np.nan
    with pytest.raises(InputError, match="row 19999"):
        sketch.update(bad, l)
    with pytest.raises(InputError, match="row 19999"):
        sketch.update(c, np.r_[l[:-1], 2])
    assert sketch == before
    general = np.r_[l[:-1], 0.5]
    assert CurveSketch(scale).update(c, general) == by_numpy(scale, c, general)


def test_a_scale_refuses_what_it_does_not_hold():
    with pytest.raises(InputError, match=r"in \[0, 1\] for the scale 'probability', got 1.5"):
        CurveSketch("probability").update([0.5, 1.5], [0, 0])
    with pytest.raises(InputError, match="that are float16"):
        CurveSketch("float16").update([0.1], [0])
    with pytest.raises(InputError, match="that are bfloat16"):
        CurveSketch("bfloat16").update([0.5 + 2.0**-30], [0])
    with pytest.raises(InputError, match="expected `scale` among log_odds"):
        CurveSketch("guess")


def test_what_differs_does_not_merge():
    with pytest.raises(InputError, match="one scale, got 'log_odds' and 'float'"):
        CurveSketch().merge(CurveSketch("float"))
    with pytest.raises(InputError, match="score msp and unknown"):
        CurveSketch(about={"score": "msp"}).merge(CurveSketch())
    with pytest.raises(InputError, match="at least one sketch"):
        CurveSketch.merged([])


def test_an_empty_sketch_has_no_measures():
    for measure in ("aurc", "augrc", "mean_loss", "curve", "e_aurc"):
        with pytest.raises(InputError, match="at least one prediction"):
            getattr(CurveSketch(), measure)()
    with pytest.raises(InputError, match="0-1 losses for e_aurc"):
        CurveSketch().update([1.0], [0.5]).e_aurc()


# Files


@given(data(loss=st.one_of(GENERAL, ZERO_ONE)))
def test_a_file_holds_the_whole_state(tmp_path_factory, case):
    scale, c, l = case
    path = tmp_path_factory.mktemp("sketch") / "s.npz"
    sketch = CurveSketch(scale, about={"score": "msp"}).update(c, l)
    sketch.save(path)
    assert CurveSketch.load(path) == sketch == load(path)


def test_an_empty_sketch_can_be_kept(tmp_path):
    CurveSketch().save(tmp_path / "s.npz")
    assert CurveSketch.load(tmp_path / "s.npz") == CurveSketch()


def test_a_file_of_many_predictions_is_small(tmp_path):
    rng = np.random.default_rng(0)
    sketch = CurveSketch()
    spread = 60 * rng.random(1_000_000, F32)
    sketch.update(spread, rng.random(spread.size) < 0.1)
    for _ in range(20):
        sketch.merge(CurveSketch.merged([sketch]))
    sketch.save(tmp_path / "s.npz")
    assert sketch.n > 1e12
    assert (tmp_path / "s.npz").stat().st_size < 400_000


def rewritten(path, **changes):
    """Write a sketch file with other arrays; `meta_` changes entries of its JSON."""
    with np.load(path) as archive:
        arrays = dict(archive)
    meta = json.loads(arrays["meta"].tobytes()) | changes.pop("meta_", {})
    arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    arrays = {k: v for k, v in (arrays | changes).items() if v is not None}
    np.savez(path, **arrays)


U8 = np.uint8
DAMAGE = {
    "unknown array": ({"extra": np.zeros(1)}, "expected arrays"),
    "missing array": ({"right": None}, "expected arrays"),
    "format": ({"meta_": {"format": "x"}}, "format"),
    "version": ({"meta_": {"version": 3}}, "version 1 or 2, got 3"),
    "unknown field": ({"meta_": {"more": 1}}, "expected fields"),
    "scale": ({"meta_": {"scale": "x"}}, "a scale among"),
    "n": ({"meta_": {"n": [4]}}, "expected 4 predictions"),
    "n twice": ({"meta_": {"n": [3, 3]}}, "one value a subgroup"),
    "float n": ({"meta_": {"n": [3.0]}}, "one value a subgroup"),
    "subgroups": ({"meta_": {"subgroups": [None, None]}}, "subgroups"),
    "about": ({"meta_": {"about": {"score": 1}}}, "strings"),
    "rounded": ({"meta_": {"rounded": [[-1, 0]]}}, "rounded"),
    "negative": ({"right": np.array([-1, 2, 1])}, "unsigned"),
    "float": ({"right": np.array([1.0, 1, 0])}, "unsigned"),
    "shape": ({"right": np.array([[1, 1, 0]], U8)}, "shape"),
    "length": ({"right": np.array([1, 1], U8)}, "differ in length"),
    "large": ({"right": np.array([1, 1, 2**63], np.uint64)}, "unsigned"),
    "order": ({"bin": np.array([3, 2, 1], np.uint16)}, "increasing"),
    "beyond": ({"bin": np.array([1, 2, 65536], np.uint32)}, "beyond"),
    "empty bin": ({"right": np.array([0, 3, 0], U8), "wrong": np.zeros(3, U8)}, "exceed"),
    "part": ({"part": np.array([1, 0, 0], U8)}, "0 and 1, and are not"),
    "large part": ({"part": np.array([2**32, 0, 0], np.uint64)}, "exceed"),
    "end": ({"end": np.array([2], U8)}, "do not cover"),
    "no end": ({"end": np.array([], U8)}, "differ in length"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_file_is_one_line(case, tmp_path):
    changes, words = DAMAGE[case]
    path = tmp_path / "s.npz"
    CurveSketch().update([1.0, 2.0, 3.0], [0, 0, 1]).save(path)
    rewritten(path)
    assert CurveSketch.load(path).n == 3
    rewritten(path, **dict(changes))
    with pytest.raises(InputError, match=words) as error:
        CurveSketch.load(path)
    assert str(error.value).startswith(f"{path}: expected a sketch: ")
    assert "\n" not in str(error.value)


def test_what_is_no_sketch_is_one_line(tmp_path):
    path = tmp_path / "s.npz"
    for content in (b"", b"PK", b"\x80\x04N."):
        path.write_bytes(content)
        with pytest.raises(InputError, match="another or a damaged file"):
            load(path)
    CurveSketch().update([1.0], [0]).save(path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match="damaged"):
        load(path)
    np.savez(path, meta=np.array([{}], object))
    with pytest.raises(InputError, match="damaged"):
        load(path)
    with pytest.raises(InputError, match="no such file"):
        load(tmp_path / "none.npz")
    with pytest.raises(InputError, match="a folder"):
        load(tmp_path)
    with pytest.raises(InputError, match="ending in"):
        CurveSketch().save(tmp_path / "s.json")


def test_a_file_that_unpacks_to_too_much_is_refused_unread(tmp_path, monkeypatch):
    path = tmp_path / "s.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("meta.npy", bytes(10_000_000))
    monkeypatch.setattr("recuse.sketch._file.LARGEST", 1_000_000)
    with pytest.raises(InputError, match="unpacks to more"):
        load(path)


# Subgroups


def test_each_subgroup_has_the_sketch_of_its_rows(tmp_path):
    rng = np.random.default_rng(0)
    c, l = rng.normal(size=300).astype(F32), rng.integers(0, 2, 300)
    for g in (rng.integers(0, 5, 300), np.array(list("abc"))[rng.integers(0, 3, 300)]):
        found = SubgroupSketches(about={"score": "msp"}).update(g[:99], c[:99], l[:99])
        rest = SubgroupSketches(about={"score": "msp"}).update(g[99:], c[99:], l[99:])
        found = SubgroupSketches.merged([rest, found])
        assert list(found) == np.unique(g).tolist()
        for name, sketch in found.items():
            rows = g == name
            assert sketch == CurveSketch(about={"score": "msp"}).update(c[rows], l[rows])
        assert found.total() == CurveSketch(about={"score": "msp"}).update(c, l)
        found.save(tmp_path / "g.npz")
        assert SubgroupSketches.load(tmp_path / "g.npz") == found == load(tmp_path / "g.npz")
        with pytest.raises(InputError, match="for each subgroup"):
            CurveSketch.load(tmp_path / "g.npz")


def test_subgroups_that_cannot_be_counted_change_nothing(tmp_path):
    sketch = SubgroupSketches().update([1], [1.0], [0])
    for g, c, l in (
        (["a", "b"], [1, np.nan], [0, 1]),
        ([0.5], [1.0], [0]),
        ([1], [1.0, 2], [0, 1]),
    ):
        with pytest.raises(InputError):
            sketch.update(g, np.array(c, F32), l)
    assert list(sketch) == [1]
    assert sketch.total().n == 1
    with pytest.raises(InputError, match="at least one subgroup"):
        SubgroupSketches().save(tmp_path / "g.npz")
    with pytest.raises(InputError, match="one scale"):
        sketch.merge(SubgroupSketches("float"))
    CurveSketch().update([1.0], [0]).save(tmp_path / "s.npz")
    with pytest.raises(InputError, match="got one sketch"):
        SubgroupSketches.load(tmp_path / "s.npz")


# Plain data


def test_the_plain_data_is_that_of_evaluate_with_intervals():
    rng = np.random.default_rng(0)
    c, l = rng.normal(size=500).astype(F32), rng.integers(0, 2, 500)
    from recuse.evaluation import measure

    exact = measure(c, l, risks=(0.3, 0.5), coverages=(0.2, 0.8)).to_dict()
    found = CurveSketch().update(c, l).to_dict(risks=(0.3, 0.5), coverages=(0.2, 0.8))
    assert set(exact) <= set(found)
    errors = {"aurc_se", "e_aurc_se", "augrc_se"}
    assert all(found.pop(name) is None for name in errors)
    for name in set(exact) - errors:
        low, high = found[f"{name}_low"], found[f"{name}_high"]
        if isinstance(low, dict):
            assert all(low[k] <= v <= high[k] for k, v in exact[name].items())
        else:
            assert low <= exact[name] <= high
    general = CurveSketch().update([1.0, 2.0], [0.5, 0]).to_dict()
    assert general["e_aurc"] is None
    assert "0 and 1" in general["reason"]["e_aurc"]
    assert "all losses are equal" in CurveSketch().update([1.0], [0]).to_dict()["reason"]["n_aurc"]


def test_no_number_warns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for scale in SCALES:
            c = np.array(CORNERS[scale], F32)
            for l in (np.zeros(c.size), np.ones(c.size), np.full(c.size, 0.5)):
                sketch = CurveSketch(scale).update(c, l)
                sketch.to_dict(risks=(0, 0.5, 1), coverages=(0.5, 1))


@pytest.mark.parametrize("kind", [CurveSketch, SubgroupSketches])
def test_only_sketches_of_its_kind_merge(kind):
    other = SubgroupSketches() if kind is CurveSketch else CurveSketch()
    for x in (3, None, other):
        with pytest.raises(InputError, match=f"expected a {kind.__name__}, got {type(x).__name__}"):
            kind().merge(x)
        with pytest.raises(InputError, match=f"expected a {kind.__name__}, got {type(x).__name__}"):
            kind.merged([x])
    with pytest.raises(InputError, match="expected a CurveSketch, got int"):
        shards.merge([3])


def test_the_accuracy_is_of_0_1_losses_alone():
    assert CurveSketch().update([2.0, 1.0], [0, 1]).accuracy() == 0.5
    assert np.isnan(CurveSketch().update([2.0, 1.0], [0.5, 0.5]).accuracy())


# Files of version 1


V1 = Path(__file__).parent / "version1"


def test_sketches_of_version_1_load_and_measure_the_same():
    expected = json.loads((V1 / "expected.json").read_text())
    for name in ("sketch", "sketch-losses"):
        found = CurveSketch.load(V1 / f"{name}.npz")
        assert {"n": found.n, "aurc": list(found.aurc())} == expected[name]
    parts = SubgroupSketches.load(V1 / "sketch-grouped.npz")
    assert {k: list(s.aurc()) for k, s in parts.items()} == expected["sketch-grouped"]


def test_a_sketch_by_group_of_version_1_merges_with_one_of_today(tmp_path):
    today = SubgroupSketches(about={"score": "msp", "by": "groups"}).update(["a"], [1.0], [0])
    today.save(tmp_path / "s.npz")
    with np.load(tmp_path / "s.npz") as archive:
        arrays = dict(archive)
    meta = json.loads(arrays["meta"].tobytes())
    meta |= {"version": 1, "groups": meta.pop("subgroups")}
    meta["about"] = {"score": "msp", "per": "group"}
    arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    np.savez(tmp_path / "old.npz", **arrays)
    old = SubgroupSketches.load(tmp_path / "old.npz")
    assert old == today
    assert old.merge(today)["a"].n == 2


def test_a_sketch_is_told_by_its_arrays(tmp_path):
    CurveSketch().update([1.0], [0]).save(tmp_path / "s.npz")
    np.savez(tmp_path / "logits.npz", logits=np.zeros((2, 2)))
    (tmp_path / "broken.npz").write_bytes(b"PK")
    found = {p.name for p in tmp_path.iterdir() if is_sketch(p)}
    assert found == {"s.npz"}
    assert not is_sketch(tmp_path / "missing.npz")
