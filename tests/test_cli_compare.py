import numpy as np
import pytest

import answers
from answers import one_line
from recuse import intervals, read, write_logits
from recuse.evaluation import matched, score_file
from recuse.io import HeldOut
from recuse.scores import logit_norm, msp
from samples import pixels, sample

Z, Y = sample(400)
W = Z + np.random.default_rng(1).normal(size=Z.shape).astype(np.float32)  # a worse model


def plain(answer):
    rc, out, err = answer
    assert (rc, err) == (0, "")
    return answers.plain(out)


def pair(tmp_path, **more):
    write_logits(tmp_path / "a.npz", Z, Y, **more)
    write_logits(tmp_path / "b.npz", W, Y, **more)


def wrong(z, y=Y):
    return z.argmax(axis=1) != y


NUMBERS = ("difference", "standard_error", "low", "high", "p_value")


def test_two_models_are_compared_example_by_example(recuse, tmp_path):
    pair(tmp_path)
    found = plain(recuse("compare", "a.npz", "b.npz", "--json"))
    expected = intervals.compare(msp(Z), wrong(Z), msp(W), wrong(W))
    assert [found[k] for k in NUMBERS] == [getattr(expected, k) for k in NUMBERS]
    assert (found["n"], found["matched_by"], found["groups"]) == (400, "rows", None)
    assert found["difference"] == pytest.approx(found["a"]["aurc"] - found["b"]["aurc"])
    assert found["b"]["accuracy"] == pytest.approx(1 - wrong(W).mean())
    assert found["difference"] < 0
    assert found["p_value"] < 0.01
    out = recuse("compare", "a.npz", "b.npz")[1]
    assert "a.npz is better than b.npz at accepting the right predictions first" in out
    assert "b.npz is better" not in out
    assert "a.npz is better than b.npz" in recuse("compare", "b.npz", "a.npz")[1]


def test_two_scores_of_one_file_are_compared(recuse, tmp_path):
    pair(tmp_path)
    command = ("compare", "a.npz", "--score", "msp", "--score-b", "logit_norm(p=3, center=true)")
    found = plain(recuse(*command, "--json"))
    expected = intervals.compare(msp(Z), wrong(Z), logit_norm(Z, p=3), wrong(Z))
    assert [found[k] for k in NUMBERS] == [getattr(expected, k) for k in NUMBERS]
    assert [found[k]["score"] for k in "ab"] == ["msp", "logit_norm(p=3, center=true)"]
    assert "logit_norm(p=3, center=true)" in recuse(*command)[1]


def test_a_score_of_its_own_for_each_file(recuse, tmp_path):
    pair(tmp_path)
    command = ("compare", "a.npz", "b.npz", "--score", "entropy", "--score-b", "margin")
    found = plain(recuse(*command, "--json"))
    assert [found[k]["score"] for k in "ab"] == ["entropy", "margin"]
    assert "entropy of a.npz is better than margin of b.npz" in recuse(*command)[1]
    both = plain(recuse("compare", "a.npz", "b.npz", "--score", "gini", "--json"))
    assert [both[k]["score"] for k in "ab"] == ["gini", "gini"]


def test_equal_rankings_are_called_equal(recuse, tmp_path):
    pair(tmp_path)
    write_logits(tmp_path / "twice.npz", 2 * Z, Y)
    alike = "a.npz and a.npz have the same confidence and the same errors"
    doubled = ["a.npz", "twice.npz", "--score", "max_logit"]
    for command, said in (
        (["a.npz", "a.npz"], alike),
        (["a.npz", "--score-b", "msp"], alike),
        (doubled, "a.npz and twice.npz rank these 400 predictions equally well"),
    ):
        found = plain(recuse("compare", *command, "--json"))
        assert (found["difference"], found["p_value"]) == (0, 1)
        assert said in recuse("compare", *command)[1]


def test_a_difference_that_chance_explains_is_no_difference(recuse, tmp_path):
    write_logits(tmp_path / "a.npz", Z, Y)
    write_logits(tmp_path / "b.npz", np.float32(0.95) * Z + np.float32(0.05) * W, Y)
    assert plain(recuse("compare", "a.npz", "b.npz", "--json"))["p_value"] > 0.05
    assert (
        "the difference between a.npz and b.npz is not significant (p = "
        in (recuse("compare", "a.npz", "b.npz")[1])
    )


