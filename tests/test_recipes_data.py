"""Parts of data sets: batches, their randomness, splits, augmentation, pairs of digits."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

import reference_recipes as reference
from recuse.errors import InputError
from recuse.recipes.data import Rows, digits_pairs
from recuse.recipes.data._parts import Normalize, collate, noisy_labels, split
from recuse.recipes.data.images import colour_jitter, crop_and_flip, flip

SIGMAS = 5  # of a binomial, for frequencies


def jittered(x, y, generator):
    return x + torch.rand(x.shape, generator=generator), y


@pytest.fixture
def rows():
    return Rows(torch.arange(12.0).reshape(6, 2), torch.arange(6, dtype=torch.uint8), jittered)


def test_a_batch_is_its_items_stacked(rows):
    x, y = rows.__getitems__([3, 0, 3])
    items = [rows[i] for i in (3, 0, 3)]
    assert torch.equal(x, torch.stack([x for x, _ in items]))
    assert torch.equal(y, torch.stack([y for _, y in items]))
    assert y.dtype == torch.int64


def test_without_a_stamp_nothing_is_augmented(rows):
    assert torch.equal(rows.__getitems__([0, 1])[0], rows.x[:2])


def test_randomness_depends_on_stamp_and_first_index_alone(rows):
    def draw(stamp, *indices):
        x, _ = rows.__getitems__([(stamp, i) for i in indices])
        return x - rows.x[list(indices)]

    first = draw(1, 2, 3)
    torch.manual_seed(0)
    torch.rand(5)
    assert torch.allclose(draw(1, 2, 4), first)
    assert not torch.allclose(draw(2, 2, 3), first)
    assert not torch.allclose(draw(1, 3, 2), first)


def test_stamps_of_any_integer_are_taken(rows):
    for stamp in (0, -1, 2**63, 2**70):
        rows.__getitems__([(stamp, 0)])


def test_loaders_give_whole_batches_with_any_number_of_workers(rows):
    batches = [[(7, 4), (7, 1)], [(7, 0)]]

    def load(workers):
        return list(
            DataLoader(rows, batch_sampler=batches, collate_fn=collate, num_workers=workers)
        )

    for (x, y), (x2, y2), batch in zip(load(0), load(1), batches):
        assert torch.equal(x, x2)
        assert y.tolist() == y2.tolist() == [i for _, i in batch]


def test_collate_stacks_items_of_a_set_that_gives_no_batches():
    x, y = collate([(torch.zeros(2), torch.tensor(1)), (torch.ones(2), torch.tensor(0))])
    assert (x.shape, y.tolist()) == ((2, 2), [1, 0])


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(0, 9), st.integers(0, 9))
@settings(deadline=None, derandomize=True)
def test_a_split_covers_every_row_once_and_keeps_groups_whole(groups, a, b):
    groups = np.array(groups)
    if a + b >= len(groups):
        with pytest.raises(InputError, match="rows to split"):
            split(groups, (a, b), 0)
        return
    parts = split(groups, (a, b), 0)
    assert sorted(np.concatenate(parts)) == list(range(len(groups)))
    for one in range(3):
        for other in range(one):
            assert not set(groups[parts[one]]) & set(groups[parts[other]])
    largest = max(np.bincount(groups))
    assert a <= len(parts[0]) < a + largest or (a, len(parts[0])) == (0, 0)


@given(st.integers(3, 30), st.integers(0, 1000))
@settings(deadline=None, derandomize=True)
def test_a_split_of_single_rows_has_the_sizes_asked_for_and_depends_on_the_seed(n, seed):
    parts = split(np.arange(n), (1, 1), seed)
    assert [len(part) for part in parts] == [1, 1, n - 2]
    again = split(np.arange(n), (1, 1), seed)
    assert all(np.array_equal(a, b) for a, b in zip(parts, again))


def test_every_row_is_equally_likely_to_be_held_out():
    count = np.zeros(10)
    for seed in range(2000):
        count[split(np.arange(10), (3,), seed)[0]] += 1
    assert abs(count - 600).max() < SIGMAS * np.sqrt(2000 * 0.3 * 0.7)


def test_label_noise_changes_the_share_asked_for_to_all_other_classes_alike():
    y = np.arange(20_000) % 4
    noisy = noisy_labels(y, 0.2, 4, seed=1)
    assert abs((noisy != y).mean() - 0.2) < SIGMAS * np.sqrt(0.16 / len(y))
    shift = np.bincount((noisy - y)[noisy != y] % 4, minlength=4)
    assert shift[0] == 0
    assert abs(shift[1:] / shift.sum() - 1 / 3).max() < SIGMAS * np.sqrt(2 / 9 / shift.sum())
    assert np.array_equal(noisy_labels(y, 0.0, 4, seed=1), y)
    with pytest.raises(InputError, match="label_noise"):
        noisy_labels(y, 1.5, 4, seed=1)


def test_normalised_channels_have_mean_zero_and_variance_one():
    x = torch.randint(256, (50, 3, 4, 5), dtype=torch.uint8)
    x[:, 1] //= 3
    normal = Normalize.of(x, chunk=7)(x)
    assert torch.allclose(normal.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(normal.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_crops_and_mirrors_are_those_of_the_definition(seed):
    x = torch.randint(256, (6, 2, 5, 7), dtype=torch.uint8)
    got, _ = crop_and_flip(x, torch.arange(6), torch.Generator().manual_seed(seed))
    for image, found in zip(x.numpy(), got.numpy()):
        views = (
            reference.crop_and_flip(image, top, left, mirrored)
            for top in range(9)
            for left in range(9)
            for mirrored in (False, True)
        )
        assert any(np.array_equal(view, found) for view in views)


def test_all_crops_and_mirrors_are_equally_likely():
    n = 16_200
    x = torch.zeros(n, 1, 9, 9, dtype=torch.uint8)
    x[..., 4, 4] = 1  # where it lands tells the crop
    x[..., 4, 3] = 2  # and on which side this lies, the mirror
    got, _ = crop_and_flip(x, torch.arange(n), torch.Generator().manual_seed(0))
    spot = got.eq(1).flatten(1).int().argmax(1)
    count = np.bincount(spot, minlength=81)
    assert abs(count - n / 81).max() < SIGMAS * np.sqrt(n / 81)
    inside = got.eq(2).flatten(1).any(1)
    mirrored = (got.eq(2).flatten(1).int().argmax(1) > spot)[inside].float()
    assert abs(mirrored.mean() - 0.5) < SIGMAS * 0.5 / inside.sum().sqrt()


def test_pixel_labels_are_mirrored_with_their_image():
    y = torch.arange(8).reshape(1, 2, 4).repeat(20, 1, 1)
    x = y[:, None].float()
    got_x, got_y = flip(x, y, torch.Generator().manual_seed(0))
    assert torch.equal(got_x[:, 0].long(), got_y)
    assert 0 < (got_y != y).any((1, 2)).sum() < 20


def test_augmentation_leaves_its_input_alone():
    x = torch.randint(256, (4, 3, 8, 8), dtype=torch.uint8)
    before = x.clone()
    crop_and_flip(x, torch.arange(4), torch.Generator().manual_seed(0))
    assert torch.equal(x, before)


def test_colours_stay_between_black_and_white_and_no_strength_changes_nothing():
    x = torch.rand(3, 6, 5)
    for seed in range(20):
        got = colour_jitter(x, 0.5, torch.Generator().manual_seed(seed))
        assert got.min() >= 0
        assert got.max() <= 1
        assert not torch.allclose(got, x, atol=1e-3)
    assert torch.allclose(colour_jitter(x, 0.0, torch.Generator()), x, atol=1e-6)


def test_jitter_of_a_grey_image_keeps_it_grey():
    x = torch.rand(1, 6, 5).expand(3, 6, 5)
    got = colour_jitter(x, 0.5, torch.Generator().manual_seed(3))
    assert torch.allclose(got[0], got[1], atol=1e-6)


@pytest.fixture(scope="module")
def pairs():
    return digits_pairs.load(3)


def halves(part):
    """Both images of each clean row, as bytes."""
    x = part.data.x[:, 0]
    return {h.numpy().tobytes() for row in x for h in (row[:, :8].clone(), row[:, 8:].clone())}


def test_no_digit_is_in_two_parts(pairs):
    from sklearn.datasets import load_digits

    images = torch.tensor(load_digits().images / 16, dtype=torch.float32)
    known = {image.numpy().tobytes() for image in images}
    seen = [halves(part) & known for part in pairs[:4]]  # the noisy ones are not known
    for one in range(4):
        for other in range(one):
            assert not seen[one] & seen[other]
    assert [len(s) for s in seen] == [597, 400, 400, 400]


def test_rows_of_different_groups_share_no_image(pairs):
    for part in pairs[1:4]:
        owner = {}
        for x, group in zip(part.data.x[:, 0], part.groups):
            for half in (x[:, :8].clone(), x[:, 8:].clone()):
                assert owner.setdefault(half.numpy().tobytes(), group) == group


def test_half_of_the_held_out_rows_are_noisy_and_no_training_row(pairs):
    def noisy(part):
        return ((part.data.x * 16) % 1 != 0).flatten(1).any(1)

    assert not noisy(pairs.train).any()
    for part in pairs[1:4]:
        assert noisy(part).float().mean() == 0.5
        clean = part.data.x[~noisy(part)]
        noise = part.data.x[noisy(part)] - clean  # they alternate
        assert abs(noise.std() - 0.3) < 0.01


def test_labels_of_pairs_are_what_a_neighbour_says(pairs):
    """Each clean image is in scikit-learn's set, whose target it has."""
    from sklearn.datasets import load_digits

    data = load_digits()
    digit = {
        torch.tensor(image / 16, dtype=torch.float32).numpy().tobytes(): t
        for image, t in zip(data.images, data.target)
    }
    for part in pairs[:4]:
        for x, y in zip(part.data.x[:200:2, 0], part.data.y[:200:2]):
            left, right = (digit[h.clone().numpy().tobytes()] for h in (x[:, :8], x[:, 8:]))
            assert y == 10 * left + right


