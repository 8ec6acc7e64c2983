"""Photograph the first screens of reports: docs/images/screen-NAME.png and -phone.png.

python docs/screens.py DEMO, with Playwright and a Chromium (`make screens`).
"""

import os
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from playwright.sync_api import sync_playwright

import recuse as rc
from recuse.io import HeldOut
from recuse.reports import details, report

IMAGES = Path(__file__).parent / "images"
SIZES = {"": (1400, 900), "-phone": (390, 844)}
NAMES = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")


def example(folder: Path) -> None:
    """A public ImageNet network, all of whose rows calibrate."""
    page({"EfficientNet-Lite2": rc.datasets.imagenet_lite2()}, folder / "example", target_risk=0.1)


def infeasible(folder: Path) -> None:
    """The same network, asked for more than its rows can guarantee."""
    file = rc.datasets.imagenet_lite2()
    page({"EfficientNet-Lite2": file}, folder / "infeasible", target_risk=0.01)


def medical(folder: Path) -> None:
    """Two sites, with a threshold for each."""
    rejector = rc.fit(cases(0, 5000), target_risk=0.05, subgroups="site")
    new = cases(1, 3000)
    page({"X-ray": new}, folder / "medical", rejector=rejector, by="site")


def cases(seed: int, n: int) -> HeldOut:
    """Draw images of patients of two sites."""
    rng = np.random.default_rng(seed)
    site = np.where(rng.random(n) < 0.7, "north", "south")
    sick = (rng.random(n) < 0.2).astype(int)
    size = rng.gamma(2, 1.6, n) * np.where(site == "north", 1, 0.7)
    margin = (2 * sick - 1) * size + 1.6 * rng.normal(size=n)
    logits = np.stack([np.zeros(n), margin], axis=1).astype(np.float32)
    return HeldOut(logits, sick, class_names=("healthy", "sick"), subgroups={"site": site})


def segmentation(folder: Path) -> None:
    """Scenes of 24 x 32 pixels, each of which counts once."""
    rng = np.random.default_rng(0)
    n, k, h, w = 600, 4, 24, 32
    labels = np.repeat(rng.integers(0, k, (n, 1, w // 8)), 8, axis=2).repeat(h, axis=1)
    hard = rng.gamma(2, 0.8, (n, 1, 1, 1))
    logits = 3 * np.eye(k)[labels].transpose(0, 3, 1, 2) + hard * rng.normal(size=(n, k, h, w))
    scenes = HeldOut(logits.astype(np.float32), labels)
    page({"DeepLab": scenes}, folder / "segmentation", target_risk=0.1)


def page(models: dict, path: Path, **options) -> None:
    """Evaluate and write the page."""
    found = rc.evaluate(models, progress=False, **options)
    report(found, path.with_suffix(".html"), details=details(found, models))


def main(demo: Path) -> None:
    """Write the pages and photograph what is seen of them without scrolling."""
    path = next(filter(None, map(shutil.which, NAMES)))
    with TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        for write in (example, infeasible, medical, segmentation):
            write(folder)
        shutil.copy(demo / "report.html", folder / "demo.html")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for html in sorted(folder.glob("*.html")):
            for ending, (width, height) in SIZES.items():
                seen = browser.new_page(viewport={"width": width, "height": height})
                seen.goto(html.as_uri())
                seen.wait_for_selector("#headline svg")
                target = IMAGES / f"screen-{html.stem}{ending}.png"
                seen.screenshot(path=target)
                print(f"wrote {target}")
        browser.close()


if __name__ == "__main__":
    main(Path(*sys.argv[1:] or ["demo"]))