@pytest.mark.parametrize("kind", ["numbers", "text", "mixed"])
def test_ids_match_rows_in_any_order(kind, recuse, tmp_path):
    ids = np.arange(400) * 7 + 3
    text = ids.astype(str)
    order = np.random.default_rng(0).permutation(400)
    pair(tmp_path)
    expected = plain(recuse("compare", "a.npz", "b.npz", "--json"))
    write_logits(tmp_path / "a.npz", Z, Y, ids=text if kind == "text" else ids)
    write_logits(
        tmp_path / "b.npz", W[order], Y[order], ids=(ids if kind == "numbers" else text)[order]
    )
    found = plain(recuse("compare", "a.npz", "b.npz", "--json"))
    assert found.pop("matched_by") == "ids"
    assert expected.pop("matched_by") == "rows"
    assert found == expected


def test_images_are_matched_whole_and_are_the_groups(recuse, tmp_path):
    z, y = pixels(20)
    w = z + np.random.default_rng(0).normal(size=z.shape).astype(np.float32)
    y[:, 0] = 255
    order, void = np.random.default_rng(1).permutation(20), {"ignore_index": 255}
    write_logits(tmp_path / "a.npz", z, y, ids=np.arange(20), **void)
    write_logits(tmp_path / "b.npz", w[order], y[order], ids=order, **void)
    found = plain(recuse("compare", "a.npz", "b.npz", "--json", "--ignore-index", 255))
    flat = HeldOut(z, y, ids=np.arange(20), **void).predictions()
    other = HeldOut(w, y, ids=np.arange(20), **void).predictions()
    expected = intervals.compare(
        *(msp(flat.logits), wrong(flat.logits, flat.labels)),
        *(msp(other.logits), wrong(other.logits, flat.labels)),
        groups=flat.groups,
    )
    assert [found[k] for k in NUMBERS] == [getattr(expected, k) for k in NUMBERS]
    assert (found["n"], found["groups"]) == (600, 20)


def test_groups_of_either_file_or_of_their_own_widen_the_interval(recuse, tmp_path):
    pair(tmp_path)
    groups = np.arange(400) // 8
    z, w = Z.copy(), W.copy()
    write_logits(tmp_path / "g.npz", z, Y, groups=groups)
    write_logits(tmp_path / "h.npz", w, Y, groups=groups)
    np.save(tmp_path / "g.npy", groups)
    answers = [
        plain(recuse("compare", *files, "--json"))
        for files in (
            ("g.npz", "b.npz"),
            ("a.npz", "h.npz"),
            ("a.npz", "b.npz", "--groups", "g.npy"),
        )
    ]
    alone = plain(recuse("compare", "a.npz", "b.npz", "--json"))
    for found in answers:
        assert found["groups"] == 50
        assert found["standard_error"] == answers[0]["standard_error"] != alone["standard_error"]
        assert found["difference"] == alone["difference"]
    assert "one of 50 groups" in recuse("compare", "g.npz", "b.npz")[1]


def test_tables_of_confidences_are_matched_by_id(recuse, tmp_path):
    pair(tmp_path, ids=np.arange(400))
    order = np.random.default_rng(0).permutation(400)
    lines = [f"{i},{msp(W)[i]!s},{int(not wrong(W)[i])}" for i in order]
    (tmp_path / "b.csv").write_text("\n".join(["id,confidence,correct", *lines]) + "\n")
    found = plain(recuse("compare", "a.npz", "b.csv", "--json", "--quiet"))
    expected = plain(recuse("compare", "a.npz", "b.npz", "--json"))
    assert [found[k] for k in NUMBERS] == pytest.approx([expected[k] for k in NUMBERS])
    assert (found["b"]["score"], found["b"]["classes"]) == ("confidence", None)
    assert "classes" in found["reason"]
    assert "b.csv: expected logits" in recuse("compare", "a.npz", "b.csv", "--score-b", "msp")[2]
    (tmp_path / "c.csv").write_text("confidence,correct\n1,1\n0,0\n")
    one_line(recuse("compare", "c.csv", "c.csv", "-q"), "expected ids in both")


