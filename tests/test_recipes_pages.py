"""What the page of results says about the training of the runs."""

import json

import pytest
from benchmarks.recipes import how, span

from recuse.recipes import models_of, recipe_named

SETTINGS = {"recipe": "digits-pairs", "epochs": 20, "batch": 128, "order": "shuffled"}
SETTINGS |= {"precision": "32-true", "label_noise": 0.0, "classes": None}
MODEL = {"loss": "label_smoothing", "strength": 0.0, "seed": 0, "train": 20_000, "seconds": 12.3}
MODEL |= {"parameters": 1000, "device": "cpu (x)", "threads": 1, "processes": 1, "torch": "2"}


@pytest.fixture
def said(tmp_path):
    """Return what the page says about a run with these settings and models."""

    def write(settings, *models):
        run = tmp_path / "mine"
        run.mkdir()
        (run / "run.json").write_text(json.dumps(SETTINGS | settings))
        for k, model in enumerate(models):
            place = run / f"m{k}" / f"seed-{k}"
            place.mkdir(parents=True)
            (place / "model.json").write_text(json.dumps(MODEL | model))
        return how(run, recipe_named("digits-pairs"), models_of(run))

    return write


def test_cross_entropy_alone_has_its_command(said):
    text = said({}, {})
    assert (
        "`recuse train digits-pairs --loss label_smoothing --smoothing 0 --seeds 1 --epochs 20 "
        "--out runs/mine`. In full. 20,000 training rows, 1,000 parameters, 20 epochs, batch 128, "
        "precision 32-true; cpu (x), 1 thread, torch 2; 12 s per model"
    ) in text


def test_every_option_is_in_the_command_and_every_change_is_named(said):
    other = {"epochs": 5, "batch": 64, "order": "sorted", "label_noise": 0.4, "classes": [3, 5]}
    text = said(other, {}, {"strength": 0.2, "processes": 2, "loss": "margin_smoothing"})
    assert "--loss margin_smoothing --smoothing 0,0.2 --seeds 1 --epochs 5 --batch 64" in text
    assert "--order sorted --label-noise 0.4 --only 3,5 --devices 2 --out runs/mine`" in text
    assert (
        "**Shortened**: 5 of 20 epochs, with the same shape of the schedule; batch 64 instead of "
        "128; rows sorted; 40 % of the labels wrong; 2 classes only."
    ) in text


def test_what_differs_between_models_is_given_as_ranges_and_by_machine(said):
    text = said(
        {}, {}, {"seed": 1, "parameters": 1010, "seconds": 4000.0}, {"seed": 2, "torch": "3"}
    )
    assert "1,000 to 1,010 parameters" in text
    assert "2 models on cpu (x), 1 thread, torch 2; 1 models on cpu (x), 1 thread, torch 3" in text
    assert "12 to 4,000 s per model" in text
    assert span([]) == "?"
