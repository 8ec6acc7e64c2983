"""A page is skipped where the package it is about is not installed."""

import pytest

OF_PAGES = {"metrics": ("torchmetrics", "sklearn"), "boosted-trees": ("xgboost", "lightgbm")}
PACKAGES = {"lightning": "lightning.pytorch", "fastai": "fastai.basics"}


@pytest.fixture(autouse=True)
def the_package_of_the_page(request):
    """Skip with the reason."""
    kind, _, subject = request.node.path.stem.partition("-")
    if kind == "train" and subject != "pytorch":
        package = PACKAGES.get(subject, subject)
        pytest.importorskip(package, reason=f"needs {subject}: make test-integrations has it")
    for package in OF_PAGES.get(request.node.path.stem, ()):
        pytest.importorskip(package, reason=f"needs {package}: make test-integrations has it")
