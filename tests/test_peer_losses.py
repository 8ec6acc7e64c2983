"""Our losses against those of other libraries and of the authors, restated as plain loops.

The table of docs/which-smoothing.md is executed: each row's last cell is evaluated and compared
with the restatement of the library that the row names. Where a package is installed, its
restatement is compared with the package itself.
"""

import contextlib
import importlib.util
import math
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import reference_losses as reference
from recuse import InputError
from recuse.losses import (
    linear_schedule,
    margin_smoothing,
    max_suppression,
    smoothed_binary_cross_entropy_with_logits,
    smoothed_cross_entropy,
)
from recuse.losses.targets import OnlineSmoothing, smooth, smooth_labels

PAGE = Path(__file__).parent.parent / "docs" / "which-smoothing.md"

FLOAT64 = 1e-11  # sums of at most 32 terms of size at most 20
DIFFERENCE = 1e-7  # of a central difference with step 1e-5, its own error included
PACKAGE = 1e-6  # the packages compute in float32

# Row of the table: what the library computes for a case (below).
LIBRARIES = {
    "PyTorch": lambda c: reference.pytorch(c.z, c.ignoring, c.a, c.w),
    "PyTorch, soft targets": lambda c: reference.pytorch_soft(c.z, c.t, c.a, c.w),
    "timm": lambda c: reference.timm(c.z, c.y, c.a),
    "timm, binary": lambda c: reference.timm_binary(c.z, c.y, c.a),
    "fastai": lambda c: reference.fastai(c.z, c.y, c.a),
    "fastai, class weights": lambda c: reference.fastai(c.z, c.y, c.a, c.w),
    "fastai, first version": lambda c: reference.early_fastai(c.z, c.y, c.a),
    "Composer": lambda c: reference.composer_loss(c.z, c.y, c.a, c.w),
    "Keras, TensorFlow": lambda c: reference.keras(c.z, c.y, c.a),
    "Keras, TensorFlow, binary": lambda c: reference.keras_binary(c.z, c.t, c.a),
    "optax": lambda c: reference.optax(c.z, c.y, c.a),
    "Paddle": lambda c: reference.paddle(c.z, c.y, c.a, c.w),
    "Hugging Face": lambda c: reference.hugging_face(c.z, c.ignoring, c.a),
    "fairseq": lambda c: reference.fairseq(c.z, c.y, c.a, c.pad),
    "fairseq before 2021": lambda c: reference.early_fairseq(c.z, c.y, c.a, c.pad),
    "OpenNMT-tf": lambda c: reference.opennmt_tf(c.z, c.y, c.a),
    "OpenNMT-py": lambda c: reference.opennmt_py(c.z, c.y, c.a, c.pad),
    "OpenNMT-py before 3.0.3": lambda c: reference.early_opennmt_py(c.z, c.y, c.a, c.pad),
    "`MyCrossEntropyLoss`": lambda c: reference.my_cross_entropy_loss(
        c.z, [reference.smoothed_target(y, c.K, c.a) for y in c.y], c.w
    ),
}
# Their rows ignore the label -100; the others know no ignored label, or a class for padding.
IGNORE = ("PyTorch", "Hugging Face")
# A divergence, not a cross entropy: smaller by the entropy of the targets, which has no gradient.
DIVERGENCE = "OpenNMT-py before 3.0.3"


def table():
    """Name and call of each row of the page's table."""
    rows = {}
    for line in PAGE.read_text().split("| library |")[1].split("\n\n")[0].splitlines()[2:]:
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        rows[cells[0]] = cells[-1].strip("` ")
    return rows


@st.composite
def cases(draw, ignoring=False):
    """Logits z, labels y, soft targets t, class weights w; the padding is class 0."""
    k, n = draw(st.integers(3, 5)), draw(st.integers(1, 4))
    numbers = st.floats(-6, 6).map(lambda v: round(v, 2))
    label = st.integers(0, k - 1)
    y = draw(st.lists(label, min_size=n, max_size=n))
    keep = draw(st.lists(st.booleans(), min_size=n, max_size=n)) if ignoring else [True] * n
    return SimpleNamespace(
        z=draw(st.lists(st.lists(numbers, min_size=k, max_size=k), min_size=n, max_size=n)),
        y=y,
        ignoring=[v if i == 0 or keep[i] else -100 for i, v in enumerate(y)],
        t=[reference.one_hot(v, k) for v in y],
        w=draw(st.lists(st.sampled_from([0.5, 1.0, 4.0]), min_size=k, max_size=k)),
        a=draw(st.sampled_from([0.0, 0.1, 0.3, 0.5])),
        K=k,
        pad=0,
    )


