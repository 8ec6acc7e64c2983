"""The outputs that ship are those of the network on the photographs, where these are."""

import numpy as np
import pytest
from benchmarks.example import class_names, outputs

from real_data import real_data
from recuse.datasets import imagenet_lite2

pytest.importorskip("timm", reason="needs the extra vision")
FLOAT16 = 2.0**-10  # relative: one unit in the last place, for other processors round otherwise
SMALL = 1e-3  # absolute: of logits around 0


def test_the_file_is_what_the_network_says_of_every_tenth_photograph():
    data = real_data("imagenette-val").parent
    if not (data / "weights" / "tf_efficientnet_lite2.safetensors").exists():
        pytest.skip("no weights in RECUSE_DATA: real data are not in the project")
    again, shipped = outputs(data, limit=50), imagenet_lite2()
    rows = np.isin(shipped.ids, again.ids)
    assert rows.sum() == 50
    np.testing.assert_array_equal(shipped.ids[rows], again.ids)
    np.testing.assert_array_equal(shipped.labels[rows], again.labels)
    assert shipped.model == again.model
    np.testing.assert_allclose(shipped.logits[rows], again.logits, rtol=FLOAT16, atol=SMALL)


def test_its_class_names_are_those_of_wordnet():
    assert list(imagenet_lite2().class_names) == class_names()
