from dataclasses import replace

import numpy as np
import pytest

import recuse as rc
from recuse.errors import InputError
from recuse.evaluation import Change, Spread, over_seeds
from recuse.evaluation._mixture import shared_coverage
from recuse.intervals import Comparison, compare
from recuse.io import HeldOut
from recuse.present import over_seeds as words
from recuse.tuning import MSP

NAMES = ("cross-entropy", "smoothing-0.2")


def splits(seed, model, n=400):
    """Two models of the same rows, the second with a spoiled ranking that a norm repairs."""
    rng = np.random.default_rng(seed)
    y = rng.integers(4, size=3 * n)
    z = 2.5 * np.eye(4)[y] + rng.normal(size=(3 * n, 4))
    if model == NAMES[1]:
        z *= rng.uniform(0.2, 3, size=(3 * n, 1))
    parts = np.split(np.arange(3 * n), 3)
    return {
        name: HeldOut(z[rows].astype(np.float32), y[rows])
        for name, rows in zip(("tune", "calibrate", "test"), parts)
    }


@pytest.fixture(scope="module")
def found():
    runs = {seed: {name: splits(seed, name) for name in NAMES} for seed in (3, 5, 8)}
    return over_seeds(runs, target_risk=0.1, risks=(0.01, 0.05, 0.1))


def test_changes_are_those_of_each_seed_in_a_plain_loop(found):
    assert found.seeds == (3, 5, 8)
    model = found["smoothing-0.2"]
    relative, worse, clear, better = [], 0, 0, 0
    for e in found.evaluations:
        plain, other = e["cross-entropy"], e["smoothing-0.2"]
        c = compare(other.msp, other.loss, plain.msp, plain.loss)
        relative.append(c.difference / plain.before.aurc)
        worse += c.difference > 0
        clear += c.low > 0
        better += c.high < 0
    assert model.damage.relative == Spread(np.mean(relative), np.std(relative, ddof=1))
    assert (model.damage.worse, model.damage.clearly_worse) == (worse, clear)
    assert model.damage.clearly_better == better
    assert clear >= 1  # the spoiled ranking is seen
    assert found["cross-entropy"].damage is None
    areas = [e["smoothing-0.2"].after.aurc / e["cross-entropy"].before.aurc - 1
             for e in found.evaluations]  # fmt: skip
    assert model.left.relative.mean == pytest.approx(np.mean(areas))


@pytest.mark.parametrize("field", ["labels", "ids"])
def test_models_of_other_rows_are_not_compared(field):
    runs = {0: {name: splits(0, name) for name in NAMES}}
    for splits_of in runs[0].values():
        splits_of["test"] = replace(splits_of["test"], ids=np.arange(400))
    test = runs[0][NAMES[1]]["test"]
    moved = replace(test, **{field: np.roll(getattr(test, field), 1)})
    runs[0][NAMES[1]]["test"] = moved
    with pytest.raises(InputError, match=f"smoothing-0.2 on the same test rows, got other {field}"):
        over_seeds(runs)


def test_scores_are_counted_over_seeds(found):
    model = found["smoothing-0.2"]
    assert sum(count for _, count in model.scores) == 3
    assert model.adopted == sum(str(m.tuned.score) != "msp" for m in model.models)
    assert model.adopted == 3


def test_the_story_follows_the_numbers(found):
    story = words.story(found)
    model = found["smoothing-0.2"]
    assert len(story) == 3
    assert story[1].startswith("smoothing-0.2 against cross-entropy: accuracy ")
    raised = f"raised by {100 * model.damage.relative.mean:.1f} % on average, in 3 of 3 seeds"
    assert raised in story[1]
    assert "a repair was adopted in 3 of 3 seeds" in story[2]
    said, header, rows = words.by_model(found, "Digits")
    assert said == f"Digits. {words.caption(found)}"
    assert len(rows) == 2
    assert all(len(row) == len(header) for row in rows)
    assert " ± " in rows[1][1]
    assert words.caption(found) == (
        "Test split, 400 predictions; mean and standard deviation of 3 seeds"
    )


