"""The client: answers in order, and each reply billed once."""

import asyncio
import signal
import threading
from pathlib import Path

import pytest

from chat_world import add, ask, question, read_sum, world
from editloop.chat.client import Chat
from editloop.chat.fake.server import FakeSettings
from editloop.chat.ledger import Ledger
from editloop.chat.messages import Failed, Message, Picture, Question
from editloop.chat.settings import ChatSettings
from editloop.errors import RecipeError, UnavailableError
from editloop.settings import validate


def test_answers_come_in_the_order_of_the_questions(tmp_path) -> None:
    with world(tmp_path, latency=0.004, jitter=1.0) as here:
        answers = ask(here.chat(), [question(n) for n in range(40)], read_sum)
    assert answers == [n + 1 for n in range(40)]


def test_no_questions_are_no_answers(tmp_path) -> None:
    with world(tmp_path) as here:
        assert ask(here.chat(), [], read_sum) == []


def test_a_second_run_makes_no_call(tmp_path) -> None:
    questions = [question(n) for n in range(10)]
    with world(tmp_path) as here:
        first = ask(here.chat(), questions, read_sum)
        chat = here.chat()
        second = ask(chat, questions, read_sum)
        assert (first, here.server.seen.requests) == (second, 10)
        assert (chat.counts.found, chat.counts.calls, chat.counts.attempts) == (10, 0, 0)


def test_equal_questions_share_one_call(tmp_path) -> None:
    with world(tmp_path, latency=0.01) as here:
        chat = here.chat()
        assert ask(chat, [question(4)] * 5, read_sum) == [5] * 5
        assert (here.server.seen.requests, chat.counts.found) == (1, 4)


def test_repeats_are_asked_for_themselves_with_seeds_of_their_own(tmp_path) -> None:
    with world(tmp_path) as here:
        chat = here.chat(seed=5)
        ask(chat, [question(1, repeat=0), question(1, repeat=1)], read_sum)
        assert len(here.server.seen.bodies) == 2


def test_the_reply_keeps_what_the_server_said_of_it(tmp_path) -> None:
    with world(tmp_path, model="adder-2024") as here:
        chat = here.chat(input_price=1.0, output_price=2.0)
        ask(chat, [question(1)], read_sum)
        key = next(iter(stored(chat.ledger)))
        reply = chat.ledger.find(key)
    assert reply is not None
    assert (reply.text, reply.model, reply.revision) == ('{"sum": 2}', "adder-2024", "fake-1")
    assert (reply.input_tokens, reply.output_tokens, reply.finish_reason) == (3, 2, "stop")
    assert reply.cost == pytest.approx((3 * 1.0 + 2 * 2.0) / 1e6)
    assert 0 < reply.seconds < 5


def test_pictures_arrive_byte_for_byte(tmp_path) -> None:
    sent = [Picture(bytes([n]) * 1000, "image/jpeg") for n in range(3)]
    came: list[tuple[bytes, ...]] = []

    def look(asked) -> str:
        came.append(asked.images)
        return add(asked)

    with world(tmp_path, answers=look) as here:
        parts = ("Add 1 and 2.", sent[0], "then", sent[1], sent[2])
        asked = Question("q", (Message("system", ("Be exact.",)), Message("user", parts)))
        assert ask(here.chat(), [asked], read_sum) == [3]
    assert came == [tuple(each.data for each in sent)]


@pytest.mark.parametrize("text", ['"}],', "\ud83d half", "\x00 \u202e אבג 😀 e\u0301", ""])
def test_texts_arrive_character_for_character(tmp_path, text: str) -> None:
    came: list[str] = []

    def look(asked) -> str:
        came.append(asked.texts[-1])
        return '{"sum": 1}'

    with world(tmp_path, answers=look) as here:
        ask(here.chat(), [Question("q", (Message("user", (text,)),))], read_sum)
    assert came == [text]


def test_concurrency_is_never_above_the_setting(tmp_path) -> None:
    with world(tmp_path, latency=0.05) as here:
        ask(here.chat(concurrency=3), [question(n) for n in range(24)], read_sum)
        assert here.server.seen.at_once == 3


