import numpy as np
import pytest


@pytest.fixture
def tree(tmp_path):
    """Write a folder of small random images: {name: how many} for each class, or a number."""
    Image = pytest.importorskip("PIL.Image", reason="needs pillow")

    def write(name, content, size=(40, 30), seed=0):
        rng = np.random.default_rng(seed)
        for folder, n in content.items() if isinstance(content, dict) else [("", content)]:
            at = tmp_path / name / folder
            at.mkdir(parents=True, exist_ok=True)
            for i in range(n):
                pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
                Image.fromarray(pixels).save(at / f"{i}.png")
        return tmp_path / name

    return write
