"""A model and its rejector as one module, in PyTorch and in onnxruntime."""

import io
import json
import math
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import recuse as rc
from recuse import InputError, MissingExtraError
from recuse.rejector import IsotonicMap
from recuse.scores import SCORES, Score
from rejectors import altered
from samples import learned_score, masked, one_column, pixels, sample
from strategies import logits as logits_of

torch = pytest.importorskip("torch", reason="needs the extra torch")

from recuse.export import _module, _scores, check_onnx, read_metadata, to_module, to_onnx  # noqa: E402
from recuse.recipes import digits  # noqa: E402

FITTED = rc.fit(sample(400, seed=0), sample(400, seed=1), target_risk=0.2)
Z = sample(2000, seed=2)[0]
SPELLED = [
    *SCORES, "max_logit(center=true)", "msp(temperature=1.7)", "energy(temperature=1.7)",
    "gen(gamma=0.3, top=3)", "renyi(alpha=0.7)", "logit_norm(p=1)", "logit_norm(p=2.5)",
    "logit_norm(p=3, center=false)", "logit_norm(p=7)", "logit_norm(p=inf)",
]  # fmt: skip
LEARNED = Score("learned", {**learned_score().params, "slope": 0.7, "intercept": 0.3})
OF_CLASSES = Score("learned", learned_score(0, Z.shape[1]).params)
EVERY = [*map(Score.parse, SPELLED), LEARNED, OF_CLASSES]
BATCH = {"inputs": ({0: torch.export.Dim("batch")},)}


def deciding(score=FITTED.score, threshold=FITTED.threshold, model=None, **fields):
    """A module that takes logits, unless a model is given."""
    rejector = altered(FITTED, score=score, threshold=float(threshold), model=None, **fields)
    return to_module(torch.nn.Identity() if model is None else model, rejector)


def identical(decisions, predictions):
    """Label, float32 confidence and decision, to the last bit; p_correct as a float32."""
    for ours, theirs in zip(decisions[1:4], predictions):
        np.testing.assert_array_equal(np.asarray(ours), theirs)
    probability = predictions.p_correct.astype(np.float32)
    np.testing.assert_allclose(np.asarray(decisions[4]), probability, rtol=2e-7)


def steps(x):
    """The number of float32 values between 0 and x, signed."""
    bits = np.asarray(x, np.float32).view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


def apart(found, expected, steps_allowed):
    """Where two confidences differ, by more than rounding leaves of a difference that is 0."""
    far = np.abs(steps(found) - steps(expected)) > steps_allowed
    return far & ~np.isclose(found, expected, rtol=0, atol=1e-14)


# In PyTorch


def test_no_score_is_forgotten():
    assert set(_scores.SCORES) == {*SCORES, "learned"} == {score.name for score in EVERY}


@pytest.mark.parametrize("score", EVERY, ids=str)
def test_at_its_threshold_a_row_is_accepted_and_one_float32_above_it_is_not(score):
    for c in score(Z[:20]):
        for threshold in (
            np.nextafter(c, np.float32(-np.inf)),
            c,
            np.nextafter(c, np.float32(np.inf)),
        ):
            module = deciding(score, threshold)
            identical(module(torch.from_numpy(Z)), module.rejector.predict(Z))


@pytest.mark.parametrize("score", EVERY, ids=str)
@given(z=logits_of())
def test_a_confidence_is_that_of_numpy_or_its_neighbour(score, z):
    """In another order of summation, or of another exp, the last bit of float64 may differ."""
    score = learned_score(0, z.shape[1]) if score is OF_CLASSES else score
    ours = deciding(score, classes=z.shape[1])(torch.from_numpy(z))
    assert np.array_equal(ours.label, rc.scores.predict(z))
    assert not apart(ours.confidence.numpy(), score(z), steps_allowed=1).any()


def test_rows_that_are_permutations_of_each_other_tie_and_ties_take_the_lowest_index():
    row = torch.tensor([2.0, 0.3, 2.0, 0.9, -1.7])
    random = torch.Generator().manual_seed(0)
    rows = torch.stack([row[torch.randperm(5, generator=random)] for _ in range(20)])
    for score in EVERY:
        if score is OF_CLASSES:  # their predicted classes differ
            continue
        decided = deciding(score)(rows)
        assert len(decided.confidence.unique()) == 1, score
        assert torch.equal(decided.label, (rows == 2).int().argmax(dim=1))


DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("score", EVERY, ids=str)
def test_logits_of_any_precision_are_decided_as_in_numpy(score, dtype):
    z = torch.from_numpy(Z[:300]).to(dtype)
    identical(deciding(score)(z), deciding(score).rejector.predict(z))


def test_what_are_no_logits_is_never_accepted():
    nan, inf = math.nan, math.inf
    bad = [[nan, 9, 0, 0, 0], [inf, 9, 0, 0, 0], [-inf] * 5, [nan] * 5, [1e300, 0, 0, 0, 0],
           [-1e300, 9, 0, 0, 0], [inf, -inf, nan, 0, 0]]  # fmt: skip
    z = torch.tensor([*bad, [9.0, 0, 0, 0, 0]], dtype=torch.float64)
    for score in EVERY:
        decided = deciding(score, -1e30)(z)
        assert decided.label.tolist() == [-1] * len(bad) + [0]
        assert decided.confidence.isnan().tolist() == [True] * len(bad) + [False]
        assert decided.p_correct.isnan().tolist() == [True] * len(bad) + [False]
        assert decided.accept.tolist() == [False] * len(bad) + [True]


@pytest.mark.parametrize("score", EVERY, ids=str)
def test_impossible_classes_are_left_out_as_in_numpy(score):
    z = masked(sample(2000, seed=3)[0])
    module = deciding(score)
    decided, expected = module(torch.from_numpy(z)), module.rejector.predict(z)
    assert np.array_equal(decided.label, expected.prediction)
    assert not apart(decided.confidence.numpy(), expected.confidence, steps_allowed=1).any()


def test_a_filler_of_masked_classes_is_left_out_as_in_numpy():
    splits = {**FITTED.splits, "tune": {**FITTED.splits["tune"], "filler": -5000.0}}
    z = np.where(masked(Z) > -np.inf, Z, -1e4).astype(np.float32)
    module = deciding(LEARNED, splits=splits)
    identical(module(torch.from_numpy(z)), module.rejector.predict(z))
    assert np.array_equal(module.rejector.predict(z).confidence, LEARNED(masked(Z)))


def test_pixels_are_decided_one_by_one():
    z, _ = pixels(4, classes=5)
    module = deciding()
    decided = module(torch.from_numpy(z))
    assert decided.accept.shape == (4, 6, 6)
    identical(decided, module.rejector.predict(z))


@pytest.mark.parametrize("shape", [(-1,), (-1, 1), (-1, 1, 4, 5)])
def test_a_binary_head_of_one_column(shape):
    z, _ = one_column(400)
    module = deciding(threshold=1.25, kind="binary", classes=2)
    z = z.reshape(shape)
    decided = module(torch.from_numpy(z))
    assert decided.logits.shape == z.shape
    identical(decided, module.rejector.predict(z))


def test_probabilities_come_in_by_their_logarithm_and_must_be_some():
    q = torch.from_numpy(Z).softmax(dim=1).numpy()
    q[5] = [1, 0, 0, 0, 0]
    module = deciding(kind="probs")
    identical(module(torch.from_numpy(q)), module.rejector.predict(q))
    for bad in ([1.1, -0.1, 0, 0, 0], [0.5, 0.2, 0.2, 0, 0], [math.nan, 0.5, 0.5, 0, 0]):
        decided = module(torch.tensor([bad]))
        assert (decided.label.item(), decided.accept.item()) == (-1, False)


VERTEX = st.integers(-4, 4).map(float)


@given(
    vertices=st.lists(st.tuples(VERTEX, st.integers(1, 9)), min_size=1, max_size=12),
    x=hnp.arrays(np.float32, 8, elements=st.one_of(VERTEX, st.floats(-9, 9, width=32))),
)
def test_the_probability_is_the_interpolation_of_numpy(vertices, x):
    confidence, tenths = map(sorted, zip(*vertices))
    given_ = IsotonicMap(tuple(confidence), tuple(t / 10 for t in tenths))
    x[:2] = np.inf, -np.inf
    found = _module.interpolated(given_, torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, given_(x), rtol=1e-15)
    assert _module.interpolated(given_, torch.tensor([math.nan])).isnan().all()


