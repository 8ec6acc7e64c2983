import json
import math

import numpy as np
import pytest

from recuse import InputError, aurc, curves
from recuse._internal.files import to_json
from recuse.evaluation import (
    Source,
    auroc,
    by_source,
    fpr_at_tpr,
    measure,
    measure_mixture,
    scod_loss,
    score_sources,
)
from recuse.io import HeldOut, open_logits, write_logits
from recuse.scores import Score, msp
from samples import pixels, sample

EXACT = 1e-12  # short sums in float64 against exact fractions
SCORES = (Score("msp"), Score("logit_norm", {"p": 3, "center": True}))


def files(**more):
    z, y = sample(400)
    w, v = sample(300, seed=1)
    odd = np.random.default_rng(2).normal(size=(200, 5)).astype(np.float32)
    return {
        "clean": Source(HeldOut(z, y, **more)),
        "shifted": Source(HeldOut(w / 2, v)),
        "odd": Source(HeldOut(odd), outliers=True),
    }


def arrays(sources):
    c = [msp(s.file.logits) for s in sources.values()]
    wrong = [
        np.ones(len(s.file)) if s.outliers else s.file.logits.argmax(axis=1) != s.file.labels
        for s in sources.values()
    ]
    names = np.repeat(list(sources), [len(x) for x in c])
    return np.concatenate(c), np.concatenate(wrong).astype(float), names


def test_files_are_measured_as_their_arrays():
    sources = files()
    c, l, names = arrays(sources)
    mixture = score_sources(sources, SCORES)
    m = measure_mixture(mixture, "msp", coverages=[0.1, 0.5], risks=[0.2], thresholds=[1.0])
    for point in m.points:
        expected = by_source(c, l, names, **{point.by: point.level})
        found = point.to_dict()
        assert list(found["sources"]) == list(sources)  # in the order given, not sorted
        assert to_json(found["all"]) == to_json(expected.overall.to_dict())
        for row in expected.sources:
            assert to_json(found["sources"][row.source]) == to_json(row.to_dict())
    assert m.aurc == pytest.approx(aurc(c, l), abs=EXACT)
    for name in ("clean", "shifted"):
        mine = names == name
        assert m.alone[name] == measure(c[mine], l[mine], risks=(), coverages=())
    known, right = names != "odd", (names != "odd") & (l == 0)
    d = m.detection["odd"]
    assert (d.auroc, d.fpr) == (auroc(c[known], c[~known]), fpr_at_tpr(c[known], c[~known]))
    assert d.auroc_right == auroc(c[right], c[~known])
    assert d.fpr_right == fpr_at_tpr(c[right], c[~known])
    assert [*m.alone, *m.detection] == ["clean", "shifted", "odd"]


@pytest.mark.parametrize(("cost_error", "cost_ood"), [(1, 0.1), (0.1, 1), (0, 1), (5, 2)])
def test_costs_price_the_whole_and_leave_the_counts(cost_error, cost_ood):
    sources = files()
    c, l, names = arrays(sources)
    mixture = score_sources(sources)
    costs = {"cost_error": cost_error, "cost_ood": cost_ood}
    m = measure_mixture(mixture, "msp", coverages=[0.3], risks=[0.05], **costs)
    loss = scod_loss(l, names == "odd", **costs)
    assert m.aurc == pytest.approx(aurc(c, loss), abs=EXACT)
    for point in m.points:
        row = {r.source: r for r in point.sources}
        errors = row["clean"].errors + row["shifted"].errors
        total = cost_error * errors + cost_ood * row["odd"].errors
        assert row["odd"].errors == row["odd"].accepted
        if point.overall.accepted:
            assert point.overall.risk == pytest.approx(total / point.overall.accepted, abs=EXACT)
    free = curves.risk_coverage(c, loss)
    assert m.points[0].overall.risk == pytest.approx(
        free.risk[np.argmax(free.coverage >= 0.3)], abs=EXACT
    )


def test_a_cost_of_a_tenth_falls_into_no_trap():
    """Three outliers of five at .1 cost .06 each: .30000000000000004 / 5 is more."""
    z = np.float32([[9, 0], [8, 0], [7, 0], [6, 0], [5, 0]])
    sources = {
        "in": Source(HeldOut(z[:2], np.array([0, 0]))),
        "out": Source(HeldOut(z[2:]), outliers=True),
    }
    assert (0.1 + 0.1 + 0.1) / 5 > 0.06
    m = measure_mixture(score_sources(sources), "msp", coverages=(), risks=[0.06], cost_ood=0.1)
    assert m.points[0].overall.accepted == 5
    assert m.points[0].overall.risk == 0.06


