"""skorch needs no file of ours: the losses are criteria like any other."""

from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from recuse.losses import SmoothedCrossEntropy, smoothed_cross_entropy

skorch = pytest.importorskip("skorch", reason="make test-integrations has it")
selection = pytest.importorskip("sklearn.model_selection")
helper = pytest.importorskip("skorch.helper")

K = 3
X = np.random.default_rng(0).normal(size=(60, 4)).astype("float32")
Y = X[:, :K].argmax(1)


class Linear(torch.nn.Linear):
    def __init__(self):
        torch.manual_seed(0)
        super().__init__(4, K)


def net(kind=skorch.NeuralNetClassifier, **options):
    defaults = {"criterion": SmoothedCrossEntropy, "max_epochs": 3, "lr": 0.5, "verbose": 0}
    return kind(Linear, **(defaults | options))


SOFTMAX = {"predict_nonlinearity": partial(torch.softmax, dim=1)}


def logits_of(fitted, x=X):
    return fitted.module_.eval()(torch.from_numpy(x)).detach()


def test_training_is_that_of_a_plain_loop():
    fitted = net(criterion__smoothing=0.2, train_split=None, batch_size=-1).fit(X, Y)
    module = Linear()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
    for _ in range(3):
        loss = smoothed_cross_entropy(module(torch.from_numpy(X)), torch.from_numpy(Y), 0.2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.testing.assert_close(fitted.module_.state_dict(), module.state_dict())


def test_trap_predict_proba_returns_logits_unless_the_softmax_is_asked_for():
    fitted = net().fit(X, Y)
    np.testing.assert_allclose(fitted.predict_proba(X), logits_of(fitted), atol=1e-6)
    asked = net(**SOFTMAX).fit(X, Y)
    probs = asked.predict_proba(X)
    np.testing.assert_allclose(probs, logits_of(asked).softmax(1), atol=1e-6)
    np.testing.assert_array_equal(fitted.predict(X), asked.predict(X))


def test_a_grid_search_runs_over_the_smoothing():
    grid = {"criterion__smoothing": [0.0, 0.2, 0.9]}
    search = selection.GridSearchCV(
        net(**SOFTMAX), grid, cv=2, scoring="neg_log_loss", error_score="raise"
    )
    search.fit(X, Y)
    scores = search.cv_results_["mean_test_score"]
    assert len(set(scores)) == 3
    assert search.best_params_["criterion__smoothing"] in grid["criterion__smoothing"]
    assert (
        search.best_estimator_.criterion_.smoothing == search.best_params_["criterion__smoothing"]
    )


def test_class_weights_are_an_argument_of_the_criterion():
    weight = torch.tensor([1.0, 2.0, 3.0])
    fitted = net(criterion__weight=weight, criterion__smoothing=0.2).fit(X, Y)
    logits, labels = logits_of(fitted), torch.from_numpy(Y)
    expected = smoothed_cross_entropy(logits, labels, 0.2, weight=weight)
    torch.testing.assert_close(fitted.criterion_(logits, labels), expected)


def test_mixed_targets_train_with_the_general_net():
    one_hot = F.one_hot(torch.from_numpy(Y), K).float()
    mixed = torch.lerp(one_hot, one_hot.flip(0), 0.3)
    fitted = net(skorch.NeuralNet, train_split=None, batch_size=-1, max_epochs=1)
    fitted.fit(X, mixed.numpy())
    before = Linear()(torch.from_numpy(X))
    expected = smoothed_cross_entropy(before, mixed, 0.1).item()
    assert fitted.history[-1, "train_loss"] == pytest.approx(expected, rel=1e-5)
