"""Several models as one: the mean, and the rows that are the same example."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference_rejector as reference
from answers import one_line, plain
from recuse import InputError, read, write_logits
from recuse.evaluation import average_logits, average_probs
from recuse.io import HeldOut
from recuse.scores import from_probs, msp
from samples import one_column, pixels, sample
from strategies import logits

EXACT = 1e-12  # float64 sums of a few terms


def members(z, labels=None, ids=None):
    """Three different files of the same examples."""
    labels = np.zeros(len(z), int) if labels is None else labels
    return [HeldOut(a * z + b, labels, ids=ids, name=f"m{a}") for a, b in ((1, 0), (2, 1), (3, 9))]


@given(z=logits())
def test_each_mean_is_the_mean_row_by_row(z):
    files = members(z)
    mean, probs = average_logits(files), average_probs(files)
    for i in range(len(z)):
        rows = [f.logits[i].tolist() for f in files]
        np.testing.assert_allclose(mean.file.logits[i], reference.mean(rows), atol=EXACT * 100)
        expected = reference.mean(rows, reference.softmax)
        np.testing.assert_allclose(np.exp(probs.file.logits[i]), expected, atol=EXACT)
    assert mean.members == probs.members == 3


@given(z=logits(rows=st.integers(2, 8)), seed=st.integers(0, 9))
def test_rows_of_any_order_are_matched_by_their_ids(z, seed):
    rng = np.random.default_rng(seed)
    ids, labels = np.array([f"id {i}" for i in range(len(z))]), np.arange(len(z)) % z.shape[1]
    files = members(z, labels, ids)
    shuffled = [files[0], *(f.rows(rng.permutation(len(z))) for f in files[1:])]
    one, other = average_logits(files), average_logits(shuffled)
    np.testing.assert_array_equal(one.file.logits, other.file.logits)
    assert one.file.ids.tolist() == other.file.ids.tolist() == ids.tolist()
    assert other.matched_by == "ids"


def test_groups_of_any_member_are_kept_in_the_order_of_the_first():
    z, y = sample(20)
    ids, order = np.arange(20), np.random.default_rng(0).permutation(20)
    one, two = HeldOut(z, y, ids=ids), HeldOut(2 * z, y, np.arange(20) // 4, ids)
    assert average_logits([one, two.rows(order)]).file.groups.tolist() == (ids // 4).tolist()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_the_mean_of_logits_is_at_least_float32(dtype):
    import ml_dtypes

    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    files = [
        HeldOut(*sample(20, seed=0, dtype=kind)),
        HeldOut(sample(20, seed=1)[0], sample(20)[1]),
    ]
    expected = "float64" if dtype == "float64" else "float32"
    assert average_logits(files).file.logits.dtype == expected


def different(change):
    z, y = sample(20)
    one = HeldOut(z, y, name="A")
    other = {
        "nothing": one,
        "labels": HeldOut(2 * z, (y + 1) % 5, name="B"),
        "classes": HeldOut(2 * z[:, :4], np.minimum(y, 3), name="B"),
        "rows": HeldOut(2 * z[:19], y[:19], name="B"),
        "labels gone": HeldOut(2 * z, name="B"),
    }[change]
    return one, other


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("nothing", "other data in A than in A"),
        ("labels", "same examples in A and B, got labels that differ"),
        ("classes", r"same classes in A and B, got shapes \(20, 5\) and \(20, 4\)"),
        ("rows", "same examples in A and B"),
        ("labels gone", "expected ids in both"),
    ],
)
@pytest.mark.parametrize("average", [average_logits, average_probs])
def test_files_that_cannot_be_averaged_are_refused(average, change, message):
    with pytest.raises(InputError, match=message):
        average(different(change))


def test_one_file_is_no_ensemble():
    with pytest.raises(InputError, match="at least two files to average, got 1"):
        average_logits([HeldOut(*sample(20))])
    with pytest.raises(InputError, match="at least two files to average, got 0"):
        average_probs([])


def test_tiny_probabilities_still_rank():
    z = np.array([[200.0, 0, 0], [300.0, 0, 0], [5.0, 0, 0]])
    files = [HeldOut(scale * z, np.zeros(3, int)) for scale in (1, 1.5)]
    found = average_probs(files).file.logits
    confidence = msp(from_probs(np.exp(found)))
    assert np.isfinite(confidence).all()
    assert confidence.argsort().tolist() == [2, 0, 1]


# The command line


@pytest.fixture
def files(tmp_path):
    """Two models on three splits, matched by ids in another order."""
    for seed, split in enumerate(("tune", "calibrate", "test")):
        z, y = sample(400, seed=seed)
        order = np.random.default_rng(seed).permutation(400)
        noise = np.random.default_rng(9 + seed).normal(size=z.shape).astype(np.float32)
        ids = 400 * seed + np.arange(400)
        write_logits(tmp_path / f"a-{split}.npz", z, y, ids=ids)
        b = (z + noise)[order], y[order]
        write_logits(tmp_path / f"b-{split}.npz", *b, ids=ids[order])


@pytest.mark.parametrize("of", ["logits", "probs"])
def test_an_ensemble_goes_the_whole_way(of, recuse, files, tmp_path):
    declared = ["--probs"] * (of == "probs")
    for split in ("tune", "calibrate", "test"):
        command = ("average", f"a-{split}.npz", f"b-{split}.npz", "--of", of, "--json")
        rc, out, err = recuse(*command, "--out", f"{split}.safetensors")
        assert (rc, err) == (0, "")
        answer = plain(out)
        whole = read(tmp_path / f"{split}.safetensors", kind=of)
        assert (answer["n"], answer["members"], answer["matched_by"]) == (400, 2, "ids")
        assert (answer["kind"], answer["digest"]) == (of, whole.digest)
    a, b = (read(tmp_path / f"{m}-test.npz") for m in "ab")
    b = b.rows(np.argsort(b.ids))
    for i in range(0, 400, 50):
        rows = [f.logits[i].tolist() for f in (a, b)]
        value = reference.softmax if of == "probs" else list
        found = np.exp(whole.logits[i]) if of == "probs" else whole.logits[i]
        np.testing.assert_allclose(found, reference.mean(rows, value), rtol=1e-6)  # float32
    splits = ("--tune", "tune.safetensors", "--calibrate", "calibrate.safetensors")
    assert recuse("fit", *splits, "--target-risk", 0.2, *declared)[0] == 0
    rc, out, _ = recuse("predict", "rejector.json", "test.safetensors", "--json")
    assert rc == 0
    assert plain(out)["risk"] < 0.25


def test_what_it_did_is_said_in_words(recuse, files, tmp_path):
    rc, out, err = recuse("average", "a-test.npz", "b-test.npz", "--of", "probs", "--out", "e.npz")
    assert (rc, err) == (0, "")
    assert "Averaged the probabilities of 2 models over 400 rows." in out
    assert "Written to e.npz." in out
    assert read(tmp_path / "e.npz").kind == "probs"
    z, y = sample(30)
    write_logits(tmp_path / "c.npz", z, y)
    write_logits(tmp_path / "d.npz", 2 * z, y)
    out = recuse("average", "c.npz", "d.npz", "--out", "f.npz")[1]
    assert "matched by their position" in out
    assert "--probs" not in out


def test_a_binary_head_and_pixels_keep_their_form(recuse, tmp_path):
    column, y = one_column(30)
    for name, scale in (("a", 1), ("b", 3)):
        np.savez(tmp_path / f"{name}.npz", logits=scale * column, labels=y)
        z, labels = pixels(4)
        write_logits(tmp_path / f"p{name}.npz", scale * z, labels)
    assert recuse("average", "a.npz", "b.npz", "--binary", "--out", "e.npz")[0] == 0
    with np.load(tmp_path / "e.npz") as found:
        np.testing.assert_allclose(found["logits"], 2 * column, rtol=1e-6)
    assert (
        recuse("average", "a.npz", "b.npz", "--binary", "--of", "probs", "--out", "q.npz")[0] == 0
    )
    assert read(tmp_path / "q.npz", kind="probs").logits.shape == (30, 2)
    assert recuse("average", "pa.npz", "pb.npz", "--out", "pe.npz")[0] == 0
    np.testing.assert_allclose(read(tmp_path / "pe.npz").logits, 2 * z, rtol=1e-6)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("a-test.npz",), ["at least two files", "got 1"]),
        (("a-test.npz", "a-test.npz"), ["a-test.npz than in a-test.npz"]),
        (("a-test.npz", "a-tune.npz"), ["a-test.npz", "a-tune.npz"]),
        (("a-test.npz", "b-test.npz", "--of", "guess"), ["--of logits or probs, got 'guess'"]),
        (
            ("a-test.npz", "b-test.npz", "--probs"),
            ["expected --of probs: probabilities have no logits"],
        ),
        (("a-test.npz", "none.npz"), ["none.npz: no such file"]),
        (("a-test.npz", "b-test.npz", "--out", "a-test.npz", "--force"), ["is an input"]),
        (("a-test.npz", "b-test.npz", "--out", "b-tune.npz"), ["exists: give --force"]),
        (("a-test.npz", "b-test.npz", "--out", "e.txt"), ["e.txt: expected a file ending in"]),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(command, words, recuse, files, tmp_path):
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    out = () if "--out" in command else ("--out", "e.npz")
    one_line(recuse("average", *command, *out), *words)
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before
