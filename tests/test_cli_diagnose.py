import numpy as np
import pytest
from safetensors.numpy import save_file

import answers
import recuse as rc
from answers import one_line
from learnable import learnable
from recuse import write_logits
from samples import one_column, pixels
from test_diagnose import optimum, sharp
from test_geometry import layer


def plain(answer):
    rc, out, err = answer
    assert (rc, err) == (0, "")
    return answers.plain(out)


def write(tmp_path):
    write_logits(tmp_path / "smooth.npz", *optimum(0.2, n=800, noise=0.2))
    write_logits(tmp_path / "sharp.npz", *sharp(n=800))


def test_the_verdict_comes_first_and_the_recommendation_last(recuse, tmp_path):
    write(tmp_path)
    code, out, err = recuse("diagnose", "smooth.npz")
    lines = out.strip().splitlines()
    assert (code, err) == (0, "")
    assert lines[0].startswith("Label smoothing: the probabilities fit a smoothing of 0.")
    assert lines[-1].startswith("Rank by ")
    assert "fitted smoothing" in out
    assert "ceiling" in out
    out = recuse("diagnose", "sharp.npz")[1]
    assert out.startswith("No label smoothing: ")
    assert "ceiling" not in out
    assert out.strip().endswith("No repair gains more than its standard error.")


def test_json_is_the_diagnosis(recuse, tmp_path):
    write(tmp_path)
    found = plain(recuse("diagnose", "smooth.npz", "--json", "--seed", 2))
    file = rc.read(tmp_path / "smooth.npz")
    expected = rc.diagnose(file.logits, file.labels, seed=2)
    assert found["verdict"] == expected.verdict
    assert found["smoothing"]["value"] == expected.smoothing.value
    assert found["repair"]["gain"] == expected.repair.gain
    assert found["max_logit"]["difference"] == expected.max_logit.difference


def test_quiet_prints_nothing(recuse, tmp_path):
    write(tmp_path)
    assert recuse("diagnose", "smooth.npz", "--quiet") == (0, "", "")


def test_what_is_undefined_is_null_with_a_reason(recuse, tmp_path):
    z, _ = optimum(0.2, n=200, noise=0.2)
    write_logits(tmp_path / "right.npz", z, z.argmax(axis=1))
    found = plain(recuse("diagnose", "right.npz", "--json"))
    assert found["max_logit"] is None
    assert found["repair"]["relative_gain"] is None
    assert {"max_logit", "gradient", "geometry", "relative_gain"} <= set(found["undefined"])
    assert "not compared" in recuse("diagnose", "right.npz")[1]


def test_groups_of_the_file_or_of_their_own_widen_the_interval(recuse, tmp_path):
    z, y = optimum(0.2, n=200, noise=0.2)
    z, y, groups = np.repeat(z, 4, axis=0), np.repeat(y, 4), np.repeat(np.arange(200), 4)
    write_logits(tmp_path / "a.npz", z, y)
    write_logits(tmp_path / "g.npz", z, y, groups=groups)
    np.save(tmp_path / "g.npy", groups)
    alone = plain(recuse("diagnose", "a.npz", "--json"))["smoothing"]
    own = plain(recuse("diagnose", "g.npz", "--json"))["smoothing"]
    given = plain(recuse("diagnose", "a.npz", "--groups", "g.npy", "--json"))["smoothing"]
    assert own == given
    assert own["value"] == alone["value"]
    assert own["standard_error"] == pytest.approx(2 * alone["standard_error"], rel=0.02)


def test_binary_heads_and_pixels_are_read(recuse, tmp_path):
    z, y = one_column(900)
    np.savez(tmp_path / "b.npz", logits=z, labels=y)
    found = plain(recuse("diagnose", "b.npz", "--binary", "--json"))
    assert (found["classes"], found["verdict"]) == (2, "no label smoothing")
    z, y = pixels(60)
    y[:, 0] = 255
    write_logits(tmp_path / "p.npz", z, y, ignore_index=255)
    found = plain(recuse("diagnose", "p.npz", "--ignore-index", 255, "--json"))
    assert (found["n"], found["classes"]) == (60 * 30, 3)