def test_several_threads_may_ask_one_chat(tmp_path) -> None:
    answers: dict[int, list[int | Failed]] = {}
    with world(tmp_path) as here:
        chat = here.chat()

        def work(start: int) -> None:
            answers[start] = ask(chat, [question(start + n) for n in range(10)], read_sum)

        threads = [threading.Thread(target=work, args=(start,)) for start in (0, 100, 200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == {start: [start + n + 1 for n in range(10)] for start in (0, 100, 200)}


def test_an_estimate_counts_calls_tokens_and_cost_and_asks_nothing(tmp_path) -> None:
    with world(tmp_path) as here:
        chat = here.chat(input_price=2.0, output_price=10.0, max_tokens=100)
        ask(chat, [question(0)], read_sum)
        estimate = chat.estimate([question(0), question(1), question(2), question(2)])
        assert here.server.seen.requests == 1
    assert (estimate.found, estimate.calls, estimate.output_tokens) == (2, 2, 200)
    assert estimate.input_tokens == 2 * (len("Add 1 and 1.") // 4 + 8)
    assert estimate.cost == pytest.approx((estimate.input_tokens * 2.0 + 200 * 10.0) / 1e6)


def test_an_estimate_counts_the_pixels_of_pictures(tmp_path, rng_picture) -> None:
    asked = Question("q", (Message("user", (Picture.png(rng_picture(300, 500)),)),))
    settings = ChatSettings(target="m", base_url="http://127.0.0.1:9/v1")
    assert Chat(settings, tmp_path / "l.db").estimate([asked]).input_tokens == 300 * 500 // 750 + 8


@pytest.fixture
def rng_picture():
    import numpy as np

    return lambda h, w: np.random.default_rng(0).integers(0, 256, (h, w, 3), np.uint8)


def test_a_bug_in_the_reader_is_raised_and_replies_are_kept(tmp_path) -> None:
    def read(_: str) -> int:
        raise ZeroDivisionError

    with world(tmp_path) as here:
        chat = here.chat()
        with pytest.raises(ZeroDivisionError):
            ask(chat, [question(n) for n in range(5)], read)
        assert chat.ledger.count() == here.server.seen.requests
        assert ask(chat, [question(0)], read_sum) == [1]


def test_no_server_stops_at_once_and_says_where(tmp_path) -> None:
    with world(tmp_path) as here:
        url = here.server.base_url
        chat = here.chat(attempts=2)
        here.server.close()
        with pytest.raises(UnavailableError, match="the server does not respond") as raised:
            ask(chat, [question(n) for n in range(100)], read_sum)
        assert raised.value.value == url
        assert chat.counts.attempts <= 2 * 32


def test_an_unknown_path_stops_at_once(tmp_path) -> None:
    with world(tmp_path) as here:
        chat = here.chat(base_url=here.server.base_url + "/nowhere")
        with pytest.raises(UnavailableError, match="no such model or path"):
            ask(chat, [question(0)], read_sum)


def test_a_closed_chat_refuses(tmp_path) -> None:
    with world(tmp_path) as here:
        chat = here.chat()
        ask(chat, [question(0)], read_sum)
        chat.close()
        with pytest.raises(RuntimeError, match="closed"):
            ask(chat, [question(1)], read_sum)


def test_a_forgotten_chat_ends_its_thread(tmp_path) -> None:
    with world(tmp_path) as here:
        settings = ChatSettings(target="adder", base_url=here.server.base_url)
        chat = Chat(settings, tmp_path / "other.db")
        ask(chat, [question(0)], read_sum)
        names = [thread.name for thread in threading.enumerate()]
        assert names.count("editloop-background") == 1
        del chat
        assert "editloop-background" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"base_url": "ftp://host/v1"}, "plain URL"),
        ({"base_url": "http://host/v1", "budget": 1.0}, "needs prices"),
        ({"base_url": "http://host/v1", "concurrency": 0}, "concurrency"),
        ({"base_url": "http://host/v1", "model": "x"}, "unknown key"),
    ],
)
def test_wrong_settings_are_refused(wrong, match) -> None:
    with pytest.raises(RecipeError, match=match):
        validate(ChatSettings, {"target": "m", **wrong}, where="test")


def stored(ledger: Ledger) -> dict[str, str]:
    import pyarrow.parquet as pq

    path = Path(ledger.path).with_suffix(".parquet")
    ledger.export(path)
    table = pq.read_table(path).to_pylist()
    return {row["key"]: row["text"] for row in table}


@pytest.mark.usefixtures("heeds_ctrl_c")
def test_an_interrupt_cancels_what_is_in_flight_and_leaves_the_chat_usable(tmp_path) -> None:
    with world(tmp_path, latency=20.0) as here:
        chat = here.chat()
        here_and_now = [threading.get_ident(), signal.SIGINT]
        interrupt = threading.Timer(0.5, signal.pthread_kill, here_and_now)
        interrupt.start()
        with pytest.raises(KeyboardInterrupt):
            ask(chat, [question(n) for n in range(4)], read_sum)
        assert chat.ledger.count() == 0
        here.server.settings = FakeSettings()
        assert ask(chat, [question(1)], read_sum) == [2]


def test_a_chat_can_be_asked_from_inside_an_event_loop(tmp_path) -> None:
    async def inside(chat: Chat) -> list[int | Failed]:
        return ask(chat, [question(1)], read_sum)

    with world(tmp_path) as here:
        assert asyncio.run(inside(here.chat())) == [2]
