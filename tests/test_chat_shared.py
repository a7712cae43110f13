"""Two chats that ask the same at the same moment, as two processes do: one reply for both."""

import threading
from pathlib import Path

from chat_world import question, world
from editloop.chat import Chat, ChatSettings
from editloop.judges.fake_request import Asked


def test_the_first_reply_is_both_ones_answer(tmp_path: Path) -> None:
    both = threading.Barrier(2)

    def answers(asked: Asked) -> str:
        both.wait(10)  # both requests are there before either is answered
        return f"reply {asked.number}"

    with world(tmp_path, answers=answers) as here:
        settings = ChatSettings(target="m", base_url=here.server.base_url)
        found: list[list[object]] = []

        def ask() -> None:
            with Chat(settings, here.ledger) as chat:
                found.append(chat.ask([question(1)], str))

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert here.server.seen.requests == 2
    assert found[0] == found[1]
