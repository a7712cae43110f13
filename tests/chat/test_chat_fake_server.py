"""The fake server: the protocol, answers from the truth, and scheduled faults."""

import base64
import http.client
import json
from collections import Counter
from contextlib import closing
from typing import Any

import pytest

from editloop.chat.fake.faults import MIXED, Fault, apply_fault, at_random, in_order
from editloop.chat.fake.request import FakeRequest
from editloop.chat.fake.server import FakeServer, FakeSettings
from editloop.chat.prompts import PictureEncoding, encode_picture
from editloop.images.codec import decode


def post(server: FakeServer, body: Any, path: str = "/v1/chat/completions") -> tuple[int, Any]:
    """Send a request by plain HTTP; returns the status and JSON of the response."""
    port = int(server.base_url.rpartition(":")[2].removesuffix("/v1"))
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("POST" if body is not None else "GET", path, data)
        response = connection.getresponse()
        with response:
            return response.status, json.loads(response.read())


def request(text: str, **fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **fields}


def asked(number: int = 0, arrival: int = 0, digest: str = "d") -> FakeRequest:
    return FakeRequest("m", (), (), "text", None, digest, number, arrival)


def test_it_answers_as_the_protocol_says() -> None:
    with FakeServer(lambda seen: f"you said {seen.texts[0]}") as server:
        status, content = post(server, request("hello"))
    assert status == 200
    assert content["object"] == "chat.completion"
    choice = content["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": "you said hello"}
    assert choice["finish_reason"] == "stop"
    usage = content["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_it_lists_its_model() -> None:
    with FakeServer(str, settings=FakeSettings(model="tiny")) as server:
        status, content = post(server, None, "/v1/models")
    assert (status, [model["id"] for model in content["data"]]) == (200, ["tiny"])


def test_a_question_arrives_with_texts_pictures_and_schema() -> None:
    came: list[FakeRequest] = []
    data = base64.b64encode(b"bytes").decode()
    parts = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}},
        {"type": "text", "text": "well"},
    ]
    schema = {"type": "object"}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    with FakeServer(lambda seen: came.append(seen) or "x") as server:
        post(server, {"messages": [{"role": "user", "content": parts}], "response_format": wanted})
    (seen,) = came
    assert (seen.texts, seen.images) == (("look", "well"), (b"bytes",))
    assert (seen.format, seen.schema) == ("json_schema", schema)


@pytest.mark.parametrize(
    "body", [b"no json", b"[]", {"messages": 3}, {"messages": [{"content": [{}]}]}]
)
def test_what_is_no_request_is_refused(body) -> None:
    with FakeServer(lambda _: "x") as server:
        status, content = post(server, body)
    assert status == 400
    assert "not a request of" in content["error"]["message"]


def test_a_picture_that_is_no_data_is_refused() -> None:
    part = {"type": "image_url", "image_url": {"url": "http://elsewhere/x.png"}}
    with FakeServer(lambda seen: str(seen.images)) as server:
        status, content = post(server, request([part]))
    assert status == 400
    assert "not sent as base64" in content["error"]["message"]


def test_other_paths_and_wrong_keys_are_refused() -> None:
    with FakeServer(lambda _: "x", settings=FakeSettings(key="k")) as server:
        assert post(server, request("a"), "/v2/other")[0] == 404
        assert post(server, None, "/v1/other")[0] == 404
        assert post(server, request("a"))[0] == 401
        assert server.seen.requests == 0


def test_it_counts_all_that_came() -> None:
    with FakeServer(lambda _: "x", faults=in_order(None, Fault.ERROR)) as server:
        for text in ("a", "b", "a"):
            post(server, request(text))
        assert server.seen.requests == 3
        assert sorted(server.seen.bodies.values()) == [1, 2]
        assert server.seen.faults == Counter({Fault.ERROR: 1})


@pytest.mark.parametrize(
    ("fault", "status"), [(Fault.RATE_LIMITED, 429), (Fault.ERROR, 500), (Fault.UNAVAILABLE, 503)]
)
def test_statuses_to_order(fault, status) -> None:
    with FakeServer(lambda _: "x", faults=in_order(fault)) as server:
        assert post(server, request("a"))[0] == status
        assert post(server, request("a"))[0] == 200


def test_a_reset_is_a_reset() -> None:
    server = FakeServer(lambda _: "x", faults=in_order(Fault.RESET))
    with server, pytest.raises(ConnectionResetError):
        post(server, request("a"))


def test_half_a_reply_ends_in_its_middle() -> None:
    server = FakeServer(lambda _: "x", faults=in_order(Fault.HALF))
    with server, pytest.raises(http.client.IncompleteRead) as raised:
        post(server, request("a"))
    assert raised.value.partial.startswith(b'{"id"')


def test_closing_ends_a_request_that_is_never_answered() -> None:
    with FakeServer(lambda _: "x", faults=in_order(Fault.TIME_OUT)) as server:
        port = int(server.base_url.rpartition(":")[2].removesuffix("/v1"))
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("POST", "/v1/chat/completions", json.dumps(request("a")))
        while not server.seen.requests:
            pass
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        connection.getresponse()
    connection.close()


def test_delays_come_from_the_seed_and_stay_in_bounds() -> None:
    settings = FakeSettings(latency=2.0, jitter=0.5, seed=3)
    server = FakeServer(str, settings=settings)
    delays = [server.delay(asked(digest=str(n))) for n in range(200)]
    assert delays == [server.delay(asked(digest=str(n))) for n in range(200)]
    assert all(1.0 <= delay <= 3.0 for delay in delays)
    assert max(delays) - min(delays) > 1.5
    server.close()


def test_random_faults_depend_on_the_request_and_not_on_its_turn() -> None:
    draw = at_random(0.3, 5)
    first = [draw(asked(number=n, digest=str(n))) for n in range(2000)]
    assert first == [draw(asked(number=9 * n + 1, digest=str(n))) for n in range(2000)]
    drawn = Counter(fault for fault in first if fault)
    assert 500 < sum(drawn.values()) < 700
    assert set(drawn) == set(MIXED)
    assert first != [at_random(0.3, 6)(asked(digest=str(n))) for n in range(2000)]


def test_random_faults_end_after_two_in_a_row() -> None:
    draw = at_random(1.0, 0)
    assert [draw(asked(arrival=n)) is None for n in range(4)] == [False, False, True, True]


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (None, '{"score": 4.5, "n": -1}'),
        (Fault.ERROR, '{"score": 4.5, "n": -1}'),
        (Fault.NAN, '{"score": NaN, "n": NaN}'),
        (Fault.OUT_OF_RANGE, '{"score": 777, "n": 777}'),
        (Fault.MALFORMED, '{"score": 4'),
        (Fault.EMPTY, ""),
    ],
)
def test_reply_faults_are_applied_to_order(fault, text) -> None:
    assert apply_fault('{"score": 4.5, "n": -1}', fault) == text


def test_pictures_of_a_request_are_decoded() -> None:
    import numpy as np

    pixels = np.zeros((8, 9, 3), np.uint8)
    sent = encode_picture(pixels, PictureEncoding(format="png"))
    link = "data:image/png;base64," + base64.b64encode(sent.data).decode()
    seen = FakeRequest("m", (), (link,), "text", None, "d")
    assert np.array_equal(seen.pictures[0], decode(sent.data))
