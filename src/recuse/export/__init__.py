"""From a trained torch model and a rejector to one module, and to one ONNX file.

| | |
|---|---|
| `to_module` | model + rejector -> a module: logits, label, confidence, accept, p_correct |
| `to_onnx` | that module as one ONNX file, with what it promises in its metadata |
| `check_onnx` | does the file decide as the rejector does? counted over given inputs |
| `read_metadata` | the rejector inside an ONNX file |

Needs torch, and for ONNX the extra `onnx`. What runs elsewhere is PyTorch's own:
`torch.export.export(module, ...)` takes the module as it is.

Decisions are those of `Rejector.predict` on the same logits: the score in float64 over each
sorted row, rounded once to float32, compared with the float32 threshold.
"""

from recuse.export._module import Decisions, SelectiveModule, to_module
from recuse.export._onnx import Metadata, read_metadata, to_onnx
from recuse.export._parity import Parity, check_onnx

__all__ = [
    "Decisions",
    "Metadata",
    "Parity",
    "SelectiveModule",
    "check_onnx",
    "read_metadata",
    "to_module",
    "to_onnx",
]
