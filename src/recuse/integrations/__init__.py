"""Thin files for the packages people use; each loads its package only when it is imported.

| module | for | what it holds |
|---|---|---|
| `lightning` | Lightning | callbacks: another loss, or softened targets, in training only |
| `transformers` | Hugging Face Trainer | `compute_loss_func`, exact under gradient accumulation |
| `composer` | MosaicML Composer | `LabelSmoothing`, an algorithm |
| `fastai` | fastai | a loss with its activation, and callbacks |
| `torchmetrics` | torchmetrics, Lightning | areas and points of the curve, over processes |
| `sklearn` | scikit-learn | `SelectiveClassifier`; scorers for cross-validation and grid search |
| `dask` | Dask | sketches of shards, made where they lie |

skorch needs none: `criterion=recuse.losses.SmoothedCrossEntropy` (`docs/how-to/train-skorch.md`).
"""
