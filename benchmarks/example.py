"""Make the file that `recuse.datasets.imagenet_lite2` reads: `python -m benchmarks.example DATA`.

DATA holds `imagenette-val` (photographs) and `weights/tf_efficientnet_lite2.safetensors`. It needs
the extra `vision`; `make example` has it. The outputs are those of `recuse logits`, rounded to
float16.

n = photographs, K = 1,000 classes.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import recuse as rc
from recuse.collect._collect import collect_folder
from recuse.datasets._imagenet import FILE

LITE2 = "tf_efficientnet_lite2"


def main() -> None:
    """Write the file into the package."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    ship(outputs(parser.parse_args().data), FILE)
    print(f"Written to {FILE}: {FILE.stat().st_size:,} bytes.")


def outputs(data: Path, model: str = LITE2, *, limit: int | None = None) -> rc.io.HeldOut:
    """Return the outputs of a model of timm on the photographs, or on some of them."""
    with TemporaryDirectory() as folder:
        out = Path(folder) / "outputs.npz"
        collect_folder(
            f"timm:{model}",
            data / "imagenette-val",
            out,
            checkpoint=data / "weights" / f"{model}.safetensors",
            class_map="imagenet-1k",
            workers=0,
            limit=limit,
        )
        return rc.read(out)


def ship(file: rc.io.HeldOut, path: Path) -> None:
    """Write outputs as float16, with the names of all classes."""
    rc.write_logits(
        path,
        file.logits.astype(np.float16),
        file.labels,
        ids=file.ids,
        kind="logits",
        class_names=class_names(),
        model=file.model,
    )


def class_names() -> list[str]:
    """Return WordNet's first word for each class; with its id where two classes share it."""
    from timm.data import ImageNetInfo

    info = ImageNetInfo()
    names = [words.split(",")[0] for words in map(info.index_to_description, range(1000))]
    shared = {name for name, times in Counter(names).items() if times > 1}
    ids = info.label_names()
    return [f"{n} ({ids[k]})" if n in shared else n for k, n in enumerate(names)]


if __name__ == "__main__":
    main()
