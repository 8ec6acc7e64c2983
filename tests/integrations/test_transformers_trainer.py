"""The loss function for the Trainer of Transformers, in the real Trainer."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import recuse
from recuse.integrations.transformers import compute_loss_func, held_out
from recuse.losses import SmoothedCrossEntropy, smoothed_cross_entropy

transformers = pytest.importorskip("transformers", reason="make test-integrations has it")
pytest.importorskip("accelerate", reason="make test-integrations has it")

K = 5
ATOL, RTOL = 1e-6, 1e-5  # float32 weights after two steps, sums in another order


def train(folder, model, rows, f, *, batch, accumulation, evaluate=False, **options):
    torch.manual_seed(0)
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=batch,
        per_device_eval_batch_size=batch,
        gradient_accumulation_steps=accumulation,
        num_train_epochs=2,
        learning_rate=0.1,
        optim="sgd",
        max_grad_norm=0,
        lr_scheduler_type="constant",
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        **options,
    )
    trainer = transformers.Trainer(
        model, arguments, train_dataset=rows, eval_dataset=rows, compute_loss_func=f
    )
    trainer.train()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    return (weights, trainer.evaluate()["eval_loss"]) if evaluate else weights


def bert(kind, **options):
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 8, "vocab_size": 11, "max_position_embeddings": 16}
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = transformers.BertConfig(num_labels=K, **sizes, **dropout, **options)
    return getattr(transformers, f"Bert{kind}")(config)


def rows_for(kind):
    """Rows with different numbers of labels, so that a mean of means differs."""
    generator = torch.Generator().manual_seed(0)
    for i in range(16):
        tokens = torch.randint(11, (8,), generator=generator)
        labels = tokens % K
        if kind == "ForSequenceClassification":
            labels = labels[0]
        else:
            labels[: i % 8] = -100
        yield {"input_ids": tokens, "labels": labels}


KINDS = ["ForSequenceClassification", "ForTokenClassification", "LMHeadModel"]


@pytest.mark.parametrize("kind", KINDS)
def test_accumulated_batches_train_as_one_large_batch(tmp_path, kind):
    causal = kind == "LMHeadModel"
    rows = list(rows_for(kind))

    def weights(batch, accumulation):
        f = compute_loss_func(SmoothedCrossEntropy(0.2), shift=causal)
        model = bert(kind, is_decoder=causal)
        sizes = {"batch": batch, "accumulation": accumulation}
        return train(tmp_path, model, rows, f, train_sampling_strategy="sequential", **sizes)

    whole, parts = weights(16, 1), weights(8, 2)
    start = bert(kind, is_decoder=causal).state_dict()
    assert max((whole[name] - start[name]).abs().max() for name in start) > 1e-3
    torch.testing.assert_close(parts, whole, atol=ATOL, rtol=RTOL)


def looped(tokens, labels):
    """The weights after the same two steps in a plain loop."""
    model = bert("ForSequenceClassification")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        loss = smoothed_cross_entropy(model(tokens).logits, labels, 0.2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.state_dict()


def test_the_trained_weights_are_those_of_a_plain_loop(tmp_path):
    rows = list(rows_for("ForSequenceClassification"))
    f = compute_loss_func(SmoothedCrossEntropy(0.2))
    model = bert("ForSequenceClassification")
    trained, eval_loss = train(tmp_path, model, rows, f, batch=16, accumulation=1, evaluate=True)
    tokens, labels = (torch.stack([row[key] for row in rows]) for key in ("input_ids", "labels"))
    with torch.no_grad():
        logits = model.eval()(tokens).logits
        assert eval_loss == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)
    torch.testing.assert_close(trained, looped(tokens, labels), atol=ATOL, rtol=RTOL)


def test_soft_labels_train_as_in_a_plain_loop(tmp_path):
    rows = list(rows_for("ForSequenceClassification"))
    for row in rows:  # mixed with the next class
        soft = F.one_hot(row["labels"], K).float()
        row["labels"] = torch.lerp(soft, soft.roll(1), 0.3)
    labels = torch.stack([row["labels"] for row in rows])
    tokens = torch.stack([row["input_ids"] for row in rows])
    f = compute_loss_func(SmoothedCrossEntropy(0.2))
    model = bert("ForSequenceClassification")
    trained = train(tmp_path, model, rows, f, batch=8, accumulation=2)
    torch.testing.assert_close(trained, looped(tokens, labels), atol=ATOL, rtol=RTOL)


def predicted(folder, kind, n=400, **options):
    """What `trainer.predict()` gives for two halves of rows of 3 to 8 tokens."""
    generator, rng = torch.Generator().manual_seed(0), np.random.default_rng(0)
    rows = []
    for _ in range(n):
        tokens = torch.randint(11, (int(rng.integers(3, 9)),), generator=generator)
        labels = tokens % K
        if kind == "ForTokenClassification":
            labels[0] = -100
        else:
            labels = labels[0]
        rows.append({"input_ids": tokens, "labels": labels})
    collator = None
    if kind == "ForTokenClassification":

        def collator(batch):
            longest = max(len(row["input_ids"]) for row in batch)
            fill = {"input_ids": 0, "labels": -100}
            return {
                name: torch.stack(
                    [
                        F.pad(row[name], (0, longest - len(row[name])), value=fill[name])
                        for row in batch
                    ]
                )
                for name in fill
            }

    else:
        rows = [{**row, "input_ids": F.pad(row["input_ids"], (0, 8))[:8]} for row in rows]
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        per_device_eval_batch_size=32,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
    )
    trainer = transformers.Trainer(bert(kind, **options), arguments, data_collator=collator)
    return [trainer.predict(part) for part in (rows[:200], rows[200:])]


@pytest.mark.parametrize("kind", ["ForSequenceClassification", "ForTokenClassification"])
@pytest.mark.parametrize("hidden", [False, True])
def test_what_the_trainer_predicts_is_fitted_as_it_comes(tmp_path, kind, hidden):
    outputs = predicted(tmp_path, kind, output_hidden_states=hidden)
    assert isinstance(outputs[0].predictions, tuple) == hidden
    ids = np.arange(400).reshape(2, 200)  # equal sentences are not the same
    tune, calibrate = (held_out(o, ids=i) for o, i in zip(outputs, ids))
    labels = outputs[1].label_ids
    z = outputs[1].predictions[0] if hidden else outputs[1].predictions
    flat = calibrate.predictions()
    np.testing.assert_array_equal(flat.logits, z[labels != -100])
    np.testing.assert_array_equal(flat.labels, labels[labels != -100])
    rejector = recuse.fit(tune, calibrate, coverage=0.5, learned=False)
    assert rejector.guarantee.n == 200  # rows, or one token of each sequence
    np.savez(tmp_path / "saved.npz", predictions=z, label_ids=labels)
    assert recuse.read(tmp_path / "saved.npz").digest == calibrate.digest
