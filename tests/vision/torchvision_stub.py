"""Make torchvision importable beside a torch that its operators were not built for.

`make test-vision` puts this file and a .pth file that imports it into its environment, so that
every process there has it. torchvision is changed only where its own operators do not load.
"""

import importlib.abc
import importlib.util
import sys
from pathlib import Path

NMS = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


class Stub(importlib.abc.MetaPathFinder):
    """Acts once, just before torchvision is imported."""

    library = None

    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            sys.meta_path.remove(self)
            if found := importlib.util.find_spec(name):
                self._define(Path(found.origin).parent)

    def _define(self, folder):
        import torch

        try:
            for operators in folder.glob("_C*.so"):
                torch.ops.load_library(operators)
            torch._C._dispatch_find_schema_or_throw("torchvision::nms", "")
        except (OSError, RuntimeError):
            Stub.library = torch.library.Library("torchvision", "DEF")
            for operator in ("nms", "qnms"):
                Stub.library.define(operator + NMS)


sys.meta_path.insert(0, Stub())
