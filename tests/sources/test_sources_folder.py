import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from editloop.errors import FailureClass, RecipeError, StoreError
from editloop.images.codec import MAX_PIXELS, decode
from editloop.kernel.steps import Fail, Keep, Outcome
from editloop.registry import create
from editloop.schema import EditSample
from editloop.sources import files
from editloop.sources.folder import FolderSource
from odd_images import odd_images, saved, smooth

PICTURE = saved(smooth(), "PNG")


def put(root: Path, *names: str, data: bytes = PICTURE) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def source(root: Path, **settings: Any) -> FolderSource:
    made: FolderSource = create("source", "folder", {"path": str(root), **settings})
    return made


def ids(root: Path, **settings: Any) -> list[str]:
    return [item.id.removeprefix("folder/") for item in source(root, **settings).items()]


def outcomes(root: Path, **settings: Any) -> dict[str, Outcome]:
    made = source(root, **settings)
    items = list(made.items())
    return {
        item.id.removeprefix("folder/"): outcome
        for item, outcome in zip(items, made.load(items), strict=True)
    }


def kept(outcome: Outcome) -> EditSample:
    assert isinstance(outcome, Keep), outcome
    (sample,) = outcome.samples
    return sample


def failed(outcome: Outcome) -> Fail:
    assert isinstance(outcome, Fail), outcome
    return outcome


def test_pictures_are_listed_at_every_depth_in_the_order_of_their_bytes(tmp_path: Path) -> None:
    put(tmp_path, "b.png", "a/z.JPG", "a/deep/er/x.webp", "C.png", "a.png", "ä.png")
    assert ids(tmp_path) == ["C.png", "a/deep/er/x.webp", "a/z.JPG", "a.png", "b.png", "ä.png"]


def test_what_is_no_picture_by_name_or_hidden_is_not_listed(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "notes.md", "a.txt", ".hidden.png", ".git/b.png", "noextension")
    assert ids(tmp_path) == ["a.png"]


def test_patterns_choose_among_the_pictures(tmp_path: Path) -> None:
    put(tmp_path, "cats/a.png", "cats/b.jpg", "dogs/c.png")
    assert ids(tmp_path, include=["cats/*"]) == ["cats/a.png", "cats/b.jpg"]
    assert ids(tmp_path, include=["dogs/*", "*.jpg"]) == ["cats/b.jpg", "dogs/c.png"]


def test_a_link_to_a_folder_above_is_not_followed_for_ever(tmp_path: Path) -> None:
    put(tmp_path, "a/b/x.png")
    (tmp_path / "a/b/up").symlink_to(tmp_path / "a")
    (tmp_path / "self.png").symlink_to(tmp_path / "self.png")
    assert ids(tmp_path) == ["a/b/x.png", "self.png"]


def test_a_link_to_another_folder_is_followed(tmp_path: Path) -> None:
    put(tmp_path, "elsewhere/x.png")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere")
    assert ids(tmp_path / "root") == ["link/x.png"]


def test_names_in_either_normal_form_are_kept_apart(tmp_path: Path) -> None:
    names = ["e\u0301.png", "\u00e9.png", "\u202e\U0001f600 \n.png"]
    put(tmp_path, *names)
    assert sorted(ids(tmp_path)) == sorted(names)
    assert all(isinstance(outcome, Keep) for outcome in outcomes(tmp_path).values())


