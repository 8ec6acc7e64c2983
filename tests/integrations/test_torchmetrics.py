"""The metrics: in one process, in two, and in Lightning."""

import math
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset, DistributedSampler

import recuse
from recuse import CurveSketch, InputError, MissingExtraError
from recuse.export import _scores
from recuse.scores import SCORES, Score, msp, predict
from samples import learned_score, pixels, sample
from strategies import logits as logits_of
from strategies import predictions

torchmetrics = pytest.importorskip("torchmetrics", reason="make test-integrations has it")

from recuse.integrations.torchmetrics import (  # noqa: E402
    AUGRC,
    AURC,
    CoverageAtRisk,
    RiskAtCoverage,
    RiskCoverageCurve,
    SelectiveMetric,
    UnpaddedSampler,
)

N, K, BATCH = 97, 5, 8  # two processes have 7 and 6 batches, the last of them of 1 and 8
LOGITS, LABELS = sample(N, K)
CONFIDENCE, LOSS = msp(LOGITS), (predict(LOGITS) != LABELS).astype(float)
METRICS = {
    "aurc": (AURC, recuse.aurc),
    "augrc": (AUGRC, recuse.augrc),
    "coverage": (
        lambda **o: CoverageAtRisk(0.1, **o),
        lambda c, l: recuse.coverage_at_risk(c, l, 0.1),
    ),
    "risk": (lambda **o: RiskAtCoverage(0.7, **o), lambda c, l: recuse.risk_at_coverage(c, l, 0.7)),
}
ULP = 2**-23  # of float32: the last bit of an exponential of float64, rounded


def fill(metric, preds, target, size=BATCH, **options):
    for part in range(0, len(preds), size):
        batch = slice(part, part + size)
        given = {name: torch.as_tensor(x[batch]) for name, x in options.items()}
        metric.update(torch.as_tensor(preds[batch]), torch.as_tensor(target[batch]), **given)
    return metric


@pytest.mark.parametrize("name", METRICS)
def test_compute_is_the_function_of_all_rows(name):
    metric, function = METRICS[name]
    assert fill(metric(), LOGITS, LABELS).compute().item() == function(CONFIDENCE, LOSS)
    given = fill(metric(score=None), CONFIDENCE, LOSS)
    assert given.compute().item() == function(CONFIDENCE, LOSS)


@given(predictions(st.sampled_from([0.0, 0.3, 1.0, 2.5])), st.integers(1, 9))
def test_given_confidences_and_losses_are_kept_exactly(data, size):
    c, l = data
    assert fill(AURC(score=None), c, l, size).compute().item() == recuse.aurc(c, l)


def test_every_metric_is_tested():
    found = {cls.measure for cls in SelectiveMetric.__subclasses__()}
    assert found == {"aurc", "augrc", "coverage_at_risk", "risk_at_coverage", "risk_coverage"}


def test_trap_the_most_confident_alone_is_wrong():
    """torch-uncertainty's CovAtxRisk is NaN."""
    c, l = torch.tensor([0.9, 0.8, 0.7, 0.6]), torch.tensor([1, 0, 0, 0])
    assert CoverageAtRisk(0.25, score=None)(c, l) == 1
    assert CoverageAtRisk(0.2, score=None)(c, l) == 0


def test_trap_the_order_of_ties_does_not_matter():
    """torch-uncertainty's AURC of 100 predictions with two scores is .113 to .216."""
    c, l = np.repeat([0.9, 0.5], 50), np.tile([0.0, 0, 0, 1], 25)
    values = {fill(AURC(score=None), c, l[order]).compute().item() for order in _orders(l)}
    assert len(values) == 1


def _orders(l):
    first, second = np.split(np.arange(l.size), 2)
    for sign in (1, -1):
        yield np.r_[first[np.argsort(sign * l[first], kind="stable")], second]


@pytest.mark.parametrize("sketch", [None, "log_odds"])
def test_trap_the_curve_pairs_each_risk_with_its_coverage(sketch):
    """torch-uncertainty plots the risks in the opposite order."""
    found = fill(RiskCoverageCurve(sketch=sketch), LOGITS, LABELS).compute()
    if sketch is None:
        expected = recuse.risk_coverage(CONFIDENCE, LOSS)
    else:
        expected = CurveSketch(sketch).update(CONFIDENCE, LOSS).curve()
    for ours, column in zip(found, expected):
        np.testing.assert_array_equal(ours.numpy(), column)
    assert (found.coverage.diff() > 0).all()
    assert found.risk[-1].item() == LOSS.mean()


