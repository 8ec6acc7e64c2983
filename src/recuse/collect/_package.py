"""The packages behind the extra `vision`, or one line that says what is missing."""

from __future__ import annotations

from typing import Any

from recuse._internal.check import extra
from recuse.errors import InputError, MissingExtraError


def package(name: str) -> Any:
    """Import timm or segmentation_models_pytorch.

    Raises:
        MissingExtraError: It is not installed.
        InputError: It is, with a torchvision that does not fit this torch.
    """
    try:
        return extra(name, "vision", "recuse.collect.networks")
    except MissingExtraError:
        raise
    except Exception as error:  # a torchvision for another torch raises on import
        reason = " ".join(str(error).split())
        raise InputError(
            f"{name} cannot be imported ({reason}): expected a torchvision that fits this torch"
        ) from error