def evaluate(call, case, z):
    """The call of a row, at these logits."""
    uniform_but_padding = torch.full((case.K,), 1 / (case.K - 1), dtype=torch.float64)
    uniform_but_padding[case.pad] = 0
    names = {
        "smoothed_cross_entropy": smoothed_cross_entropy,
        "smoothed_binary_cross_entropy_with_logits": smoothed_binary_cross_entropy_with_logits,
        "smooth": lambda labels, k, a: smooth(F.one_hot(labels, k).double(), k, a),
        "z": z,
        "y": torch.tensor(case.ignoring),
        "t": torch.tensor(case.t, dtype=torch.float64),
        "w": torch.tensor(case.w, dtype=torch.float64),
        "p": uniform_but_padding,
        "a": case.a,
        "K": case.K,
        "pad": case.pad,
    }
    return eval(call, names)


def numerical_gradient(loss, case, step=1e-5):
    """Central differences of the sum of what loss returns."""
    gradient = []
    for row in range(len(case.z)):
        for column in range(case.K):
            ends = []
            for sign in (1, -1):
                z = [list(v) for v in case.z]
                z[row][column] += sign * step
                value = loss(SimpleNamespace(**{**vars(case), "z": z}))
                ends.append(sum(value) if isinstance(value, list) else value)
            gradient.append((ends[0] - ends[1]) / (2 * step))
    return gradient


def test_every_library_of_the_table_is_tested_and_none_else():
    assert list(table()) == list(LIBRARIES)


@pytest.mark.parametrize("name", LIBRARIES)
@settings(max_examples=15)
@given(data=st.data())
def test_the_call_of_the_row_has_the_value_and_gradient_of_the_library(name, data):
    case = data.draw(cases(ignoring=name in IGNORE))
    z = torch.tensor(case.z, dtype=torch.float64, requires_grad=True)
    ours, theirs = evaluate(table()[name], case, z), LIBRARIES[name](case)
    if name == DIVERGENCE:
        for y in case.y:
            q = reference.early_opennmt_py_target(y, case.K, case.a, case.pad)
            theirs -= sum(v * math.log(v) for v in q if v)
    assert ours.tolist() == pytest.approx(theirs, abs=FLOAT64)
    ours.sum().backward()
    expected = numerical_gradient(LIBRARIES[name], case)
    assert z.grad.flatten().tolist() == pytest.approx(expected, abs=DIFFERENCE)


@settings(max_examples=15)
@given(case=cases())
def test_a_prior_of_paddle_is_ours(case):
    total = sum(case.w)
    prior = [w / total for w in case.w]
    z, p = (torch.tensor(x, dtype=torch.float64) for x in (case.z, prior))
    ours = smoothed_cross_entropy(z, torch.tensor(case.y), case.a, prior=p)
    theirs = reference.paddle(case.z, case.y, case.a, prior=prior)
    assert float(ours) == pytest.approx(theirs, abs=FLOAT64)


# --- Traps: where a library differs from itself, or from what its users expect --------------------

Z = [[2.0, 0.0, -1.0], [0.5, 1.5, 0.0], [-1.0, 0.0, 3.0]]
Y = [0, 1, 1]
W = [4.0, 1.0, 0.5]


def ours(labels, a, **options):
    """Value and gradient at Z."""
    z = torch.tensor(Z, dtype=torch.float64, requires_grad=True)
    loss = smoothed_cross_entropy(z, torch.tensor(labels), a, **options)
    loss.backward()
    return loss.item(), z.grad


def of_row(loss, row, step=1e-5):
    """The gradient at one row of Z, by central differences."""
    gradient = []
    for column in range(3):
        ends = []
        for sign in (1, -1):
            z = [list(v) for v in Z]
            z[row][column] += sign * step
            ends.append(loss(z))
        gradient.append((ends[0] - ends[1]) / (2 * step))
    return gradient


