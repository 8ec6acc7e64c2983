"""Combine a trained torch model and a rejector into one module, and export it to one ONNX file.

| | |
|---|---|
| `to_module` | model + rejector -> a module: logits, label, confidence, accept, p_correct |
| `to_onnx` | that module as one ONNX file, with its guarantee in the metadata |
| `check_onnx` | count the decisions of the file that differ from the rejector's |
| `read_metadata` | the rejector inside an ONNX file |

Needs torch, and for ONNX the extra `onnx`. For other runtimes use PyTorch itself:
`torch.export.export(module, ...)` takes the module as it is.

Decisions are those of `Rejector.predict` on the same logits: the score is computed in float64 over
each sorted row, rounded once to float32, and compared with the float32 threshold.
"""

from recuse.export._module import Decisions, SelectiveModule, to_module
from recuse.export._onnx import Metadata, Parity, check_onnx, read_metadata, to_onnx

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
