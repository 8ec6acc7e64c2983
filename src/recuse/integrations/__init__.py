"""Thin files for other packages, each of which is loaded only with its file.

| module | for | contents |
|---|---|---|
| `lightning` | Lightning | callbacks: another loss, or smoothed targets, in training only |
| `transformers` | Hugging Face Trainer | `compute_loss_func`, exact under gradient accumulation |
| `composer` | MosaicML Composer | `LabelSmoothing`, an algorithm |
| `fastai` | fastai | a loss with its activation, and callbacks |
| `torchmetrics` | torchmetrics, Lightning | areas and points of the curve, over all processes |
| `sklearn` | scikit-learn | `SelectiveClassifier`; scorers for cross-validation and grid search |
| `dask` | Dask | sketches of shards, computed on the workers |

skorch needs none: `criterion=recuse.losses.SmoothedCrossEntropy` (`docs/how-to/train-skorch.md`).
"""
