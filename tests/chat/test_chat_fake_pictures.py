"""The fake server's images and moderation endpoints, as other clients see them."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import numpy as np
import openai
import pytest
from PIL import Image

from editloop.chat.fake.faults import PICTURES, Fault, in_order
from editloop.chat.fake.server import FakeServer, FakeSettings
from editloop.editors.edit import edit
from editloop.editors.fake import picture_answers
from editloop.generation.fake_server import flags
from editloop.images.codec import decode, encode_png
from editloop.schema import Pixels
from image_worlds import cup


def asked(server: FakeServer, **more: Any) -> Pixels:
    """Return the picture that openai's own client gets for an edit."""
    with openai.OpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client:
        fields = {"model": "m", "prompt": "make it sepia", "size": "64x48", **more}
        reply = client.images.edit(image=("a.png", encode_png(cup()), "image/png"), **fields)
    return decode(base64.b64decode(reply.data[0].b64_json))


def test_openais_client_gets_the_darkrooms_edit() -> None:
    with FakeServer(pictures=picture_answers()) as server:
        assert np.array_equal(asked(server), edit(cup(), "make it sepia")[0])
        with openai.OpenAI(base_url=server.base_url, api_key="none") as client:
            made = client.images.generate(model="m", prompt="a tabby cat", size="64x48")
    picture = decode(base64.b64decode(made.data[0].b64_json))
    assert picture.shape == (48, 64, 3)


@pytest.mark.parametrize("dialect", ["openai", "vllm-omni"])
def test_a_mask_has_each_dialects_field_and_polarity(dialect: str) -> None:
    left = np.zeros((48, 64), np.uint8)
    left[:, :32] = 255
    clear = Image.merge("RGBA", [*[Image.new("L", (64, 48))] * 3, Image.fromarray(255 - left)])
    data = io.BytesIO()
    clear.save(data, "PNG")
    forms = {
        "openai": {"mask": ("m.png", data.getvalue(), "image/png")},
        "vllm-omni": {"extra_body": {"seed": 3}},
    }
    with FakeServer(pictures=picture_answers(), settings=FakeSettings(dialect=dialect)) as server:
        made = asked(server, **forms[dialect])
    changed = (made != cup()).any(-1)
    assert changed[:, :32].any()
    assert changed[:, 32:].any() == (dialect == "vllm-omni")  # it got no mask


@pytest.mark.parametrize("fault", [f for f in PICTURES if f is not Fault.FILTERED])
def test_faults_are_as_ordered(fault: Fault) -> None:
    true = edit(cup(), "make it sepia")[0]
    with FakeServer(pictures=picture_answers(), faults=in_order(fault)) as server:
        if fault in (Fault.RATE_LIMITED, Fault.ERROR, Fault.RESET, Fault.MALFORMED):
            with pytest.raises((openai.APIError, json.JSONDecodeError)):
                asked(server)
            return
        made = asked(server)
    if fault is Fault.UNCHANGED:
        assert np.array_equal(made, cup())
    elif fault is Fault.SHIFTED:
        assert np.array_equal(made[4:, 4:], true[:-4, :-4])
    else:
        assert made.shape == (36, 64, 3)


def test_a_refusal_has_moderations_code_and_a_wrong_edit_is_another() -> None:
    with FakeServer(
        pictures=picture_answers(), faults=in_order(Fault.FILTERED, Fault.WRONG, Fault.RESIZED)
    ) as server:
        with pytest.raises(openai.BadRequestError) as caught:
            asked(server)
        wrong, small = asked(server), asked(server)
    assert caught.value.code == "moderation_blocked"
    assert np.array_equal(wrong, edit(cup(), "make it black and white")[0])
    assert small.shape == (24, 32, 3)


def test_what_the_darkroom_does_not_understand_is_a_bad_request() -> None:
    with FakeServer(pictures=picture_answers()) as server:
        with pytest.raises(openai.BadRequestError, match="no answer"):
            asked(server, prompt="frobnicate the quux")
        client = openai.OpenAI(base_url=server.base_url, api_key="x", max_retries=0)
        with client, pytest.raises(openai.NotFoundError, match="there is only"):
            client.moderations.create(input="a")


def test_moderation_flags_by_category() -> None:
    with (
        FakeServer(flags=flags) as server,
        openai.OpenAI(base_url=server.base_url, api_key="x") as client,
    ):
        found = client.moderations.create(input=["a cat", "a man with a gun"]).results
    assert [each.flagged for each in found] == [False, True]
