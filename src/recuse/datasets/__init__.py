"""Outputs of a public network that ship with recuse, to try everything on.

Nothing is trained or downloaded, and torch is not needed.
"""

from recuse.datasets._imagenet import imagenet_lite2

__all__ = ["imagenet_lite2"]
