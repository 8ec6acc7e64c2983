"""Networks of the recipes, one page each; larger ones are timm's.

| module | network | parameters |
|---|---|---|
| `resnet` | `resnet20`, CIFAR | 0.27 million |
| `densenet` | `densenet_bc`, CIFAR | 0.8 million |
| `mlp` | `mlp`, tables and digits | of its widths |
| `lstm` | `lstm`, texts | 0.67 million and the embedding |
| `deeplab` | `small_deeplab`, road scenes | 0.6 million |

Each returns logits (n, K), (n, K, H, W), or one column (n, 1) for a binary head.
"""

from recuse._internal.check import extra

extra("torch", "train", "recuse.recipes.networks")

from recuse.recipes.networks.deeplab import small_deeplab  # noqa: E402
from recuse.recipes.networks.densenet import densenet_bc  # noqa: E402
from recuse.recipes.networks.lstm import lstm  # noqa: E402
from recuse.recipes.networks.mlp import mlp  # noqa: E402
from recuse.recipes.networks.resnet import resnet20  # noqa: E402

__all__ = ["densenet_bc", "lstm", "mlp", "resnet20", "small_deeplab"]
