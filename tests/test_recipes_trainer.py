import csv
import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import recuse as rc
import recuse.io._overlap
from recuse.curves import aurc
from recuse.errors import InputError
from recuse.recipes import (
    RECIPES,
    Model,
    Settings,
    Variant,
    digits,
    models_of,
    networks,
    recipe_named,
    run,
    variants,
)
from recuse.recipes._logits import Experiment, outputs, sketches
from recuse.recipes._models import comparable, describe
from recuse.recipes._module import Batches, stamp_of
from recuse.recipes._recipe import constant, cosine, drops, loss_of, poly, started
from recuse.recipes._train import (
    WEIGHTS,
    _Checkpoint,
    seconds_of,
    train_model,
    trained,
    with_weights,
)
from recuse.recipes.sam import SAM
from recuse.scores import Score
from recuse.tuning import MSP
from tiny_recipes import BLOBS, CLASSES, EVEN, SCENES, blobs, network, one_logit, scenes, tiny

SMOOTHING = ("label_smoothing",)


def plan(recipe, **changes):
    fields = {"epochs": recipe.epochs, "batch": recipe.batch, "accelerator": "cpu"}
    return Settings(**(fields | changes))


def trained_run(recipe, out, strengths=(0.0, 0.2), seeds=(0,), losses=SMOOTHING, **changes):
    wanted = variants(losses, strengths, recipe)
    return run(recipe, None, wanted, seeds, out, plan(recipe, **changes))


def logits(model, split="test"):
    return rc.read(model.split(split)).logits


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 60), st.integers(1, 20), st.sampled_from([1, 2, 4]), st.integers(0, 5))
def test_processes_share_each_batch_and_no_row_comes_twice(n, batch, world, epoch):
    stamp = stamp_of(3, epoch)
    if min(batch, n) % world:
        with pytest.raises(InputError, match="share evenly"):
            Batches(n, batch, stamp, world=world)
        return
    whole = [[row for _, row in b] for b in Batches(n, batch, stamp)]
    shares = [[[row for _, row in b] for b in Batches(n, batch, stamp, rank=r, world=world)]
              for r in range(world)]  # fmt: skip
    for i, rows in enumerate(whole):
        assert sorted(rows) == sorted(row for share in shares for row in share[i])
        assert len({len(share[i]) for share in shares}) == 1
    seen = [row for rows in whole for row in rows]
    assert len(seen) == len(set(seen)) == n // min(batch, n) * min(batch, n)


def test_batches_depend_on_seed_and_epoch_alone():
    def rows(stamp):
        return [row for batch in Batches(64, 8, stamp) for _, row in batch]

    assert rows(stamp_of(0, 3)) == rows(stamp_of(0, 3))
    others = [rows(stamp_of(seed, epoch)) for seed in (0, 1) for epoch in range(4)]
    assert len({tuple(r) for r in others}) == 8


def test_sorted_batches_go_class_after_class():
    labels = torch.tensor([2, 0, 1, 0, 2, 1])
    rows = [row for batch in Batches(6, 2, 5, labels=labels) for _, row in batch]
    assert labels[rows].tolist() == [0, 0, 1, 1, 2, 2]


def test_schedules_by_hand():
    assert [constant(t) for t in (0, 1)] == [1, 1]
    epochs = np.arange(75)
    rates = [0.1 * drops(e / 75, at=(1 / 3, 2 / 3)) for e in epochs]
    np.testing.assert_allclose(rates, [0.1] * 25 + [0.01] * 25 + [0.001] * 25)
    assert cosine(0.0, warmup=5 / 120) == 0
    assert cosine(2.5 / 120, warmup=5 / 120) == pytest.approx(0.5)
    assert cosine(1.0, warmup=5 / 120) == pytest.approx(0)
    assert poly(0.25, power=0.9) == 0.75**0.9


def test_each_recipe_begins_at_its_rate_and_drops_where_it_says(tmp_path):
    rates = []

    class Watched(torch.optim.SGD):
        def step(self, closure=None):
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    recipe = replace(
        EVEN,
        optimizer=lambda m: Watched(m.parameters(), lr=0.5),
        schedule=lambda t: drops(t, at=(1 / 3, 2 / 3)),
    )
    trained_run(recipe, tmp_path / "run", (0.0,))
    assert rates == pytest.approx([0.5] * 8 + [0.05] * 8 + [0.005] * 8)