def test_labels_of_outliers_are_ignored_whatever_they_are(tmp_path):
    z, y = sample(50)
    for i, labels in enumerate((None, np.full(50, -1), np.arange(50) + 100)):
        arrays = {"logits": z} if labels is None else {"logits": z, "labels": labels}
        np.savez(tmp_path / f"{i}.npz", **arrays)
    found = []
    for i in range(3):
        odd = Source(open_logits(tmp_path / f"{i}.npz"), outliers=True)
        sources = {"in": Source(HeldOut(z, y)), "odd": odd}
        found.append(measure_mixture(score_sources(sources), "msp").to_dict())
    assert found[0] == found[1] == found[2]
    z, y = pixels(6)
    y[:, 0] = 255
    void = HeldOut(z, y, ignore_index=255)
    m = score_sources({"in": Source(void), "odd": Source(void, outliers=True)})
    assert [len(s.predictions("msp")[0]) for s in m.scored.values()] == [180, 216]


def test_groups_of_one_name_are_one_in_every_file(tmp_path):
    """As numbers, as text, and as images of one id; rows without groups are alone."""
    z, y = sample(40)
    w = z + np.random.default_rng(0).normal(size=z.shape).astype(np.float32)
    numbers = np.arange(40) // 4
    text = np.char.add("image", numbers[::-1].astype(str))

    def joined(a, b):
        for name, g in (("a", a), ("b", b)):
            write_logits(tmp_path / f"{name}.npz", z if name == "a" else w, y, groups=g)
        readers = {name: Source(open_logits(tmp_path / f"{name}.npz")) for name in "ab"}
        return score_sources(readers).predictions("msp")[3]

    def same(groups):
        return groups[:, None] == groups

    pair = np.r_[numbers, numbers]
    np.testing.assert_array_equal(same(joined(numbers, numbers)), same(pair))
    np.testing.assert_array_equal(same(joined(text, text)), same(np.r_[text, text]))
    turned = np.r_[text, text[::-1]]
    np.testing.assert_array_equal(same(joined(text, text[::-1])), same(turned))
    alone = np.r_[numbers, np.arange(100, 140)]
    np.testing.assert_array_equal(same(joined(numbers, None)), same(alone))
    assert joined(None, None) is None
    images, labels = pixels(4)
    by_id = {
        "a": Source(HeldOut(images, labels, ids=np.array(list("wxyz")))),
        "b": Source(HeldOut(-images, labels, ids=np.array(list("zyxw")))),
    }
    found = score_sources(by_id).predictions("msp")[3]
    unit = np.repeat(list("wxyzzyxw"), 36)
    np.testing.assert_array_equal(same(found), same(unit))


def test_chunks_of_any_length_give_the_same(tmp_path):
    z, y = sample(100)
    text = np.array([f"g{i % 7}" for i in range(100)])
    write_logits(tmp_path / "a.npz", z, y, groups=text)
    odd = HeldOut(sample(60, seed=3)[0])
    found = []
    for rows in (1, 33, 100):
        reader = open_logits(tmp_path / "a.npz")
        parts = [odd.rows(slice(i, i + rows)) for i in range(0, 60, rows)]
        sources = {"a": Source(reader, chunks=reader.chunks(rows)), "odd": Source(odd, True, parts)}
        m = measure_mixture(score_sources(sources, SCORES), "logit_norm(p=3, center=true)")
        found.append(m.to_dict())
    assert found[0] == found[1] == found[2]


def test_the_plain_form_is_json_and_null_comes_with_a_reason():
    z = np.float32([[1, 0], [2, 0]])
    sources = {
        "in": Source(HeldOut(z, np.array([1, 1]))),
        "out": Source(HeldOut(z), outliers=True),
    }
    m = measure_mixture(score_sources(sources), "msp", coverages=[0.5], risks=[0.5])
    plain = json.loads(to_json(m.to_dict()), parse_constant=pytest.fail)
    assert plain["aurc_se"] is None
    assert "all losses are equal" in plain["reason"]["aurc_se"]
    assert set(plain["detection"]["out"]["reason"]) == {"auroc_right", "fpr_right"}
    nobody = plain["points"][1]
    assert nobody["threshold"] is None
    assert "no threshold has a risk of 0.5 or less" in nobody["reason"]["threshold"]
    assert nobody["all"]["risk"] is None
    assert nobody["all"]["reason"]["risk"] == "nothing is accepted"
    assert "reason" not in plain["points"][0]


def test_sources_that_do_not_fit_are_named():
    z, y = sample(20)
    w, v = sample(20, classes=4)
    good = Source(HeldOut(z, y))
    with pytest.raises(InputError, match="got 5 in a and 4 in b"):
        score_sources({"a": good, "b": Source(HeldOut(w, v))})
    with pytest.raises(InputError, match="at least one source that is in distribution, got none"):
        score_sources({"a": Source(HeldOut(z, y), outliers=True)})
    with pytest.raises(InputError, match="another name than 'all'"):
        score_sources({"all": good})
    with pytest.raises(InputError, match="expected `labels`, got logits alone"):
        score_sources({"a": Source(HeldOut(z))})


def test_beyond_a_million_predictions_there_is_no_standard_error(monkeypatch):
    mixture = score_sources(files())
    assert measure_mixture(mixture, "msp").aurc_se > 0
    monkeypatch.setattr("recuse.evaluation._sources.MANY", 899)
    assert math.isnan(measure_mixture(mixture, "msp").aurc_se)