# Scores


def test_every_score_has_its_twin():
    assert set(_scores.SCORES) == {*SCORES, "learned"}


SPELLED = [
    *SCORES, "max_logit(center=true)", "energy(temperature=2)", "msp(temperature=3)",
    "logit_norm(p=3, center=false)", "logit_norm(p=inf)", "logit_norm(p=2.5)",
]  # fmt: skip


@pytest.mark.parametrize("score", [*map(Score.parse, SPELLED), learned_score()], ids=str)
@given(logits_of())
def test_scores_are_those_of_numpy(score, z):
    ours = _scores.confidence(score, torch.from_numpy(z)).numpy()
    np.testing.assert_allclose(ours, score(z), rtol=2 * ULP, atol=1e-12)


def test_rows_that_are_permutations_of_each_other_tie():
    row = torch.tensor([2.0, 0.3, -1.7, 0.9])
    rows = torch.stack([row[torch.randperm(4)] for _ in range(20)])
    for score in (*map(Score.parse, SPELLED), learned_score()):
        assert len(_scores.confidence(score, rows).unique()) == 1, score


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_logits_of_any_precision_are_read_exactly(dtype):
    z = torch.from_numpy(LOGITS).to(dtype)
    metric = fill(AURC(), z, LABELS)
    wide = z.double().numpy()
    expected = recuse.aurc(msp(wide), predict(wide) != LABELS)
    assert metric.compute().item() == pytest.approx(expected, rel=1e-12)
    assert metric.half().compute() == metric.compute()  # as Lightning casts modules


def test_probabilities_come_in_by_their_logarithm():
    probs = torch.from_numpy(LOGITS).double().softmax(1)
    assert fill(AURC(), probs.log(), LABELS).compute().item() == recuse.aurc(CONFIDENCE, LOSS)
    certain = AURC()(torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.3, 0.2]]).log(), torch.tensor([0, 1]))
    assert certain == 0.25


def test_a_score_may_be_a_function_or_one_that_was_tuned():
    metric = fill(AURC(score=lambda z: z.amax(dim=1)), LOGITS, LABELS)
    assert metric.compute().item() == recuse.aurc(LOGITS.max(axis=1), LOSS)
    norm = Score("logit_norm", {"p": 3})
    metric = fill(AURC(score=norm), LOGITS, LABELS)
    assert metric.compute().item() == pytest.approx(recuse.aurc(norm(LOGITS), LOSS), rel=1e-12)
    with pytest.raises(InputError, match=r"a score of shape \(2,\), got \(2, 3\)"):
        AURC(score=torch.exp).update(torch.zeros(2, 3), torch.zeros(2, dtype=int))


# Ignored labels, pixels


@pytest.mark.parametrize("sketch", [None, "log_odds"])
def test_ignored_pixels_do_not_count(sketch):
    z, y = pixels()
    void = np.random.default_rng(0).uniform(size=y.shape) < 0.3
    marked = np.where(void, 255, y)
    metric = fill(AURC(ignore_index=255, sketch=sketch), z, marked, 5)
    c, l = msp(z)[~void], (predict(z) != y)[~void]
    assert metric.compute().item() == _aurc(c, l, sketch)
    with pytest.raises(InputError, match=f"labels in 0..K-1 or `ignore_index`, got {void.sum()} o"):
        fill(AURC(sketch=sketch), z, marked, 5).compute()


def _aurc(c, l, sketch):
    return recuse.aurc(c, l) if sketch is None else CurveSketch(sketch).update(c, l).aurc().value


def test_a_batch_may_be_all_ignored():
    metric = fill(AURC(ignore_index=-100), LOGITS, LABELS)
    metric.update(torch.zeros(3, K), torch.full((3,), -100))
    assert metric.compute().item() == recuse.aurc(CONFIDENCE, LOSS)


# Sketch


@pytest.mark.parametrize(("name", "scale"), [(n, "log_odds") for n in METRICS])
def test_a_sketch_metric_is_the_sketch(name, scale):
    metric, function = METRICS[name]
    metric = fill(metric(sketch=scale), LOGITS, LABELS)
    sketch = CurveSketch(scale, about={"score": "msp"}).update(CONFIDENCE, LOSS)
    assert metric.curve_sketch() == sketch
    low, value, high = getattr(sketch, metric.measure)(*metric.levels)
    assert metric.compute().item() == value
    assert low <= function(CONFIDENCE, LOSS) <= high
    assert metric.counts.dtype == torch.int64


