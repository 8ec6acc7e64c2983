"""A page is skipped where the package it is about is not installed."""

import pytest

PACKAGES = {"lightning": "lightning.pytorch", "fastai": "fastai.basics"}


@pytest.fixture(autouse=True)
def the_package_of_the_page(request):
    """Skip with the reason."""
    kind, _, subject = request.node.path.stem.partition("-")
    if kind == "train" and subject != "pytorch":
        package = PACKAGES.get(subject, subject)
        pytest.importorskip(package, reason=f"needs {subject}: make test-integrations has it")
    if request.node.path.stem == "metrics":
        for package in ("torchmetrics", "sklearn"):
            pytest.importorskip(package, reason=f"needs {package}: make test-integrations has it")