def test_trap_fastai_weights_one_of_its_two_terms():
    """A weight reaches both terms in PyTorch and here: a class of weight 0 is not trained for."""
    weight = torch.tensor(W, dtype=torch.float64)
    value, _ = ours(Y, 0.2, weight=weight)
    assert value == pytest.approx(reference.pytorch(Z, Y, 0.2, W), abs=FLOAT64)
    assert value != pytest.approx(reference.fastai(Z, Y, 0.2, W), abs=0.01)


def test_trap_fastai_trains_ignored_labels():
    ignored = [0, 1, -100]
    theirs = of_row(lambda z: reference.fastai(z, ignored, 0.2), 2)
    assert max(map(abs, theirs)) > 0.01
    assert not ours(ignored, 0.2)[1][2].any()


def test_trap_composer_trains_ignored_labels():
    ignored = [0, 1, -100]
    assert reference.composer(-100, 4, 0.2) == pytest.approx([0.05] * 4)
    theirs = of_row(lambda z: reference.composer_loss(z, ignored, 0.2), 2)
    assert max(map(abs, theirs)) > 0.01
    assert not ours(ignored, 0.2)[1][2].any()
    target = smooth_labels(torch.zeros(3, 4), torch.tensor(ignored), 0.2)
    assert target[2].tolist() == [0, 0, 0, 0]


def test_trap_hugging_face_cannot_ignore_255():
    """Only negative labels are made fit for the look-up."""
    ignored = [0, 1, 255]
    with pytest.raises(IndexError):
        reference.hugging_face(Z, ignored, 0.2, ignore_index=255)
    value, gradient = ours(ignored, 0.2, ignore_index=255)
    assert value == pytest.approx(reference.hugging_face(Z[:2], Y[:2], 0.2), abs=FLOAT64)
    assert not gradient[2].any()


def test_trap_hugging_face_trains_a_stray_negative_label_as_class_0():
    stray = reference.hugging_face(Z, [0, 1, -1], 0.2)
    assert stray == reference.hugging_face(Z, [0, 1, 0], 0.2)
    with pytest.raises(InputError, match="got -1"):
        ours([0, 1, -1], 0.2)


def test_trap_pytorch_ignores_a_negative_smoothing():
    z, y = torch.tensor(Z), torch.tensor(Y)
    assert F.cross_entropy(z, y, label_smoothing=-0.2) == F.cross_entropy(z, y)
    assert reference.pytorch(Z, Y, -0.2) == reference.pytorch(Z, Y, 0.0)
    value, _ = ours(Y, -0.2)
    expected = reference.smoothed_cross_entropy(Z, Y, -0.2)
    assert value == pytest.approx(expected, abs=FLOAT64)
    assert value != pytest.approx(reference.pytorch(Z, Y, 0.0), abs=0.01)


def test_trap_pytorch_gives_3_for_labels_and_12_for_the_same_labels_one_hot():
    z = [[0.0, math.log(math.exp(3) - 1)]] * 2  # each costs 3
    labels, dense, w = [0, 0], [[1.0, 0.0]] * 2, [4.0, 1.0]
    assert reference.pytorch(z, labels, 0.0, w) == pytest.approx(3)
    assert reference.pytorch_soft(z, dense, 0.0, w) == pytest.approx(12)
    logits, weight = torch.tensor(z), torch.tensor(w)
    for target, theirs in ((torch.tensor(labels), 3), (torch.tensor(dense), 12)):
        assert F.cross_entropy(logits, target, weight).item() == pytest.approx(theirs, rel=1e-6)
        mine = smoothed_cross_entropy(logits, target, 0, weight=weight)
        assert mine.item() == pytest.approx(3, rel=1e-6)


def test_trap_early_opennmt_leaves_out_a_class_if_no_padding_is_named():
    """Its default of -100 counts from the end: with 101 classes, class 1 is the padding."""
    q = reference.early_opennmt_py_target(7, 101, 0.1, -100)
    assert (q[1], q[2]) == (0, pytest.approx(0.1 / 99))
    mine = smooth(torch.tensor([7]), 101, 0.1, convention="exclude_true")[0]
    assert mine[1].item() == mine[2].item() == pytest.approx(0.1 / 100)