@pytest.mark.parametrize("scale", ["log_odds", "probability", "float", "float16", "bfloat16"])
@given(predictions())
def test_counts_are_those_of_the_sketch_to_the_last_bit(scale, data):
    c, l = data
    c = 1 / (1 + np.exp(-np.clip(c, -50, 50))) if scale == "probability" else c
    c = torch.from_numpy(c).to(getattr(torch, scale) if "16" in scale else torch.float64)
    metric = fill(AURC(score=None, sketch=scale), c, l, 7)
    assert metric.curve_sketch() == CurveSketch(scale).update(c, l)


def test_what_a_sketch_cannot_hold_is_refused():
    metric = AURC(score=None, sketch="probability")
    metric.update(torch.tensor([0.5, 1.5, math.nan]), torch.tensor([0.0, 0.0, 0.5]))
    with pytest.raises(InputError, match=r"confidences in \[0, 1\], got 2 others"):
        metric.compute()
    metric.reset()
    metric.update(torch.tensor([0.5, 0.6]), torch.tensor([0.0, 0.5]))
    with pytest.raises(InputError, match="losses of 0 and 1, got 1 others"):
        metric.compute()


# As a metric


@pytest.mark.parametrize("sketch", [None, "log_odds"])
def test_forward_is_the_batch_and_reset_forgets(sketch):
    metric = AURC(sketch=sketch)
    z, y = torch.from_numpy(LOGITS), torch.from_numpy(LABELS)
    for part in range(0, N, BATCH):
        value = metric(z[part : part + BATCH], y[part : part + BATCH])
        c, l = CONFIDENCE[part : part + BATCH], LOSS[part : part + BATCH]
        assert value.item() == _aurc(c, l, sketch)
    assert metric.compute().item() == _aurc(CONFIDENCE, LOSS, sketch)
    metric.reset()
    fill(metric, LOGITS[:20], LABELS[:20])
    assert metric.compute().item() == _aurc(CONFIDENCE[:20], LOSS[:20], sketch)
    assert pickle.loads(pickle.dumps(metric)).compute() == metric.compute()


def test_a_collection_updates_what_they_share_once():
    metrics = {"aurc": AURC(), "augrc": AUGRC(), "at": CoverageAtRisk(0.1)}
    collection = fill(torchmetrics.MetricCollection(metrics), LOGITS, LABELS)
    assert len(collection.compute_groups) == 1
    found = collection.compute()
    assert found["augrc"].item() == recuse.augrc(CONFIDENCE, LOSS)
    assert found["at"].item() == recuse.coverage_at_risk(CONFIDENCE, LOSS, 0.1)


def test_repeated_examples_count_once_by_index():
    again = np.r_[0:N, 0, 5, 5]
    metric = fill(AURC(by_index=True), LOGITS[again], LABELS[again], index=again)
    assert metric.compute().item() == recuse.aurc(CONFIDENCE, LOSS)
    z, y = pixels()
    y = np.where(np.arange(y.size).reshape(y.shape) % 7 == 0, 255, y)
    kept = y != 255
    again = np.r_[0 : len(z), 2, 3, 3]
    metric = AURC(by_index=True, ignore_index=255)
    fill(metric, z[again], y[again], 4, index=again)
    assert metric.compute().item() == recuse.aurc(msp(z)[kept], (predict(z) != y)[kept])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.update(torch.zeros(3), torch.zeros(3)), "for confidences give `score=None`"),
        (lambda m: m.update(torch.zeros(3, 1), torch.zeros(3, dtype=int)), "K >= 2"),
        (lambda m: m.update(torch.zeros(3, 2), torch.zeros(3)), "labels of an integer dtype"),
        (lambda m: m.update(torch.zeros(3, 2), torch.zeros(2, dtype=int)), r"\(3,\), got.*\(2,\)"),
        (lambda m: m(torch.zeros(1, 2), torch.zeros(1, dtype=int), torch.zeros(1)), "`by_index`"),
        (lambda m: m(torch.full((1, 2), math.nan), torch.zeros(1, dtype=int)), "finite logits"),
        (lambda m: m(torch.tensor([[math.inf, 0]]), torch.zeros(1, dtype=int)), "finite logits"),
        (lambda m: m(torch.zeros(2, 3), torch.tensor([0, -100])), "labels in 0..K-1 or"),
        (lambda m: m.curve_sketch(), "a metric with `sketch`"),
        (lambda m: AURC(sketch="log_odds", by_index=True), "cannot be taken back"),
        (lambda m: AURC(sketch="logodds"), "`scale` among"),
        (lambda m: AURC(score=None, ignore_index=0), "a loss is no label"),
        (lambda m: AURC(score=None)(torch.ones(2), torch.ones(3)), "of one shape"),
        (lambda m: AURC(score=None)(torch.ones(2), -torch.ones(2)), "finite and >= 0, got 2"),
        (lambda m: AURC(by_index=True)(torch.zeros(1, 2), torch.zeros(1, dtype=int)), "`index` if"),
        (lambda m: CoverageAtRisk(5), "`risk`"),
        (lambda m: RiskAtCoverage(0), "`coverage`"),
    ],
)
def test_malformed_input_is_one_line(call, message):
    with pytest.raises(InputError, match=message) as error:
        call(AURC())
    assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric AURC was called before")