def test_a_run_leaves_what_the_other_commands_read(tmp_path):
    models = trained_run(BLOBS, tmp_path / "run", seeds=(0, 1))
    assert [(m.name, m.seed) for m in models] == [
        ("cross-entropy", 0), ("smoothing-0.2", 0), ("cross-entropy", 1), ("smoothing-0.2", 1)
    ]  # fmt: skip
    assert set(models_of(tmp_path / "run")) == set(models)
    assert describe(tmp_path / "run")["recipe"] == "blobs"
    for model in models:
        file = rc.read(model.split("test"))
        expected = blobs(None, seed=model.seed).test
        assert file.logits.shape == (120, CLASSES)
        np.testing.assert_array_equal(file.labels, expected.data.y)
        np.testing.assert_array_equal(file.ids, expected.ids)
        about = json.loads((model.folder / "model.json").read_text())
        assert about["epochs"] == about["of_epochs"] == 3
        assert about["strength"] == model.variant.strength
    assert not list((tmp_path / "run").rglob("*.ckpt"))


def test_saved_weights_give_the_saved_logits(tmp_path):
    (model,) = trained_run(BLOBS, tmp_path / "run", (0.2,))
    parts = BLOBS.load(None, seed=0)
    net = trained(BLOBS, parts, model.folder)
    z = np.concatenate([z for z, _ in outputs(BLOBS, net, parts.test, "cpu")])
    np.testing.assert_array_equal(z, logits(model))


def test_models_of_a_seed_differ_in_their_loss_alone(tmp_path):
    inputs = {}

    def spying(parts):
        net = network(parts)
        seen = inputs.setdefault(len(inputs), [net[0].weight.detach().clone()])
        net.register_forward_pre_hook(lambda _, x: seen.append(x[0].clone()))
        return net

    trained_run(replace(BLOBS, network=spying), tmp_path / "run", (0.0, 0.3))
    plain, smoothed = (torch.cat([x.flatten() for x in seen]) for seen in inputs.values())
    assert torch.equal(plain, smoothed)  # initial weights, then every batch with its noise


def test_all_losses_of_strength_zero_are_one_model():
    both = variants(("label_smoothing", "max_suppression"), (0.0, 0.1), BLOBS)
    assert [v.name for v in both] == ["cross-entropy", "smoothing-0.1", "max-suppression-0.1"]


def test_other_losses_train_other_models(tmp_path):
    plain, other = trained_run(BLOBS, tmp_path / "run", (0.0, 0.5), losses=("max_suppression",))
    assert not np.allclose(logits(plain), logits(other))


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("label_smoothing", rc.losses.SmoothedCrossEntropy),
        ("max_suppression", rc.losses.MaxSuppression),
        ("margin_smoothing", rc.losses.MarginSmoothing),
    ],
)
def test_a_loss_has_its_strength_and_ignores_void_labels(loss, expected):
    made = loss_of(Variant(loss, 0.3), "pixels", 11)
    assert isinstance(made, expected)
    assert (made.smoothing, made.ignore_index) == (0.3, 11)


def test_one_logit_is_saved_as_a_binary_head(tmp_path):
    recipe = tiny(load=two_blobs, network=one_logit, output="binary")
    (model,) = trained_run(recipe, tmp_path / "run", (0.2,))
    file = rc.read(model.split("test"), kind="binary")
    assert file.logits.shape == (120, 2)
    assert np.mean(file.logits.argmax(1) == file.labels) > 0.8
    with pytest.raises(InputError, match="label_smoothing with one logit"):
        variants(("max_suppression",), (0.1,), recipe)


def two_blobs(folder, *, seed):
    parts = blobs(folder, seed=seed)
    for part in parts[:4]:
        part.data.y = (part.data.y > 0).long()
    return parts._replace(classes=2, names=("a", "other"))


def test_pixels_are_the_same_for_every_loss_and_lie_where_their_ids_say(tmp_path):
    plain, smoothed = trained_run(SCENES, tmp_path / "run")
    a, b = (rc.read(m.split("test")) for m in (plain, smoothed))
    np.testing.assert_array_equal(a.ids, b.ids)
    y = scenes(None, seed=0).test.data.y.numpy()
    assert len(a.ids) == 60
    spots = a.ids - 2 * y.size  # behind those of tune and calibrate
    assert np.array_equal(np.bincount(a.groups - 12), [10] * 6)
    np.testing.assert_array_equal(a.labels, y.reshape(-1)[spots])
    assert (a.labels != 11).all()
    tune, calibrate = (rc.read(plain.split(s)) for s in ("tune", "calibrate"))
    assert recuse.io._overlap.overlap(tune, calibrate) is None
    net = trained(SCENES, SCENES.load(None, seed=0), plain.folder)
    with torch.no_grad():
        z = net(scenes(None, seed=0).test.data.x).permute(0, 2, 3, 1).reshape(-1, 3).numpy()
    np.testing.assert_allclose(a.logits, z[spots], rtol=1e-5, atol=1e-6)


