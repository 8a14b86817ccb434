import torch

from auditor.repair.augmentation import augment, change
from probes.sample import Sample
from probes.seeding import generator


def same(left: list[Sample], right: list[Sample]) -> bool:
    return all(torch.equal(a.picture, b.picture) for a, b in zip(left, right, strict=True))


def test_copies_have_ids_of_their_own_and_no_reference_answers(samples: list[Sample]) -> None:
    copies = augment(samples, 3, 0)
    assert len({sample.id for sample in [*samples, *copies]}) == 4 * len(samples)
    assert all(copied.answers == () for copied in copies)
    assert [copied.prompt for copied in copies] == [sample.prompt for sample in samples] * 3


def test_copies_are_changed_pictures_of_the_same_shape_and_range(samples: list[Sample]) -> None:
    originals = [sample.picture.clone() for sample in samples]
    for copied, original in zip(augment(samples, 2, 0), originals * 2, strict=True):
        assert copied.picture.shape == original.shape
        assert float(copied.picture.min()) >= 0 and float(copied.picture.max()) <= 1
    assert all(torch.equal(sample.picture, kept) for sample, kept in zip(samples, originals, strict=True))
    assert any(not torch.equal(c.picture, o) for c, o in zip(augment(samples, 1, 0), originals, strict=True))


def test_copies_are_a_function_of_seed_and_sample(samples: list[Sample]) -> None:
    assert same(augment(samples, 2, 4), augment(samples, 2, 4))
    assert not same(augment(samples, 2, 4), augment(samples, 2, 5))
    assert augment(samples, 0, 4) == []


def test_mirrored_shifted_and_joined_pictures_all_occur(samples: list[Sample]) -> None:
    picture, other = samples[0].picture, samples[2].picture
    changed = [change(picture, [other], generator(seed)) for seed in range(20)]
    assert any(torch.equal(found, picture.flip(-1)) for found in changed)
    joined = torch.cat([picture[..., :28], other[..., 28:]], dim=-1)
    assert any(torch.equal(found, joined) for found in changed)
    values = picture.flatten(1).sort().values
    shifted = [found for found in changed if torch.equal(found.flatten(1).sort().values, values)]
    assert any(not torch.equal(found, picture.flip(-1)) for found in shifted)
