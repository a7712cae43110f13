"""The editor `images`: an image model over HTTP, asked and paid once."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from editloop.chat.call_errors import CallError
from editloop.chat.fake.faults import Fault
from editloop.chat.fake.pictures import PictureRequest
from editloop.chat.fake.server import FakeServer
from editloop.chat.images import ImageQuestion, ImageSettings, _ImageCall
from editloop.chat.usage import usage_of_run
from editloop.editors.edit import edit
from editloop.editors.framing import frame_for
from editloop.editors.records import Edited
from editloop.errors import FailureClass, InstructionError, RecipeError, UnavailableError
from editloop.images.codec import decode, encode_png
from editloop.images.masks import NOWHERE
from editloop.kernel.resources import NETWORK
from editloop.kernel.steps import Fail, Keep, StepContext
from editloop.registry import create
from editloop.schema import EditSample, Image, Pixels, Unedited
from image_worlds import cup, image_world, request

BLACK_AND_WHITE = edit(cup(), "make it black and white")[0]


def test_an_edit_comes_back_at_the_pictures_size_and_is_paid_once(tmp_path: Path) -> None:
    with image_world(tmp_path) as world:
        for _ in range(2):
            editor = world.editor(picture_price=0.04, run="r")
            (made,) = editor.edit_recorded([request()])
            assert isinstance(made, Edited)
            assert np.array_equal(made.pixels, BLACK_AND_WHITE)
            assert made.record["size_asked"] == made.record["size_got"] == "64x48"
            assert made.record["cost"] == 0.04
        assert world.server.seen.requests == 1
        usage = usage_of_run(world.ledger, "r")
    assert (usage.calls, usage.cost) == (1, 0.04)


@pytest.mark.parametrize("dialect", ["openai", "vllm-omni"])
def test_a_mask_allows_the_same_region_in_both_dialects(tmp_path: Path, dialect: str) -> None:
    mask = np.zeros((48, 64), np.uint8)
    mask[8:24, 16:48] = 255
    with image_world(tmp_path, dialect=dialect) as world:
        editor = world.editor(dialect=dialect)
        (made,) = editor.edit([request(mask=mask, seed=7)])
        editor.edit([request(mask=np.full((48, 64), 255, np.uint8))])
        masked, everywhere = world.came
    assert np.array_equal(masked.mask, mask)
    assert everywhere.mask is None
    assert np.array_equal(np.where(mask[..., None], BLACK_AND_WHITE, cup()), made)
    assert ("seed" in masked.fields) == (dialect == "vllm-omni")
    assert masked.seed == (7 if dialect == "vllm-omni" else 0)


def test_a_mask_in_the_other_dialect_is_not_taken_for_one(tmp_path: Path) -> None:
    mask = np.zeros((48, 64), np.uint8)
    mask[8:24, 16:48] = 255
    with image_world(tmp_path, dialect="openai") as world:
        (made,) = world.editor(dialect="vllm-omni").edit([request(mask=mask)])
    assert isinstance(made, Unedited)
    assert (made.code, made.failure) == ("bad-request", FailureClass.PERMANENT)


def test_a_picture_goes_into_the_nearest_size_and_back(tmp_path: Path) -> None:
    with image_world(tmp_path) as world:
        (made,) = world.editor(size="128x128,192x128").edit_recorded([request()])
        (asked,) = world.came
    assert asked.size == (192, 128)
    assert asked.source.shape == (128, 192, 3)
    assert isinstance(made, Edited)
    assert made.pixels.shape == (48, 64, 3)
    assert np.abs(made.pixels.astype(float) - BLACK_AND_WHITE).mean() < 3


def test_another_size_is_mapped_back_and_another_shape_is_quarantined(tmp_path: Path) -> None:
    with image_world(tmp_path, Fault.RESIZED, Fault.CROPPED) as world:
        editor = world.editor(concurrency=1)
        mapped, cropped = editor.edit_recorded([request("a"), request("b", seed=1)])
        assert editor.edit([request("b", seed=1)]) == [cropped]  # its picture is not paid again
        assert world.server.seen.requests == 2
    assert isinstance(mapped, Edited)
    assert (mapped.record["size_asked"], mapped.record["size_got"]) == ("64x48", "32x24")
    assert np.abs(mapped.pixels.astype(float) - BLACK_AND_WHITE).mean() < 8
    assert isinstance(cropped, Unedited)
    assert (cropped.code, cropped.failure) == ("another-shape", FailureClass.PERMANENT)
    assert "64x36 of 64x48" in cropped.reason
    assert cropped.reply_key


@pytest.mark.slow
def test_a_refusal_is_asked_once_and_passing_faults_again(tmp_path: Path) -> None:
    with image_world(tmp_path, Fault.FILTERED, Fault.RESET, Fault.MALFORMED) as world:
        editor = world.editor(concurrency=1, attempts=3, picture_price=0.1, run="r")
        refused, made = editor.edit([request("a"), request("b", seed=1)])
        assert world.server.seen.requests == 4
        cost = usage_of_run(world.ledger, "r").cost
    assert isinstance(refused, Unedited)
    assert (refused.code, refused.failure) == ("refused", FailureClass.POLICY)
    assert np.array_equal(made, BLACK_AND_WHITE)
    assert cost == pytest.approx(0.3)  # of the reset and the broken reply too, which may be billed


def test_the_budget_is_not_exceeded_and_no_picture_is_made_beyond_it(tmp_path: Path) -> None:
    with image_world(tmp_path) as world:
        editor = world.editor(picture_price=1.0, budget=2.5, run="r")
        made = editor.edit([request(seed=seed) for seed in range(5)])
        assert len(world.came) == 2
    failed = [each for each in made if isinstance(each, Unedited)]
    assert {(each.code, each.failure) for each in failed} == {
        ("over-budget", FailureClass.TRANSIENT)
    }
    assert len(failed) == 3


def test_a_link_is_refused_with_the_fix() -> None:
    settings = ImageSettings(target="m", base_url="http://127.0.0.1:1/v1")
    call = _ImageCall(settings, ImageQuestion("a", "a cat", (8, 8)))
    with pytest.raises(CallError, match=r"not followed.*response_format"):
        call.parse(b'{"data": [{"url": "http://169.254.169.254/latest"}]}')
    for broken in (b'{"data": [{"b64_json": "AAAA"}]}', b'{"data": [{}]}', b'{"data": {}}'):
        with pytest.raises(CallError) as caught:
            call.parse(broken)
        assert caught.value.code == "broken-reply"


def test_as_many_requests_are_in_flight_as_the_settings_say(tmp_path: Path) -> None:
    all_there = threading.Barrier(32)

    def answer(asked: PictureRequest) -> Pixels:
        if asked.prompt == "wait":
            all_there.wait(timeout=60)  # breaks if fewer are in flight
        return 255 - asked.source

    with FakeServer(pictures=answer) as server:
        own = {"target": "m", "base_url": server.base_url, "ledger": str(tmp_path / "l.db")}
        editor = create("editor", "images", {**own, "attempts": 1, "size": "source"})
        editor.edit([request()])  # until a server has answered, fewer are sent
        made = editor.edit(
            [
                replace(request(seed=seed, image=cup(16, 16)), instruction="wait")
                for seed in range(32)
            ]
        )
        editor.close()
        assert server.seen.at_once == 32
    assert not any(isinstance(each, Unedited) for each in made)


def test_a_session_goes_on_at_the_working_size(tmp_path: Path) -> None:
    with image_world(tmp_path) as world:
        editor = world.editor(size="192x128")
        one, two = edit(cup(), ["make it sepia", "make it black and white"], editor=editor)
        first, second = world.came
        assert second.source.shape == first.source.shape == (128, 192, 3)
    assert one.shape == two.shape == cup().shape
    frame = frame_for((48, 64), [(128, 192)])
    assert second.source.shape[:2] == frame.size


def test_a_black_mask_asks_nothing(tmp_path: Path) -> None:
    with image_world(tmp_path) as world:
        made = world.editor().edit([request(mask=np.zeros((48, 64), np.uint8))])
        assert made == [Unedited(NOWHERE)]
        assert world.server.seen.requests == 0


def test_the_step_quarantines_what_it_cannot_have_and_keeps_the_record(tmp_path: Path) -> None:
    source = Image(encode_png(cup()))
    samples = [EditSample(name, source, "make it sepia") for name in ("a", "b")]
    with image_world(tmp_path, Fault.FILTERED) as world:
        editor = {**world.settings, "kind": "images", "picture_price": 0.5, "concurrency": 1}
        step = create("build", "edit", {"editor": editor})
        assert step.resources == NETWORK
        step.setup(StepContext(0, "train", tmp_path))
        refused, kept = step.process(samples)
        step.close()
        usage = step.usage(tmp_path)
    assert isinstance(refused, Fail)
    assert (refused.code, refused.failure) == ("refused", FailureClass.POLICY)
    assert isinstance(kept, Keep)
    (made,) = kept.samples
    assert made.provenance.parameters["size_got"] == "64x48"
    assert made.provenance.parameters["cost"] == 0.5
    assert np.array_equal(decode(made.target.bytes), edit(cup(), "make it sepia")[0])
    assert (usage.attempts, usage.calls, usage.cost) == (2, 1, 0.5)


def test_what_can_change_a_picture_is_in_the_fingerprint(tmp_path: Path) -> None:
    with image_world(tmp_path) as world:
        plain = world.editor().fingerprint
        same = world.editor(timeout=3, concurrency=2, picture_price=1.0, budget=5.0).fingerprint
        others = [
            world.editor(**change).fingerprint
            for change in (
                {"target": "other"},
                {"dialect": "vllm-omni"},
                {"size": "64x64"},
                {"body": '{"quality": "high"}'},
                {"repeat": 1},
            )
        ]
    assert same == plain
    assert len({plain, *others}) == 6


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"size": "1024"}, "is no size"),
        ({"size": "source,64x64"}, "is no size"),
        ({"budget": 1.0}, "set picture_price"),
        ({"body": '{"seed": 1}'}, "cannot be given in `body`"),
        ({"dialect": "azure"}, "dialect"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object], told: str) -> None:
    given = {"target": "m", "base_url": "http://127.0.0.1:1/v1", **settings}
    with pytest.raises(RecipeError, match=told):
        create("editor", "images", given)


def test_a_server_that_is_not_there_stops_the_edit(tmp_path: Path) -> None:
    settings = {"ledger": str(tmp_path / "l.db"), "attempts": 1}
    editor = create(
        "editor", "images", {"target": "m", "base_url": "http://127.0.0.1:9/v1", **settings}
    )
    with pytest.raises(UnavailableError, match="does not respond"):
        editor.edit([request()])
    editor.close()


def test_the_command_tells_the_reason_of_a_refusal(tmp_path: Path) -> None:
    with (
        image_world(tmp_path, Fault.FILTERED) as world,
        pytest.raises(InstructionError, match="refused"),
    ):
        edit(cup(), "make it sepia", editor=world.editor())