def test_all_pixels_are_in_the_sketch(tmp_path):
    models = trained_run(SCENES, tmp_path / "run")
    scores = [MSP, Score("logit_norm", {"p": 3})]
    found = sketches(Experiment(SCENES, None, plan(SCENES)), models, lambda m: scores)
    parts = scenes(None, seed=0)
    y = parts.test.data.y.numpy()
    for model, curves in found.items():
        net = trained(SCENES, parts, model.folder)
        with torch.no_grad():
            z = net(parts.test.data.x).numpy()
        wrong = (z.argmax(1) != y)[y != 11]
        for score, sketch in zip(scores, curves):
            area = sketch.aurc()
            assert sketch.n == wrong.size
            assert area.low <= aurc(score(z)[y != 11], wrong) <= area.high
        with np.load(model.folder / "scenes.npz") as saved:
            assert saved["image"].shape == (5, 6, 4, 3)
            np.testing.assert_allclose(saved["logits"], z[saved["item"]], atol=0.01)
            np.testing.assert_array_equal(saved["labels"], y[saved["item"]])
    assert sketches(Experiment(BLOBS, None, plan(BLOBS)), models, lambda m: scores) == {}
    other = {models[0]: scores, models[1]: [MSP, Score("logit_norm", {"p": 4})]}
    (models[0].folder / "model.safetensors").unlink()  # not needed for what is saved
    again = sketches(Experiment(SCENES, None, plan(SCENES)), models, other.__getitem__)
    assert [s.aurc() for s in again[models[0]]] == [s.aurc() for s in found[models[0]]]
    assert [s.about["score"] for s in again[models[1]]] == [str(s) for s in other[models[1]]]


def test_a_coarser_map_of_logits_is_judged_at_the_nearest_labels(tmp_path):
    recipe = replace(SCENES, network=coarse, pixels_per_image=None)
    (model,) = trained_run(recipe, tmp_path / "run", (0.1,))
    file = rc.read(model.split("test"))
    y = scenes(None, seed=0).test.data.y.numpy()[:, 1::2, 1::2].reshape(6, -1)
    np.testing.assert_array_equal(file.labels, y[y != 11])


def coarse(parts):
    return torch.nn.Conv2d(3, parts.classes, 2, stride=2)


def test_a_run_goes_on_with_more_losses_and_seeds(tmp_path):
    out = tmp_path / "run"
    first = trained_run(BLOBS, out, (0.2,))[0]
    before = (first.split("test").stat().st_mtime_ns, first.folder.stat().st_mtime_ns)
    models = trained_run(BLOBS, out, (0.0, 0.2), seeds=(0, 1))
    assert len(models_of(out)) == len(models) == 4
    assert before == (first.split("test").stat().st_mtime_ns, first.folder.stat().st_mtime_ns)


@pytest.mark.parametrize("changes", [{"epochs": 2}, {"batch": 16}, {"order": "sorted"}])
def test_a_run_of_another_training_is_refused(tmp_path, changes):
    trained_run(BLOBS, tmp_path / "run", (0.2,))
    with pytest.raises(InputError, match="expected the same training"):
        trained_run(BLOBS, tmp_path / "run", (0.2,), **changes)


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="expected a new folder"):
        trained_run(BLOBS, tmp_path, (0.2,))
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


KILLED = """
    import os, signal, sys
    from pathlib import Path
    import torch
    sys.path.insert(0, {tests!r})
    from test_recipes_trainer import trained_run
    from tiny_recipes import BLOBS
    from recuse.recipes import _module

    step, seen = _module.Training.training_step, []

    def until(self, batch, index):
        seen.append(index)
        if len(seen) == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, batch, index)

    _module.Training.training_step = until
    trained_run(BLOBS, Path(sys.argv[1]), (0.2,))
"""


