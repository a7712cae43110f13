from datetime import timedelta
from threading import Timer

from torch.distributed import HashStore

from editloop.runtime.ranks import Calls


def test_a_wait_for_the_leader_outlasts_every_time_out() -> None:
    store = HashStore()
    store.set_timeout(timedelta(milliseconds=20))
    leader, other = Calls(store), Calls(store)
    Timer(0.2, leader.post, [(print, ("prepared",))]).start()
    assert other.take() == (print, ("prepared",))
    leader.post(None)
    assert other.take() is None


def test_every_process_takes_all_calls_in_order() -> None:
    store = HashStore()
    leader, others = Calls(store), [Calls(store), Calls(store)]
    for call in (1, 2, None):
        leader.post(call)
    assert [[each.take() for _ in range(3)] for each in others] == [[1, 2, None]] * 2


def test_a_process_alone_calls_nobody() -> None:
    alone = Calls(None)
    alone.post(1)
    assert alone.take() is None