def test_trap_fairseq_and_opennmt_changed_the_meaning_of_their_argument():
    assert reference.fairseq(Z, Y, 0.2, -1) != pytest.approx(
        reference.early_fairseq(Z, Y, 0.2, -1), abs=0.01
    )
    theirs = of_row(lambda z: reference.opennmt_py(z, [2, 1, 1], 0.2, 0), 0)
    before = of_row(lambda z: reference.early_opennmt_py(z, [2, 1, 1], 0.2, 0), 0)
    assert max(abs(x - y) for x, y in zip(theirs, before)) > 0.01


def test_trap_smoothing_targets_that_are_smoothed_already():
    """`MyCrossEntropyLoss` takes what it gets: one-hot rows are not smoothed by it."""
    dense = [reference.one_hot(y, 3) for y in Y]
    assert reference.my_cross_entropy_loss(Z, dense) == pytest.approx(reference.pytorch(Z, Y, 0.0))


# --- The authors' programs ------------------------------------------------------------------------


@settings(max_examples=15)
@given(case=cases(), margin=st.sampled_from([0.0, 1.0, 6.0, 10.0]))
def test_margin_smoothing_is_the_program_of_its_authors(case, margin):
    z = torch.tensor(case.z, dtype=torch.float64)
    loss = margin_smoothing(z, torch.tensor(case.y), case.a, margin=margin)
    theirs = reference.mbls(case.z, case.y, case.a, margin)
    assert float(loss) == pytest.approx(theirs, abs=FLOAT64)


def test_margin_smoothing_ignores_255_as_its_authors_do():
    labels = torch.tensor([0, 1, 255])
    loss = margin_smoothing(torch.tensor(Z).double(), labels, 0.1, margin=1.0, ignore_index=255)
    theirs = reference.mbls(Z, labels.tolist(), 0.1, 1.0, ignore_index=255)
    assert float(loss) == pytest.approx(theirs, abs=FLOAT64)


def test_trap_the_authors_of_margin_smoothing_penalise_rows_of_the_label_minus_100():
    ignored = [0, 1, -100]
    theirs = of_row(lambda z: reference.mbls(z, ignored, 0.1, 1.0), 2)
    assert max(map(abs, theirs)) > 0.01
    z = torch.tensor(Z, requires_grad=True)
    margin_smoothing(z, torch.tensor(ignored), 0.1, margin=1.0).backward()
    assert not z.grad[2].any()


@settings(max_examples=15)
@given(case=cases())
def test_max_suppression_is_the_program_of_its_authors(case):
    z = torch.tensor(case.z, dtype=torch.float64)
    loss = max_suppression(z, torch.tensor(case.y), case.a)
    assert float(loss) == pytest.approx(reference.maxsup(case.z, case.y, case.a), abs=FLOAT64)


@pytest.mark.parametrize("epoch", [0, 1, 150, 299])
def test_the_schedule_is_that_of_the_authors_but_for_one_program_which_stops_short(epoch):
    deit, long_tailed, convolutional = reference.maxsup_schedules(epoch, 300)
    assert linear_schedule(epoch, 300) == pytest.approx(deit) == pytest.approx(long_tailed)
    assert linear_schedule(epoch, 300) - convolutional == pytest.approx(
        0.1 * epoch / 299 - 0.1 * epoch / 300
    )


def batches(seed, k=4, n=20):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(n, k, generator=generator, dtype=torch.float64)
    z[:, k - 1] -= 20  # the last class is never predicted
    return z, torch.randint(k, (n,), generator=generator)


@pytest.mark.parametrize("seed", range(3))
def test_online_rows_and_loss_are_those_of_the_authors_where_a_class_was_predicted(seed):
    z, y = batches(seed)
    online = OnlineSmoothing(4).double()
    online.update(z, y)
    online.step()
    rows = reference.authors_online_rows(4, list(zip(z.tolist(), y.tolist())))
    predicted = [c for c in range(4) if rows[c] != [0.25] * 4]
    assert 3 not in predicted
    for c in predicted:
        assert online.prior[c].tolist() == pytest.approx(rows[c], abs=FLOAT64)
    inside = torch.isin(y, torch.tensor(predicted))
    loss = smoothed_cross_entropy(z[inside], y[inside], 0.5, prior=online.prior)
    theirs = reference.online_loss(z[inside].tolist(), y[inside].tolist(), rows)
    assert float(loss) == pytest.approx(theirs, abs=FLOAT64)