@pytest.mark.parametrize("at", [3, 20])
def test_a_killed_run_ends_in_the_same_numbers(tmp_path, at):
    (whole,) = trained_run(BLOBS, tmp_path / "whole", (0.2,))
    script = textwrap.dedent(KILLED).format(tests=str(Path(__file__).parent))
    killed = subprocess.run([sys.executable, "-c", script, tmp_path / "run", str(at)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not list((tmp_path / "run").rglob("model.json"))
    assert bool(list((tmp_path / "run").rglob("last.ckpt"))) == (at > 8)
    (resumed,) = trained_run(BLOBS, tmp_path / "run", (0.2,))
    np.testing.assert_array_equal(logits(whole), logits(resumed))
    assert losses(whole) == losses(resumed)  # each step once, in one log
    assert (resumed.folder / "log" / "version_0" / "metrics.csv").exists()


def test_seconds_of_all_sessions_are_added_up(tmp_path, monkeypatch):
    class Slow(_Checkpoint):
        """A first session of a thousand seconds that ends with its first epoch."""

        def on_train_epoch_end(self, trainer, pl_module):
            self.begun = self.begun._replace(seconds=1000.0)
            super().on_train_epoch_end(trainer, pl_module)
            raise KeyboardInterrupt

    monkeypatch.setattr("recuse.recipes._train._Checkpoint", Slow)
    with pytest.raises(KeyboardInterrupt):
        trained_run(BLOBS, tmp_path / "run", (0.2,))
    monkeypatch.undo()
    (model,) = trained_run(BLOBS, tmp_path / "run", (0.2,))
    about = json.loads((model.folder / "model.json").read_text())
    assert 1000 < about["seconds"] == seconds_of(model.folder) < 2000


def test_checkpoints_that_a_kill_left_beside_the_weights_go(tmp_path):
    (model,) = trained_run(BLOBS, tmp_path / "run", (0.2,))
    left = [model.folder / name for name in ("last.ckpt", "last.77.new", "model.json")]
    for path in left:
        path.touch()
    left[-1].unlink()
    trained_run(BLOBS, tmp_path / "run", (0.2,))
    assert [path.exists() for path in left] == [False, False, True]


def test_with_sam_the_loss_at_the_weights_themselves_is_logged(tmp_path):
    def sam(model):
        return SAM(model.parameters(), torch.optim.SGD, rho=5.0, lr=0.1, momentum=0.9)

    (plain,) = trained_run(EVEN, tmp_path / "plain", (0.2,), epochs=1)
    (other,) = trained_run(replace(EVEN, optimizer=sam), tmp_path / "sam", (0.2,), epochs=1)
    assert losses(other)[0] == losses(plain)[0]
    assert losses(other)[1] != losses(plain)[1]


def test_other_data_in_the_folder_of_a_run_are_refused(tmp_path):
    def others(folder, *, seed):
        parts = BLOBS.load(folder, seed=seed)
        parts.tune.data.y[0] = (parts.tune.data.y[0] + 1) % CLASSES
        return parts

    trained_run(BLOBS, tmp_path / "run", (0.0,))
    with pytest.raises(InputError, match=r"run: holds models of seed 0 on data with other labels"):
        trained_run(replace(BLOBS, load=others), tmp_path / "run", (0.2,))
    assert len(trained_run(replace(BLOBS, load=others), tmp_path / "run", (0.2,), (1,))) == 1


def test_processes_of_torchrun_are_all_used_or_none(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert plan(BLOBS, devices=started()).devices == 2
    with pytest.raises(InputError, match="expected --devices 2, the processes that torchrun"):
        plan(BLOBS)


def test_a_checkpoint_that_would_run_code_is_refused_and_not_run(tmp_path):
    folder = tmp_path / "run" / "smoothing-0.2" / "seed-0"
    folder.mkdir(parents=True)
    (folder / "last.ckpt").write_bytes(pickle.dumps(Trap(str(tmp_path / "ran"))))
    (variant,) = variants(SMOOTHING, (0.2,), BLOBS)
    with pytest.raises(InputError, match="delete it to begin this model again"):
        train_model(BLOBS, BLOBS.load(None, seed=0), variant, 0, folder, plan(BLOBS))
    assert not (tmp_path / "ran").exists()


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_weights_of_another_network_are_refused(tmp_path):
    (model,) = trained_run(BLOBS, tmp_path / "run", (0.2,))
    with pytest.raises(InputError, match=r"model\.safetensors: expected weights"):
        with_weights(one_logit(None), model.folder / WEIGHTS)


def test_two_processes_train_what_one_does_on_the_same_batches(tmp_path):
    (one,) = trained_run(EVEN, tmp_path / "one", (0.2,))
    (two,) = trained_run(EVEN, tmp_path / "two", (0.2,), devices=2)
    np.testing.assert_allclose(logits(one), logits(two), rtol=1e-4, atol=1e-5)
    a, b = (rc.scores.msp(logits(m)) for m in (one, two))
    wrong = logits(one).argmax(1) != rc.read(one.split("test")).labels
    assert aurc(a, wrong) == pytest.approx(aurc(b, wrong), rel=1e-4)
    assert losses(one) == pytest.approx(losses(two), rel=1e-4)


def test_void_pixels_weigh_the_same_on_two_processes(tmp_path):
    uneven = replace(SCENES, load=uneven_scenes, epochs=2)
    (one,) = trained_run(uneven, tmp_path / "one", (0.2,))
    (two,) = trained_run(uneven, tmp_path / "two", (0.2,), devices=2)
    np.testing.assert_allclose(logits(one), logits(two), rtol=1e-4, atol=1e-5)


def uneven_scenes(folder, *, seed):
    """Some images have only one labelled pixel."""
    parts = scenes(folder, seed=seed)
    parts.train.data.y[::2, 1:] = 11
    return parts


def losses(model):
    (path,) = model.folder.rglob("metrics.csv")
    with path.open(newline="") as handle:
        return [float(row["loss"]) for row in csv.DictReader(handle)]


def test_the_recipes_are_those_of_the_paper():
    r = recipe_named("cifar10-resnet20")
    assert (r.epochs, r.batch) == (75, 128)
    assert [r.schedule(e / 75) for e in (0, 24, 25, 49, 50)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01]
    )
    r = recipe_named("cifar100-densenet")
    assert (r.epochs, r.batch) == (300, 64)
    assert [r.schedule(e / 300) for e in (149, 150, 225)] == pytest.approx([1, 0.1, 0.01])
    r = recipe_named("imagenet-resnet50")
    assert (r.epochs, r.batch, r.schedule(5 / 120)) == (120, 1024, 1.0)
    r = recipe_named("imagenet-vit-s16-sam")
    assert (r.epochs, r.batch, r.schedule(15 / 300)) == (300, 2048, 1.0)
    r = recipe_named("cityscapes-deeplabv3plus")
    assert (r.batch, r.pixels_per_image) == (12, 5000)
    assert r.epochs * (2975 // 12) == 40_014
    for name in ("bank-marketing-mlp", "online-shoppers-mlp"):
        r = recipe_named(name)
        assert (r.epochs, r.batch, r.output, max(r.smoothings)) == (10, 128, "binary", 0.6)
    r = recipe_named("imdb-lstm")
    assert (r.epochs, r.batch, r.output) == (10, 64, "binary")


@pytest.mark.parametrize("name", RECIPES)
def test_missing_data_are_named_in_one_line(tmp_path, name):
    recipe = recipe_named(name)
    if not recipe.data:
        return
    for folder in (None, tmp_path / "nowhere", tmp_path):
        with pytest.raises(InputError) as error:
            recipe.load(folder, seed=0)
        assert "\n" not in str(error.value)
        assert "expected" in str(error.value)


@pytest.mark.parametrize("name", RECIPES)
def test_what_a_recipe_names_exists(name):
    recipe = recipe_named(name)
    if isinstance(recipe.network, partial):
        assert recipe.network.keywords["name"] in networks.__all__
    model = torch.nn.ModuleDict({"encoder": torch.nn.Linear(2, 3), "head": torch.nn.Linear(3, 1)})
    groups = recipe.optimizer(model).param_groups
    assert sum(len(group["params"]) for group in groups) == 4


def test_the_digits_recipe_has_the_data_of_the_demo():
    parts = recipe_named("digits").load(None, seed=0)
    copies = digits.REPLICATES
    held = [copies * images for images in (digits.TUNE, digits.CALIBRATE, 797)]
    assert [len(part.data) for part in parts[:4]] == [600, *held]
    images = [set(part.ids // copies) for part in parts[:4]]
    assert sorted(image for part in images for image in part) == list(range(1797))
    again = recipe_named("digits").load(None, seed=0).test
    assert torch.equal(parts.test.data.x, again.data.x)
    clean = parts.train.data[0][0]
    noisy = parts.train.data[(7, 0)][0]
    assert 0 <= clean.min() <= clean.max() <= 1
    assert not torch.equal(clean, noisy)
    assert torch.equal(noisy, parts.train.data[(7, 0)][0])


def test_models_are_comparable_where_all_seeds_are_there(tmp_path):
    def model(loss, strength, seed):
        return Model(Variant(loss, strength), seed, tmp_path)

    plain, smoothed = (
        [model("label_smoothing", a, seed) for seed in (0, 1, 2)] for a in (0.0, 0.2)
    )
    margin = [model("margin_smoothing", 0.2, seed) for seed in (0, 2)]
    models = [*margin, *smoothed, *plain]
    found = comparable(models)
    assert [(m.name, m.seed) for m in found] == [
        (name, seed) for seed in (0, 1, 2) for name in ("cross-entropy", "smoothing-0.2")
    ]
    names = [m.name for m in comparable(models, [0, 2])]
    assert names == ["cross-entropy", "margin-0.2", "smoothing-0.2"] * 2
    assert comparable(models, [3]) == []