@pytest.mark.parametrize("sketch", [None, "log_odds"])
def test_nothing_seen_is_an_error(sketch):
    with pytest.raises(InputError, match="at least one"):
        AURC(sketch=sketch).compute()


@pytest.mark.parametrize("sketch", [None, "log_odds"])
@pytest.mark.parametrize("name", METRICS)
def test_a_step_whose_labels_are_all_ignored_is_nan_and_changes_nothing(name, sketch):
    metric = METRICS[name][0](ignore_index=255, sketch=sketch)
    logits, labels = torch.as_tensor(LOGITS), torch.as_tensor(LABELS)
    void = torch.full_like(labels, 255)
    assert metric(logits, void).isnan()
    assert metric.compute().isnan()
    assert metric(logits, labels) == METRICS[name][0](sketch=sketch)(logits, labels)
    assert metric(logits, void).isnan()
    assert metric.compute() == METRICS[name][0](sketch=sketch)(logits, labels)


@pytest.mark.parametrize("sketch", [None, "log_odds"])
def test_the_curve_of_ignored_labels_alone_is_empty(sketch):
    metric = RiskCoverageCurve(ignore_index=255, sketch=sketch)
    curve = metric(torch.zeros(2, 3), torch.tensor([255, 255]))
    assert [column.shape for column in curve] == [(0,)] * 4
    some = RiskCoverageCurve(sketch=sketch)(torch.zeros(2, 3), torch.tensor([0, 1]))
    kinds = [[column.is_floating_point() for column in c] for c in (curve, some)]
    assert kinds[0] == kinds[1]


def test_without_the_package_the_error_is_one_line(monkeypatch):
    from recuse._internal.check import base_class

    monkeypatch.setitem(sys.modules, "torchmetrics", None)
    missing = type("AURC", (base_class("torchmetrics", "Metric", "torchmetrics"),), {})
    message = r"AURC needs torchmetrics: .*recuse\[torchmetrics\]"
    with pytest.raises(MissingExtraError, match=message):
        missing()


# Two processes


class Indexed(Dataset):
    """Logits as they are, with their labels and indices."""

    def __len__(self):
        return N

    def __getitem__(self, i):
        return torch.from_numpy(LOGITS[i]), int(LABELS[i]), i