def test_a_class_without_a_correct_prediction_keeps_its_row_where_the_authors_take_uniform():
    z, y = batches(0)
    online = OnlineSmoothing(4).double()
    before = online.prior[3].tolist()
    online.update(z, y)
    online.step()
    assert online.prior[3].tolist() == before
    assert reference.authors_online_rows(4, list(zip(z.tolist(), y.tolist())))[3] == [0.25] * 4


def test_the_first_epoch_of_the_authors_is_half_the_cross_entropy_and_ours_with_first_0_all_of_it():
    z, y = batches(1)
    none_yet = [[0.0] * 4] * 4
    theirs = reference.online_loss(z.tolist(), y.tolist(), none_yet)
    online = OnlineSmoothing(4, first=0)
    mine = smoothed_cross_entropy(z, y, 0.5, prior=online.prior)
    assert float(mine) == pytest.approx(2 * theirs, abs=FLOAT64)


# --- The packages themselves ----------------------------------------------------------------------


def tensors(case):
    return torch.tensor(case.z), torch.tensor(case.y)


def real_pytorch(case):
    z, y = torch.tensor(case.z), torch.tensor(case.ignoring)
    return F.cross_entropy(z, y, torch.tensor(case.w), label_smoothing=case.a)


def real_pytorch_soft(case):
    z, t = torch.tensor(case.z), torch.tensor(case.t)
    return F.cross_entropy(z, t, torch.tensor(case.w), label_smoothing=case.a)


def real_timm(case):
    return load("timm.loss").LabelSmoothingCrossEntropy(case.a)(*tensors(case))


def real_timm_binary(case):
    return load("timm.loss").BinaryCrossEntropy(case.a)(*tensors(case))


def real_fastai(case):
    return load("fastai.losses").LabelSmoothingCrossEntropy(case.a)(*tensors(case))


def real_fastai_weighted(case):
    loss = load("fastai.losses").LabelSmoothingCrossEntropy(case.a, torch.tensor(case.w))
    return loss(*tensors(case))


def real_keras(case):
    loss = load("keras.losses").CategoricalCrossentropy(from_logits=True, label_smoothing=case.a)
    return float(loss(case.t, case.z))


def real_keras_binary(case):
    loss = load("keras.losses").BinaryCrossentropy(from_logits=True, label_smoothing=case.a)
    return float(loss(case.t, case.z))


def real_optax(case):
    losses, numpy = load("optax").losses, importlib.import_module("numpy")
    target = losses.smooth_labels(numpy.float32(case.t), case.a)
    return losses.softmax_cross_entropy(numpy.float32(case.z), target)


def real_paddle(case):
    paddle = load("paddle")
    z, t, w = (paddle.to_tensor(x, dtype="float32") for x in (case.z, case.t, case.w))
    functional = paddle.nn.functional
    target = functional.label_smooth(t, epsilon=case.a)
    return functional.cross_entropy(z, target, weight=w, soft_label=True)


def real_hugging_face(case):
    smoother = load("transformers.trainer_pt_utils").LabelSmoother(case.a)
    return smoother({"logits": torch.tensor(case.z)}, torch.tensor(case.ignoring))


PACKAGES = {
    "PyTorch": ("torch", real_pytorch),
    "PyTorch, soft targets": ("torch", real_pytorch_soft),
    "timm": ("timm", real_timm),
    "timm, binary": ("timm", real_timm_binary),
    "fastai": ("fastai", real_fastai),
    "fastai, class weights": ("fastai", real_fastai_weighted),
    "Keras, TensorFlow": ("keras", real_keras),
    "Keras, TensorFlow, binary": ("keras", real_keras_binary),
    "optax": ("optax", real_optax),
    "Paddle": ("paddle", real_paddle),
    "Hugging Face": ("transformers", real_hugging_face),
}


def load(module):
    """The module, whose warnings are not ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(module)


@pytest.mark.parametrize("name", PACKAGES)
def test_the_restatement_is_the_package_where_it_is_installed(name, monkeypatch):
    package, real = PACKAGES[name]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: its restatement is compared with it elsewhere")
    monkeypatch.setenv("KERAS_BACKEND", "torch")

    @settings(max_examples=10)
    @given(case=cases(ignoring=name in IGNORE))
    def check(case):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = real(case)
        with contextlib.suppress(AttributeError):
            theirs = theirs.tolist()
        assert theirs == pytest.approx(LIBRARIES[name](case), rel=PACKAGE, abs=PACKAGE)

    check()