def test_the_interval_holds_a_known_difference():
    """On data of which the truth is known by many draws."""
    rng = np.random.default_rng(0)

    def draw(n):
        z = rng.normal(size=(n, 3))
        y = np.array([rng.choice(3, p=np.exp(r) / np.exp(r).sum()) for r in z])
        return z, z + rng.normal(size=z.shape), y

    z, w, y = draw(40_000)
    truth = intervals.compare(msp(z), wrong(z, y), msp(w), wrong(w, y)).difference
    held = 0
    for _ in range(100):
        z, w, y = draw(300)
        a, b = score_file(HeldOut(z, y), keep=True), score_file(HeldOut(w, y), keep=True)
        c = intervals.compare(*a.predictions("msp")[:2], *matched(a, b)[0].predictions("msp")[:2])
        held += c.low <= truth <= c.high
    assert held >= 88  # 95 expected, minus three binomial standard deviations


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["a.npz"], ["two files, or one file and --score-b"]),
        (["a.npz", "short.npz"], ["the same examples", "(400,) and (390,)"]),
        (["a.npz", "shuffled.npz"], ["labels that differ at row", "ids in both files would match"]),
        (["ids.npz", "other.npz"], ["the same ids", "got 5 in ids.npz alone, such as 0"]),
        (["ids.npz", "twice.npz"], ["twice.npz: expected ids that differ, got 1 twice"]),
        (["ids.npz", "relabelled.npz"], ["labels that differ at row 3"]),
        (["a.npz", "none.npz"], ["none.npz: no such file"]),
        (["a.npz", "bare.npz"], ["bare.npz: expected `labels`"]),
        (["a.npz", "b.npz", "--score", "guess"], ["a score among", "'guess'"]),
        (["a.npz", "b.npz", "--score", "msp,margin"], ["one score for each side, got msp, margin"]),
        (["a.npz", "b.npz", "--probs", "--score", "energy"], ["got energy", "shift"]),
        (["a.npz", "b.npz", "--binary"], ["a.npz: expected a binary head"]),
        (["one.npz", "one.npz"], ["at least 2 independent"]),
    ],
)
def test_what_cannot_be_compared_is_one_line(command, words, recuse, tmp_path):
    pair(tmp_path)
    ids, order = np.arange(400), np.random.default_rng(0).permutation(400)
    write_logits(tmp_path / "short.npz", Z[:390], Y[:390])
    write_logits(tmp_path / "shuffled.npz", Z[order], Y[order])
    write_logits(tmp_path / "ids.npz", Z, Y, ids=ids)
    write_logits(tmp_path / "other.npz", Z, Y, ids=ids + 5)
    write_logits(tmp_path / "twice.npz", Z, Y, ids=np.maximum(ids, 1))
    relabelled = np.where(ids == 3, (Y + 1) % 5, Y)
    write_logits(tmp_path / "relabelled.npz", Z[order], relabelled[order], ids=ids[order])
    write_logits(tmp_path / "bare.npz", Z)
    write_logits(tmp_path / "one.npz", Z[:1], Y[:1])
    before = sorted(tmp_path.iterdir())
    one_line(recuse("compare", *command), *words)
    assert sorted(tmp_path.iterdir()) == before


def test_quiet_prints_nothing_and_reading_changes_nothing(recuse, tmp_path):
    pair(tmp_path)
    assert recuse("compare", "a.npz", "b.npz", "--quiet") == (0, "", "")
    np.testing.assert_array_equal(read(tmp_path / "a.npz").logits, Z)


def test_a_match_by_position_is_said_and_more_so_where_labels_are_sorted(recuse, tmp_path):
    pair(tmp_path)
    _, out, _ = recuse("compare", "a.npz", "b.npz")
    assert "matched by their position" in out
    assert "sorted" not in out
    order = np.argsort(Y, kind="stable")
    write_logits(tmp_path / "c.npz", Z[order], Y[order])
    write_logits(tmp_path / "d.npz", W[order], Y[order])
    out = " ".join(recuse("compare", "c.npz", "d.npz")[1].split())
    assert "The labels are sorted, so a different order within a class would go unnoticed" in out
    ids = np.arange(len(Y))
    pair(tmp_path, ids=ids)
    assert "position" not in recuse("compare", "a.npz", "b.npz")[1]