def _worker(rank, folder, out):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/init", rank=rank, world_size=2
    )
    data, found = Indexed(), {}
    padded = DataLoader(data, BATCH, sampler=DistributedSampler(data, shuffle=False))
    unpadded = DataLoader(data, BATCH, sampler=UnpaddedSampler(data))
    for sketch in (None, "log_odds"):
        metrics = {name: metric(sketch=sketch) for name, (metric, _) in METRICS.items()}
        for z, y, _ in unpadded:
            for metric in metrics.values():
                metric.update(z, y)
        for _ in range(2):  # synchronising leaves the states as they were
            values = {name: metric.compute().item() for name, metric in metrics.items()}
            for metric in metrics.values():
                metric._computed = None
        found[sketch] = values
        with metrics["aurc"].sync_context():
            exact = sketch is None
            of = metrics["aurc"]
            found[sketch, "n"] = len(of.confidence) if exact else of.curve_sketch().n
    by_index, twice, alone = AURC(by_index=True), AURC(), AURC(by_index=True)
    for z, y, index in padded:
        by_index.update(z, y, index)
        twice.update(z, y)
        if rank == 1:
            alone.update(z, y, index)
    alone._update_count = 1
    found |= {"by_index": by_index.compute().item(), "twice": twice.compute().item()}
    found["alone"] = alone.compute().item()
    found["batches"] = len(unpadded)
    torch.save(found, f"{out}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_with_uneven_batches_are_one(tmp_path):
    torch.multiprocessing.spawn(_worker, (str(tmp_path), str(tmp_path)), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert (first.pop("batches"), second.pop("batches")) == (7, 6)
    assert first == second
    sketch = CurveSketch().update(CONFIDENCE, LOSS)
    for name, (metric, function) in METRICS.items():
        assert first[None][name] == function(CONFIDENCE, LOSS)
        like = metric()
        expected = getattr(sketch, like.measure)(*like.levels).value
        assert first["log_odds"][name] == expected
    assert first[None, "n"] == first["log_odds", "n"] == N
    assert first["by_index"] == recuse.aurc(CONFIDENCE, LOSS) != first["twice"]
    assert first["twice"] == recuse.aurc(np.r_[CONFIDENCE, CONFIDENCE[:1]], np.r_[LOSS, LOSS[:1]])
    # A process without any data: the other's half, padded with the first example.
    half = np.r_[1:N:2, 0]
    assert first["alone"] == recuse.aurc(CONFIDENCE[half], LOSS[half])


def test_lightning_evaluates_in_two_processes(tmp_path):
    """Its sampler pads; the indices tell. Without padding, by our sampler, no index is needed."""
    program = """
import logging, sys, warnings
import torch, lightning
from test_torchmetrics import AURC, BATCH, Indexed, UnpaddedSampler
warnings.simplefilter("ignore")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

class Net(lightning.LightningModule):
    def __init__(self, by_index):
        super().__init__()
        self.anything = torch.nn.Linear(1, 1)
        self.by_index, self.aurc = by_index, AURC(by_index=by_index)
    def validation_step(self, batch, i):
        z, y, index = batch
        self.aurc.update(z, y, index if self.by_index else None)
        self.log("aurc", self.aurc)
    def val_dataloader(self):
        sampler = None if self.by_index else UnpaddedSampler(Indexed())
        return torch.utils.data.DataLoader(Indexed(), BATCH, sampler=sampler)

if __name__ == "__main__":
    for by_index in (True, False):
        trainer = lightning.Trainer(accelerator="cpu", devices=2, strategy="ddp_fork",
            use_distributed_sampler=by_index, logger=False, enable_progress_bar=False,
            enable_model_summary=False, enable_checkpointing=False)
        print(trainer.validate(Net(by_index), verbose=False)[0]["aurc"])
"""
    pytest.importorskip("lightning", reason="make test-integrations has it")
    (tmp_path / "program.py").write_text(program)
    paths = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]
    run = subprocess.run(
        [sys.executable, "program.py"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    found = [float(line) for line in run.stdout.split()]
    assert found == [pytest.approx(recuse.aurc(CONFIDENCE, LOSS), rel=1e-6)] * 2, run.stderr


def test_the_sampler_has_every_example_once():
    parts = [list(UnpaddedSampler(range(10), rank=r, world=4)) for r in range(4)]
    assert sorted(i for part in parts for i in part) == list(range(10))
    assert [len(UnpaddedSampler(range(10), rank=r, world=4)) for r in range(4)] == [3, 3, 2, 2]
    assert list(UnpaddedSampler(range(3))) == [0, 1, 2]
    with pytest.raises(InputError, match=r"`rank` in 0\.\.1, got 2"):
        UnpaddedSampler(range(3), rank=2, world=2)


@pytest.mark.parametrize("options", [{}, {"sketch": "log_odds"}, {"by_index": True}])
def test_update_never_looks_at_a_value(options):
    """On the meta device there are none: what would wait for a GPU raises."""
    metric = AURC(**options).to("meta")
    index = {"index": torch.arange(3, device="meta")} if "by_index" in options else {}
    for spelled in SPELLED:
        metric.score = Score.parse(spelled)
        labels = torch.zeros(3, dtype=torch.int64, device="meta")
        metric.update(torch.zeros(3, 4, device="meta"), labels, **index)
    with pytest.raises((NotImplementedError, RuntimeError)):
        metric.compute()