def test_ids_are_unique_over_all_parts(pairs):
    ids = np.concatenate([part.ids for part in pairs[:4]])
    assert len(set(ids)) == len(ids) == sum(len(part.data) for part in pairs[:4])


def test_training_classes_are_equally_frequent(pairs):
    count = torch.bincount(pairs.train.data.y, minlength=100)
    assert abs(count - 200).max() < SIGMAS * 200**0.5


def test_a_subset_of_classes_keeps_their_names_and_numbers_them_anew():
    parts = digits_pairs.load(0, classes=[42, 7, 99])
    assert (parts.classes, parts.names) == (3, ("42", "07", "99"))
    assert all(set(part.data.y.tolist()) <= {0, 1, 2} for part in parts[:4])
    assert len(parts.train.data) == digits_pairs.TRAIN
    assert digits_pairs.load(0, classes=25).names[-1] == "24"


def test_label_noise_is_in_training_alone():
    clean, noisy = digits_pairs.load(0), digits_pairs.load(0, label_noise=0.2)
    changed = (clean.train.data.y != noisy.train.data.y).float().mean()
    assert abs(changed - 0.2) < SIGMAS * (0.16 / digits_pairs.TRAIN) ** 0.5
    assert torch.equal(clean.test.data.y, noisy.test.data.y)
    assert torch.equal(clean.train.data.x, noisy.train.data.x)


@pytest.mark.parametrize("classes", [1, [3], [3, 3], [3, 100], [-1, 4], ["a", "b"], []])
def test_classes_that_are_none_are_refused(classes):
    with pytest.raises(InputError, match="expected `classes`"):
        digits_pairs.load(0, classes=classes)