def test_two_models_stand_measure_by_measure_with_their_difference(found):
    table = words.by_measure(found, "made up")
    assert table.caption.startswith("Test split, 400 predictions (made up), mean of 3 seeds")
    assert table.header == ("", *NAMES, "difference")
    cells = {name: row for name, *row in table.rows}
    plain, other = (np.mean([e[n].before.aurc for e in found.evaluations]) for n in NAMES)
    assert cells["AURC x 1000, MSP"] == [
        f"{1000 * plain:.1f}", f"{1000 * other:.1f}", f"+{1000 * (other - plain):.1f}"
    ]  # fmt: skip
    assert cells["chosen score"] == [words.chosen(found[name]) for name in NAMES] + [""]
    risk = [np.mean([e[n].after.risk_at_coverage[0.2] for e in found.evaluations]) for n in NAMES]
    assert cells["risk at 20 % coverage, chosen"][:2] == [f"{100 * r:.2f} %" for r in risk]
    assert "coverage at 10 % risk, chosen" in cells


def test_a_seed_that_kept_its_score_is_neither_worse_nor_better():
    def difference(value):
        return Comparison(value, 1.0, value - 1, value + 1, 1.0)

    change = Change.of([difference(0.0), difference(-2.0), difference(0.5)], [4.0, 4.0, 4.0])
    assert (change.worse, change.better) == (1, 1)
    assert (change.clearly_worse, change.clearly_better) == (0, 1)
    assert change.relative.mean == pytest.approx(-0.125)


def test_one_seed_has_no_deviation():
    found = over_seeds({0: {name: splits(0, name) for name in NAMES}}, target_risk=0.1)
    assert np.isnan(found["smoothing-0.2"].damage.relative.deviation)
    assert "±" not in "".join(words.by_model(found).rows[1])
    assert words.caption(found).endswith("seed 0")
    assert "of 1 seeds" not in " ".join(words.story(found))


def test_without_a_single_error_there_is_no_relative_change():
    def perfect(name):
        return {s: replace(f, labels=f.logits.argmax(1)) for s, f in splits(0, name).items()}

    found = over_seeds({0: {name: perfect(name) for name in NAMES}}, target_risk=0.1)
    assert np.isnan(found["smoothing-0.2"].damage.relative.mean)
    said = words.story(found)
    assert "no relative change of AURC with MSP, which is 0 where nothing is wrong." in said[1]
    assert all("nan" not in s and "NaN" not in s for s in [*said, *words.by_model(found).rows[1]])


def test_seeds_of_other_models_are_refused():
    with pytest.raises(InputError, match="same models"):
        over_seeds({0: {"a": splits(0, "a")}, 1: {"b": splits(0, "b")}})
    with pytest.raises(InputError, match="same models"):
        over_seeds({})


def test_the_table_of_sources_counts_what_a_tenth_lets_through():
    test, shift = (splits(seed, NAMES[0])["test"] for seed in (0, 1))
    counted = shared_coverage({"a": {"test": test, "shift": shift}}, {"a": MSP})
    _, header, rows = words.shared_coverage(counted)
    assert header[2:] == (
        "accepted, test", "wrong, test", "%, test", "accepted, shift", "wrong, shift", "%, shift"
    )  # fmt: skip
    confidence = np.concatenate([rc.scores.msp(f.logits) for f in (test, shift)])
    wrong = np.concatenate([rc.scores.predict(f.logits) != f.labels for f in (test, shift)])
    accepted = confidence >= np.sort(confidence)[-80]
    expected = []
    for half in (slice(400), slice(400, None)):
        k, errors = accepted[half].sum(), wrong[half][accepted[half]].sum()
        expected += [f"{k}", f"{errors}", f"{100 * errors / k:.1f}"]
    assert rows == [("a", "msp", *expected)]


def test_where_nothing_was_compared_the_story_does_not_speak_of_a_test():
    parts = splits(3, NAMES[0])
    few = HeldOut(parts["tune"].logits[:30], parts["tune"].labels[:30])
    models = {name: {**splits(3, name), "tune": few} for name in NAMES}
    told = " ".join(words.story(over_seeds({3: models}, target_risk=0.1)))
    assert words.KEPT not in told
    assert "a comparison needs at least" in told