def test_a_cast_or_an_autocast_of_the_module_does_not_touch_the_decision():
    net = torch.nn.Linear(5, 5)
    module = deciding(Score.parse("msp"), 1 / 3, model=net).half()
    assert module.rejector.threshold == 1 / 3
    assert net.weight.dtype == torch.float16
    plain = deciding(LEARNED).half()
    identical(plain(torch.from_numpy(Z)), plain.rejector.predict(Z))
    with torch.autocast("cpu", torch.bfloat16):
        identical(plain(torch.from_numpy(Z)), plain.rejector.predict(Z))


def test_the_model_is_put_in_evaluation_mode_and_its_gradient_is_left_alone():
    net = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(5, 5))
    module = deciding(model=net)
    assert not net[0].training
    decided = module(torch.from_numpy(Z))
    assert decided.logits.requires_grad
    assert not decided.confidence.requires_grad
    assert str(FITTED.guarantee) in repr(module)


def test_the_exported_program_takes_any_batch_and_reads_back():
    module = deciding(LEARNED)
    z = torch.from_numpy(Z)
    program = torch.export.export(module, (z[:2],), dynamic_shapes=BATCH)
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    again = torch.export.load(io.BytesIO(buffer.getvalue())).module()
    for rows in (1, 7, 2000):
        identical(again(z[:rows]), module.rejector.predict(Z[:rows]))
    assert type(again(z)) is _module.Decisions


def test_what_does_not_fit_together_is_refused():
    with pytest.raises(InputError, match=r"expected a torch\.nn\.Module, got function"):
        to_module(lambda z: z, FITTED)
    with pytest.raises(InputError, match="expected a Rejector, got dict"):
        to_module(torch.nn.Identity(), {})
    for wrong in (torch.zeros(3, 4), torch.zeros(5), torch.zeros(3, 1)):
        with pytest.raises(InputError, match=r"logits of shape \(n, 5, ...\)"):
            deciding()(wrong)
    with pytest.raises(InputError, match=r"binary of shape \(n, 1, ...\)"):
        deciding(kind="binary", classes=2)(torch.zeros(3, 2))
    with pytest.raises(InputError, match=r"one floating tensor, got torch\.int64"):
        deciding()(torch.zeros(3, 5, dtype=torch.int64))
    with pytest.raises(InputError, match="one floating tensor, got tuple"):
        deciding(model=torch.nn.GRU(5, 5))(torch.zeros(3, 5))


def test_without_the_extra_it_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"recuse\[onnx\]"):
        to_onnx(deciding(), tmp_path / "m.onnx", torch.zeros(2, 5))
    with pytest.raises(MissingExtraError, match=r"recuse\[onnx\]"):
        read_metadata(tmp_path / "m.onnx")


# In onnxruntime


