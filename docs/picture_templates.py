"""Draw docs/images/templates.svg: features of three digits, without and with smoothing.

python docs/picture_templates.py
"""

from functools import partial
from pathlib import Path

import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

import recuse as rc
from recuse import plots
from recuse.recipes import digits
from recuse.recipes._side_by_side import forward, initial, train_side_by_side

SMOOTHINGS = {0.0: "cross entropy", 0.1: "smoothing 0.1"}
CLASSES = (3, 5, 8)  # often taken for each other
STEPS, TRAIN = 1500, 900


def main() -> None:
    """Train both networks, print their geometry, draw."""
    data = load_digits()
    x, y = torch.tensor(data.data / 16, dtype=torch.float32), torch.tensor(data.target)
    params = trained(x[:TRAIN], y[:TRAIN])
    figure = Figure(figsize=(8, 3.8), layout="constrained")
    for i, (name, ax) in enumerate(zip(SMOOTHINGS.values(), figure.subplots(1, 2))):
        h = hidden([p[i] for p in params], x[TRAIN:])
        weights, bias = params[-2][i].detach().numpy().T, params[-1][i, 0].detach().numpy()
        labels, logits = y[TRAIN:].numpy(), h @ weights.T + bias
        found = rc.diagnose(logits, labels, features=h, weights=weights, bias=bias).geometry
        print(name, found)
        plots.templates.draw(
            plots.templates.prepare(h, weights, labels, CLASSES), ax, names=list(map(str, CLASSES))
        )
        ax.set_title(name, fontsize="medium")
    figure.savefig(Path(__file__).parent / "images" / "templates.svg", transparent=True)


def trained(x: torch.Tensor, y: torch.Tensor) -> list[torch.Tensor]:
    """Return the parameters of one network per smoothing, from the same start and batches."""
    rng = torch.Generator().manual_seed(0)
    params = initial(len(SMOOTHINGS), rng, digits.WIDTHS)
    adam = torch.optim.AdamW(params, lr=1e-3, weight_decay=1e-2)
    rows = (torch.randint(len(x), (64,), generator=rng) for _ in range(STEPS))
    batches = ((digits.noisy(x[batch], rng), y[batch]) for batch in rows)
    train_side_by_side(partial(forward, params), batches, list(SMOOTHINGS), adam)
    return params


def hidden(params: list[torch.Tensor], x: torch.Tensor):
    """The penultimate features (n, D) of one network."""
    with torch.no_grad():
        for w, bias in zip(params[:-2:2], params[1:-2:2]):
            x = (x @ w + bias).relu()
    return x.numpy()


if __name__ == "__main__":
    main()