def test_a_name_that_is_no_text_is_spelt_out_and_loads(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.png")).write_bytes(PICTURE)
    (outcome,) = outcomes(tmp_path).values()
    sample = kept(outcome)
    assert sample.id == "folder/\\xff.png"
    sample.id.encode()
    assert sample.source.path is not None
    sample.source.path.encode()


def test_no_folder_and_no_picture_are_recipe_errors(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no such folder"):
        ids(tmp_path / "absent")
    put(tmp_path, "a.md")
    with pytest.raises(RecipeError, match="no matching picture"):
        ids(tmp_path)


def test_a_folder_that_cannot_be_listed_stops_the_listing(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    (tmp_path / "metadata.jsonl").mkdir()
    with pytest.raises(StoreError, match="cannot list a folder"):
        ids(tmp_path)


def test_a_share_is_held_out_by_the_path_alone(tmp_path: Path) -> None:
    put(tmp_path, *(f"{number}.png" for number in range(300)), data=b"")
    splits = {item.id: item.split for item in source(tmp_path, heldout=0.2).items()}
    assert 35 < list(splits.values()).count("heldout") < 85
    put(tmp_path, "new.png", data=b"x")
    again = {item.id: item.split for item in source(tmp_path, heldout=0.2).items()}
    assert splits.items() <= again.items()
    assert {item.split for item in source(tmp_path, heldout=0).items()} == {"train"}
    assert {item.split for item in source(tmp_path, heldout=1).items()} == {"heldout"}


def test_folders_may_name_the_split(tmp_path: Path) -> None:
    put(tmp_path, "train/x/a.png", "heldout/b.png")
    items = source(tmp_path, split="folder").items()
    assert [(item.id, item.split) for item in items] == [
        ("folder/heldout/b.png", "heldout"),
        ("folder/train/x/a.png", "train"),
    ]


def test_a_picture_outside_the_splits_folders_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "train/a.png", "other/b.png")
    with pytest.raises(RecipeError, match=r"other/b\.png"):
        ids(tmp_path, split="folder")


def test_size_crops_the_centre(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    sample = kept(outcomes(tmp_path, size=16)["a.png"])
    assert np.array_equal(decode(sample.source.bytes), smooth()[:, 4:20])


@pytest.mark.parametrize(
    ("limit", "shape"), [(0, (16, 24)), (12, (8, 12)), (100, (16, 24)), (1, (1, 1))]
)
def test_the_longest_side_is_limited(tmp_path: Path, limit: int, shape: tuple[int, int]) -> None:
    put(tmp_path, "a.png")
    sample = kept(outcomes(tmp_path, max_side=limit)["a.png"])
    assert decode(sample.source.bytes).shape[:2] == shape


def test_two_rules_of_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="give one of the two"):
        source(tmp_path, size=64, max_side=512)


def test_a_sample_says_where_it_is_from(tmp_path: Path) -> None:
    put(tmp_path, "a b/ü.png")
    sample = kept(outcomes(tmp_path, licence="CC0")["a b/ü.png"])
    made = sample.provenance
    assert made is not None
    assert (made.generator, made.licence) == ("folder", "CC0")
    assert made.source_uri == (tmp_path / "a b/ü.png").as_uri()
    assert set(made.parameters) == {"crop", "sha256"}
    assert sample.source.path == "a b/ü.png"


def test_a_changed_file_changes_its_item(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "b.png")
    (tmp_path / "b.txt").write_text("a caption")
    before = list(source(tmp_path).items())
    assert before == list(source(tmp_path).items())
    put(tmp_path, "a.png", data=PICTURE + b"1")
    (tmp_path / "b.txt").write_text("another caption")
    after = list(source(tmp_path).items())
    assert [one.id for one in before] == [one.id for one in after]
    assert all(one.parameters != two.parameters for one, two in zip(before, after, strict=True))


def test_odd_pictures_fail_under_their_code_and_leave_their_neighbours_alone(
    tmp_path: Path,
) -> None:
    odds = {f"{number:03d} {odd.file}": odd for number, odd in enumerate(odd_images().values())}
    for name, odd in odds.items():
        put(tmp_path, name, data=odd.data)
    made = outcomes(tmp_path)
    assert len(made) == len(odds) > 80
    for name, odd in odds.items():
        if odd.code is None:
            assert decode(kept(made[name]).source.bytes).shape == odd.pixels.shape
        else:
            fault = failed(made[name])
            assert (fault.code, fault.failure) == (odd.code, FailureClass.PERMANENT)


def test_a_file_that_is_gone_or_a_pipe_is_unreadable(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "dangling.png").symlink_to(tmp_path / "nowhere")
    put(tmp_path, "gone.png", "good.png")
    made = source(tmp_path)
    items = list(made.items())
    (tmp_path / "gone.png").unlink()
    loaded = {item.id: outcome for item, outcome in zip(items, made.load(items), strict=True)}
    assert isinstance(loaded.pop("folder/good.png"), Keep)
    assert len(loaded) == 3
    assert {failed(outcome).code for outcome in loaded.values()} == {"unreadable"}
    assert {failed(outcome).failure for outcome in loaded.values()} == {FailureClass.PERMANENT}


def test_an_error_of_the_disk_may_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a.png")

    def fail(_: Path) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", fail)
    fault = failed(outcomes(tmp_path)["a.png"])
    assert (fault.code, fault.failure) == ("unreadable", FailureClass.TRANSIENT)


def test_a_file_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "huge.png").open("wb") as file:
        file.truncate(files.MAX_BYTES + 1)  # sparse: it uses no disk space
    assert failed(outcomes(tmp_path)["huge.png"]).code == "too-large"
    assert MAX_PIXELS * 3 < files.MAX_BYTES
