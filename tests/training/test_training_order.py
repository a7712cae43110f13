import numpy as np
import pytest

from editloop.training.order import BatchOrder


def order(*sizes, batch=4, seed=1) -> BatchOrder:
    ends = np.cumsum(sizes)
    buckets = [np.arange(end - size, end) for end, size in zip(ends, sizes, strict=True)]
    return BatchOrder(buckets, batch, seed)


def test_every_pass_shows_every_sample_once_in_a_new_order() -> None:
    rows = np.concatenate([order(10).at(step) for step in range(5)])
    first, second = rows[:10].tolist(), rows[10:].tolist()
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


def test_a_batch_may_be_larger_than_the_data() -> None:
    made = order(3, batch=8).at(1)
    assert len(made) == 8
    assert set(made) == {0, 1, 2}


def test_the_order_depends_on_the_seed() -> None:
    orders = [order(100, seed=seed).at(0).tolist() for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


def test_the_order_depends_on_nothing_that_came_before() -> None:
    whole = order(10, 7)
    walked = [whole.at(step).tolist() for step in range(30)]
    assert [order(10, 7).at(step).tolist() for step in (29, 3, 17)] == [
        walked[29],
        walked[3],
        walked[17],
    ]


def test_a_batch_has_pictures_of_one_size() -> None:
    made = order(10, 7, 3)
    for step in range(40):
        numbers = made.at(step)
        assert len(numbers) == 4
        assert len({np.digitize(number, [10, 17]) for number in numbers}) == 1


@pytest.mark.parametrize("sizes", [(8, 4), (10, 7, 3), (1, 9)])
def test_a_pass_shows_every_sample_of_every_bucket(sizes) -> None:
    made = order(*sizes)
    batches = sum(-(-size // 4) for size in sizes)
    for first in (0, batches):
        seen = np.concatenate([made.at(first + step) for step in range(batches)])
        assert len(set(seen)) == sum(sizes) or first
    mixed = [made.at(step).tolist() for step in range(2 * batches)]
    assert mixed[:batches] != mixed[batches:]


def test_an_epoch_has_one_random_sample_of_each_prompt() -> None:
    prompts = np.array([0, 1, 0, 2, 2, 2, 0, 3])
    made = BatchOrder([np.arange(8)], 4, 1, prompts)
    epochs = [made.at(step).tolist() for step in range(40)]
    assert all(sorted(prompts[epoch]) == [0, 1, 2, 3] for epoch in epochs)
    assert {number for epoch in epochs for number in epoch} == set(range(8))
    assert BatchOrder([np.arange(8)], 4, 1, prompts).at(17).tolist() == epochs[17]


def test_prompts_of_one_sample_each_change_no_order() -> None:
    plain, grouped = order(10), BatchOrder([np.arange(10)], 4, 1, np.arange(10))
    assert [plain.at(step).tolist() for step in range(9)] == [
        grouped.at(step).tolist() for step in range(9)
    ]


def test_a_step_of_a_large_data_set_touches_its_own_samples_only() -> None:
    class Numbers:  # as an array whose length no memory holds
        def __len__(self) -> int:
            return 10**12

        def __getitem__(self, places):
            return places

    made = BatchOrder([Numbers()], 256, seed=1)
    first, second = made.at(0), made.at(10**12 // 256 - 1)
    assert len({*first.tolist(), *second.tolist()}) == 512
    assert first.max() > 10**11