@pytest.fixture(scope="module")
def onnx():
    """The package, where it is installed with those that it is used with."""
    for package in ("onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason="needs the extra onnx")
    return pytest.importorskip("onnx", reason="needs the extra onnx")


def session(path):
    import onnxruntime

    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def ran(path, *inputs):
    """The outputs of a file."""
    opened = session(path)
    names = [x.name for x in opened.get_inputs()]
    return _module.Decisions(*opened.run(None, dict(zip(names, inputs))))


class Scores(torch.nn.Module):
    """The confidence of every score, and no decision."""

    def forward(self, z):
        """One (n,) for each."""
        return tuple(_scores.of_rows(score, z) for score in EVERY)


@pytest.fixture(scope="module")
def every_score(onnx, tmp_path_factory):
    """float64 logits (n, 5) -> name -> confidence, in onnxruntime."""
    path = tmp_path_factory.mktemp("onnx") / "every.onnx"
    shapes = ({0: torch.export.Dim("n")},)
    example = (torch.zeros(2, 5, dtype=torch.float64),)
    torch.onnx.export(
        Scores().eval(), example, path, dynamo=True, dynamic_shapes=shapes, input_names=["z"],
        opset_version=18, verbose=False, optimize=False,
    )  # fmt: skip
    opened = session(path)
    return lambda z: dict(zip(EVERY, opened.run(None, {"z": z.astype(np.float64)})))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_every_score_of_10000_rows_is_numpys_to_the_last_bit(every_score, dtype):
    z = sample(10_000, seed=3, dtype=dtype)[0]
    z[:10, 1] = z[:10, 0]
    for score, found in every_score(z).items():
        assert not apart(found, score(z), steps_allowed=0).any(), score


@given(z=logits_of(classes=st.just(5)))
def test_every_score_of_any_row_is_numpys_or_its_neighbour(every_score, z):
    for score, found in every_score(z).items():
        assert not apart(found, score(z), steps_allowed=1).any(), score


def test_small_odds_keep_their_digits_without_an_operator_for_log1p(every_score):
    z = np.zeros((60, 5))
    z[:, 0] = np.arange(60) * 10
    for score, found in every_score(z).items():
        np.testing.assert_array_equal(found, score(z), err_msg=str(score))


def test_wherever_a_nan_is_every_confidence_is_one(every_score):
    z = np.where(np.eye(5) == 1, np.nan, np.array([9.0, 2, 1, 0, -1]))
    for score, found in every_score(z).items():
        assert np.isnan(found).all(), score


@pytest.mark.parametrize("move", [-np.inf, None, np.inf])
def test_a_file_decides_at_one_step_under_and_one_over_the_threshold(onnx, tmp_path, move):
    c = FITTED.score(Z)[7]
    threshold = c if move is None else np.nextafter(c, np.float32(move))
    module = deciding(threshold=threshold)
    to_onnx(module, tmp_path / "m.onnx", torch.zeros(1, 5))
    found = ran(tmp_path / "m.onnx", Z)
    identical(found, module.rejector.predict(Z))
    assert found.accept[7] == (move != np.inf)
    assert [x.dtype.name for x in found] == ["float32", "int64", "float32", "bool", "float32"]


def test_real_logits_are_decided_as_recuse_does(onnx, tmp_path):
    """On the test split of the demo's recipe."""
    pytest.importorskip("sklearn", reason="needs the extra train")
    splits = digits.train(0, (0.2,), steps=300)[0.2]
    tune, calibrate, test = splits["tune"], splits["calibrate"], splits["test"]
    rejector = rc.fit(tune[:2], calibrate[:2], target_risk=0.3)
    module = to_module(torch.nn.Identity(), rejector)
    to_onnx(module, tmp_path / "m.onnx", torch.zeros(1, 10))
    identical(ran(tmp_path / "m.onnx", test.logits), rejector.predict(test.logits))
    parity = check_onnx(tmp_path / "m.onnx", module, torch.from_numpy(test.logits))
    assert parity == (len(test.labels), 0, 0, 0.0, 0)
    assert len(test.labels) > 5_000


class Cast(torch.nn.Module):
    """float32 inputs as logits of another precision."""

    def __init__(self, dtype):
        super().__init__()
        self.dtype = dtype

    def forward(self, z):
        """The same numbers, rounded."""
        return z.to(self.dtype)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_a_model_of_any_precision(onnx, tmp_path, dtype):
    module = deciding(LEARNED, 0.5, model=torch.nn.Sequential(Cast(dtype), Rounded()))
    to_onnx(module, tmp_path / "m.onnx", torch.zeros(1, 5))
    found = ran(tmp_path / "m.onnx", Z)
    identical(found, module.rejector.predict(torch.from_numpy(Z).to(dtype)))


class Rounded(torch.nn.Module):
    """Back to float32, which onnxruntime hands to NumPy; the numbers stay those of the dtype."""

    def forward(self, z):
        """float64 stays as it is."""
        return z if z.dtype == torch.float64 else z.float()


class Segmenter(torch.nn.Module):
    """Images of any size -> logits of their pixels."""

    def __init__(self):
        super().__init__()
        self.net = torch.nn.Conv2d(3, 5, 3, padding=1)

    def forward(self, x):
        """(n, 3, H, W) -> (n, 5, H, W)."""
        return 5 * self.net(x)


def test_pixels_of_images_of_any_number_and_size(onnx, tmp_path):
    module = deciding(model=Segmenter())
    to_onnx(module, tmp_path / "m.onnx", torch.randn(1, 3, 8, 8))
    for shape in ((1, 3, 8, 8), (3, 3, 5, 9)):
        x = torch.randn(shape, generator=torch.manual_seed(0))
        found = ran(tmp_path / "m.onnx", x.numpy())
        assert found.accept.shape == (shape[0], *shape[2:])
        identical(found, module.rejector.predict(found.logits))
        assert check_onnx(tmp_path / "m.onnx", module, x).decisions == 0


@pytest.mark.parametrize("kind", ["binary", "probs"])
def test_heads_of_one_column_and_probabilities_in_a_file(onnx, tmp_path, kind):
    module = deciding(threshold=1.25, kind=kind, classes=2 if kind == "binary" else 5)
    rows = one_column(400)[0] if kind == "binary" else torch.from_numpy(Z).softmax(1).numpy()
    to_onnx(module, tmp_path / "m.onnx", torch.from_numpy(rows[:2]))
    identical(ran(tmp_path / "m.onnx", rows), module.rejector.predict(rows))
    assert check_onnx(tmp_path / "m.onnx", module, torch.from_numpy(rows)).decisions == 0


@pytest.mark.parametrize("score", [LEARNED, Score.parse("logit_norm(p=3)")], ids=str)
def test_a_file_leaves_impossible_classes_out(score, onnx, tmp_path):
    splits = {**FITTED.splits, "tune": {**FITTED.splits["tune"], "filler": -5000.1}}
    module = deciding(score, splits=splits)
    to_onnx(module, tmp_path / "m.onnx", torch.zeros(1, 5))
    z = np.where(masked(Z) > -np.inf, Z, np.float32(-5000.11))
    z[::2] = masked(Z[::2], seed=1)
    found, expected = ran(tmp_path / "m.onnx", z), module.rejector.predict(z)
    assert np.array_equal(found.label, expected.prediction)
    assert not apart(found.confidence, expected.confidence, steps_allowed=1).any()


def test_a_file_accepts_nothing_that_is_no_logits(onnx, tmp_path):
    to_onnx(deciding(threshold=-1e30), tmp_path / "m.onnx", torch.zeros(1, 5))
    z = Z[:9].copy()
    z[0, 1], z[1, 0], z[2] = np.nan, np.inf, -np.inf
    found = ran(tmp_path / "m.onnx", z)
    assert found.accept.tolist() == [False] * 3 + [True] * 6
    assert found.label[:3].tolist() == [-1] * 3
    assert np.isnan(found.confidence[:3]).all()


class Two(torch.nn.Module):
    """Tokens and their weights -> logits."""

    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(10, 5)

    def forward(self, tokens, weights):
        """(n, l) integers, (n, l) -> (n, 5)."""
        return (self.embed(tokens) * weights.unsqueeze(2)).sum(dim=1)


def test_several_inputs_have_numbered_names(onnx, tmp_path):
    module = deciding(model=Two())
    inputs = torch.randint(10, (4, 3)), torch.randn(4, 3)
    to_onnx(module, tmp_path / "m.onnx", tuple(x[:1] for x in inputs))
    assert [x.name for x in session(tmp_path / "m.onnx").get_inputs()] == ["input_0", "input_1"]
    assert check_onnx(tmp_path / "m.onnx", module, inputs)[:3] == (4, 0, 0)


def test_the_file_says_what_it_guarantees(onnx, tmp_path):
    to_onnx(deciding(), tmp_path / "m.onnx", torch.zeros(1, 5))
    said = session(tmp_path / "m.onnx").get_modelmeta().custom_metadata_map
    assert said["recuse.guarantee"] == str(FITTED.guarantee)
    assert float(said["recuse.threshold"]) == FITTED.threshold
    assert (said["recuse.score"], said["recuse.classes"]) == (str(FITTED.score), "5")
    fitted = altered(FITTED, model=None)
    fitted.save(tmp_path / "r.json")
    assert said["recuse.digest"] in (tmp_path / "r.json").read_text()
    found = read_metadata(tmp_path / "m.onnx")
    assert (found.rejector, found.digest, found.version) == (
        fitted, said["recuse.digest"], rc.__version__,
    )  # fmt: skip
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx", "r.json"]


def test_metadata_that_is_missing_or_was_changed_is_refused(onnx, tmp_path):
    path = tmp_path / "m.onnx"
    with pytest.raises(InputError, match="expected an ONNX file, got No such file"):
        read_metadata(path)
    path.write_bytes(b"\xff" * 100)
    with pytest.raises(InputError, match="expected an ONNX file, got something else"):
        read_metadata(path)
    to_onnx(deciding(), path, torch.zeros(1, 5))
    model = onnx.load(path)
    entry = next(e for e in model.metadata_props if e.key == "recuse.rejector")
    entry.value = entry.value.replace('"errors": ', '"errors": 1')
    onnx.save(model, path)
    with pytest.raises(InputError, match="malformed"):
        read_metadata(path)
    model.metadata_props.remove(entry)
    onnx.save(model, path)
    with pytest.raises(InputError, match=r"got no `recuse\.rejector`"):
        read_metadata(path)


def test_a_check_finds_another_threshold_another_network_and_another_rejector(onnx, tmp_path):
    net = torch.nn.Linear(5, 5)
    torch.nn.init.eye_(net.weight)
    module, path = deciding(model=net), tmp_path / "m.onnx"
    to_onnx(module, path, torch.zeros(1, 5))
    other = rc.export.SelectiveModule(net, FITTED).eval()
    other.rejector = altered(FITTED, threshold=FITTED.threshold + 1)
    to_onnx(other, tmp_path / "other.onnx", torch.zeros(1, 5))
    x = torch.from_numpy(Z)
    with pytest.raises(InputError, match="got another rejector"):
        check_onnx(tmp_path / "other.onnx", module, x)
    model, wrong = onnx.load(path), onnx.load(tmp_path / "other.onnx")
    del wrong.metadata_props[:]
    wrong.metadata_props.extend(model.metadata_props)
    onnx.save(wrong, path)  # the graph of one, the guarantee of the other
    parity = check_onnx(path, module, x)
    assert parity.decisions == parity.changed > 0
    assert (parity.confidences, parity.logits) == (0, 0)
    assert f"{parity.decisions:,} of 2,000 decisions differ" in str(parity)
    to_onnx(module, path, torch.zeros(1, 5))
    with torch.no_grad():
        net.weight.mul_(-1)
    parity = check_onnx(path, module, x)
    assert (parity.decisions, parity.confidences) == (0, 0)
    assert parity.logits > 1
    assert parity.changed > 1000


class Pairs(torch.nn.Module):
    """A batch of two only."""

    def forward(self, z):
        """The rows in the other order."""
        return torch.stack([z.reshape(2, 5)[1], z.reshape(2, 5)[0]])


@pytest.mark.parametrize(
    ("module", "path", "example", "message"),
    [
        (lambda: deciding(), "m.pt", torch.zeros(1, 5), r"a name ending in \.onnx"),
        (lambda: deciding(), "m.onnx", torch.zeros(1, 4), r"logits of shape \(n, 5, ...\)"),
        (lambda: deciding(), "m.onnx", torch.zeros(0, 5), r"example inputs as tensors \(n, ...\)"),
        (lambda: deciding(), "m.onnx", [1.0], "example inputs as tensors"),
        (lambda: deciding().train(), "m.onnx", torch.zeros(1, 5), "evaluation mode"),
        (lambda: torch.nn.Identity(), "m.onnx", torch.zeros(1, 5), "a module of `to_module`"),
        (lambda: deciding(model=Pairs()), "m.onnx", torch.zeros(1, 5), "cannot export"),
        (
            lambda: deciding(model=torch.nn.Linear(5, 2**27, device="meta")),
            "m.onnx", torch.zeros(1, 5), r"less than 2 GB of weights, got 3\.2 GB",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_one_line_and_leaves_the_old_file(
    onnx, tmp_path, module, path, example, message
):
    (tmp_path / path).write_text("old")
    with pytest.raises(InputError, match=message) as error:
        to_onnx(module(), tmp_path / path, example)
    assert "\n" not in str(error.value)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


# Thresholds of classes

LIMITS = np.float32([0.7, 1.3, np.inf, 0.1, 2.9])  # nothing of class 2


def by_class():
    """A rejector of one threshold a class, on max_logit, whose confidence is told by hand."""
    guarantee = FITTED.guarantee
    rules = tuple(rc.rejector.Rule(k, float(t), guarantee) for k, t in enumerate(LIMITS))
    return replace(FITTED, score=Score("max_logit"), rules=rules, by="class")


def around():
    """Rows at each class' threshold, one float32 step under and over it, and far above."""
    at = np.where(np.isinf(LIMITS), 1, LIMITS)
    steps = [np.nextafter(at, np.float32(x)) for x in (-np.inf, np.inf)]
    values = np.stack([steps[0], at, steps[1], np.full(5, 3e38, np.float32)])  # (4, K)
    return (values[:, :, None] * np.eye(5, dtype=np.float32)).reshape(-1, 5)


EXPECTED = [x for t in range(4) for x in [t > 0, t > 0, False, t > 0, t > 0]]


def test_each_class_is_decided_at_its_own_threshold():
    module, z = to_module(torch.nn.Identity(), by_class()), around()
    decided = module(torch.from_numpy(z))
    identical(decided, module.rejector.predict(z))
    assert decided.accept.tolist() == EXPECTED
    identical(module(torch.from_numpy(Z)), module.rejector.predict(Z))


def test_an_abstained_class_accepts_no_infinite_confidence():
    rejector = replace(by_class(), score=Score("msp"))
    certain = np.full((5, 5), -np.inf, np.float32)
    np.fill_diagonal(certain, 0)
    decided = to_module(torch.nn.Identity(), rejector)(torch.from_numpy(certain))
    assert decided.confidence.tolist() == [math.inf] * 5
    assert decided.accept.tolist() == [True, True, False, True, True]
    identical(decided, rejector.predict(certain))


def test_pixels_are_decided_at_the_thresholds_of_their_classes():
    module = to_module(torch.nn.Identity(), by_class())
    z = np.moveaxis(around().reshape(5, 2, 2, 5), -1, 1)
    identical(module(torch.from_numpy(np.ascontiguousarray(z))), module.rejector.predict(z))


def test_onnx_and_torch_export_decide_each_class_at_its_own_threshold(onnx, tmp_path):
    rejector = rc.fit(
        sample(900, seed=0), sample(900, seed=1), target_risk=0.2, subgroups="class", learned=False
    )
    path, module = tmp_path / "m.onnx", to_module(torch.nn.Identity(), rejector)
    to_onnx(module, path, torch.zeros(1, 5))
    limits = [rule.threshold for rule in rejector.rules]
    said = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert said["recuse.by"] == "class"
    assert len(json.loads(said["recuse.threshold"])) == 5
    assert read_metadata(path).rejector == rejector
    by_hand = to_module(torch.nn.Identity(), by_class())
    to_onnx(by_hand, tmp_path / "hand.onnx", torch.zeros(1, 5))
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(tmp_path / "hand.onnx", providers=["CPUExecutionProvider"])
    found = session.run(["accept", "confidence"], {"input": around()})
    assert found[0].tolist() == EXPECTED
    np.testing.assert_array_equal(found[1], by_hand.rejector.predict(around()).confidence)
    assert check_onnx(path, module, torch.from_numpy(Z.astype(np.float32))).decisions == 0
    program = torch.export.export(by_hand, (torch.zeros(3, 5),), dynamic_shapes=BATCH)
    assert program.module()(torch.from_numpy(around())).accept.tolist() == EXPECTED
    assert len(limits) == 5


def test_thresholds_of_subgroups_are_not_exported():
    site = np.arange(400) % 2
    rejector = rc.fit(
        sample(400, seed=0),
        sample(400, seed=1),
        target_risk=0.3,
        subgroups=(site, site),
        learned=False,
    )
    with pytest.raises(InputError, match="the subgroup is not an input of the model"):
        to_module(torch.nn.Identity(), rejector)