@pytest.mark.parametrize("kind", ["npz", "safetensors"])
def test_features_add_the_geometry(kind, recuse, tmp_path):
    x, w, b, z, y = layer()
    write_logits(tmp_path / "z.npz", z, y)
    save = {"npz": lambda p, a: np.savez(p, **a), "safetensors": lambda p, a: save_file(a, p)}[kind]
    save(tmp_path / f"f.{kind}", {"features": x, "weights": w, "bias": b})
    found = plain(recuse("diagnose", "z.npz", "--features", f"f.{kind}", "--json"))
    expected = rc.diagnose(z, y, features=x, weights=w, bias=b).geometry
    assert found["geometry"]["own_right"] == expected.own_right
    assert "own template" in recuse("diagnose", "z.npz", "--features", f"f.{kind}")[1]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["none.npz"], ["none.npz: no such file"]),
        (["bare.npz"], ["expected `labels`, got logits alone"]),
        (["z.npz", "--binary"], ["expected a binary head"]),
        (["z.npz", "--features", "none.npz"], ["none.npz: no such file"]),
        (["z.npz", "--features", "f.csv"], [".npz or .safetensors, got '.csv'"]),
        (["z.npz", "--features", "z.npz"], ["z.npz: expected arrays `features`, `weights`"]),
        (["z.npz", "--features", "damaged.npz"], ["damaged.npz: cannot be read as npz"]),
        (["z.npz", "--features", "other.npz"], ["features times weights plus bias", "row"]),
        (["z.npz", "--features", "short.npz"], ["`features` (n, D)", "(299, 8)"]),
        (["z.npz", "--groups", "none.npy"], ["none.npy: cannot be read as groups"]),
        (["one.npz"], ["at least 2 independent"]),
    ],
)
def test_what_cannot_be_diagnosed_is_one_line_and_writes_nothing(command, words, recuse, tmp_path):
    x, w, b, z, y = layer()
    write_logits(tmp_path / "z.npz", z, y)
    write_logits(tmp_path / "bare.npz", z)
    write_logits(tmp_path / "one.npz", z[:1], y[:1])
    np.savez(tmp_path / "other.npz", features=x, weights=w, bias=b + 1)
    np.savez(tmp_path / "short.npz", features=x[1:], weights=w, bias=b)
    (tmp_path / "damaged.npz").write_bytes(b"not an archive")
    (tmp_path / "f.csv").write_text("1,2\n")
    before = sorted(tmp_path.iterdir())
    one_line(recuse("diagnose", *command), *words)
    assert sorted(tmp_path.iterdir()) == before


def as_probabilities(z):
    odds = np.exp(z.astype(np.float64) - z.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def test_probabilities_are_diagnosed_as_their_logits_but_only_msp_is_recommended(recuse, tmp_path):
    z, y = optimum(0.2, n=800, noise=0.2)
    write_logits(tmp_path / "z.npz", z, y)
    write_logits(tmp_path / "q.npz", as_probabilities(z), y)
    code, _, err = recuse("diagnose", "q.npz")
    assert code == 0
    assert "declare them by --probs" in err
    expected = plain(recuse("diagnose", "z.npz", "--json"))
    found = plain(recuse("diagnose", "q.npz", "--probs", "--json"))
    assert found["verdict"] == expected["verdict"] == "label smoothing"
    assert found["smoothing"]["value"] == pytest.approx(expected["smoothing"]["value"], abs=1e-6)
    assert found["repair"]["score"]["name"] == "msp"
    assert "other scores need logits" in found["recommendation"]
    assert "Save the logits" in found["recommendation"]


def test_a_probability_of_zero_cannot_be_diagnosed(recuse, tmp_path):
    z, y = sharp(n=200)
    probs = as_probabilities(z)
    probs[5] = np.eye(probs.shape[1])[0]
    write_logits(tmp_path / "q.npz", probs, y, kind="probs")
    one_line(recuse("diagnose", "q.npz", "--probs"), "q.npz: ", "probabilities > 0, got 0, row 5")
    x, w, b, z, y = layer()
    np.savez(tmp_path / "f.npz", features=x, weights=w, bias=b)
    one_line(
        recuse("diagnose", "q.npz", "--probs", "--features", "f.npz"), "--features with logits"
    )


def test_the_recommendation_speaks_of_this_file_and_of_no_tune_split(recuse, tmp_path):
    write(tmp_path)
    for name in ("smooth.npz", "sharp.npz"):
        out = recuse("diagnose", name)[1]
        if "Rank by MSP" not in out:
            assert "cross-fitted on this file" in " ".join(out.split())
        assert "tuning split" not in " ".join(out.split())


def test_a_filler_of_masked_classes_is_said_once_by_every_command(recuse, tmp_path):
    z, y = optimum(0.2, n=1600, noise=0.2)
    wider = np.insert(z, 3, -1e4, axis=1)
    write_logits(tmp_path / "a.npz", wider[:800], (y + (y >= 3))[:800])
    write_logits(tmp_path / "b.npz", wider[800:], (y + (y >= 3))[800:])
    fit = ("fit", "--tune", "a.npz", "--calibrate", "b.npz", "--target-risk", 0.4)
    for command in (("diagnose", "a.npz"), fit, ("evaluate", "a.npz", "--score", "logit_norm")):
        code, _, err = recuse(*command)
        assert code == 0
        assert err.count("\n") == 1
        assert err.startswith("recuse: warning: ")
        assert "values of -5000 or less stand for masked classes and count as -inf: class 3" in err
    code, _, err = recuse("predict", "rejector.json", "b.npz")
    assert (code, err) == (0, "")


def test_diagnose_and_fit_of_one_file_say_why_they_name_different_scores(recuse, tmp_path):
    write_logits(tmp_path / "a.npz", *learnable(2000, 0))
    advice = " ".join(recuse("diagnose", "a.npz")[1].split())
    code, out, _ = recuse("fit", "a.npz", "--target-risk", 0.4)
    fitted = " ".join(out.split())
    assert code == 0
    assert "Rank by the learned score, not by MSP" in advice
    assert "fixed beforehand" in fitted
    assert "below 10,000, on none, and may choose another" in advice
    assert "`recuse diagnose` compares scores on all rows, this fit on none" in fitted
