"""The latent cache: its contents, when it is built, and recovery from interruptions."""

import errno
import json
import os
import tracemalloc
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest
import torch

from editloop.errors import CorruptError, ImageError, StepError, StoreError, TrainingError
from editloop.images.codec import encode_png
from editloop.models.masks import mask_picture
from editloop.schema import Image, Score, Unscored
from editloop.storage.locks import lock, wait
from editloop.training.framing import Framing
from editloop.training.latents import LatentSettings, open_latents
from fake_ranks import leading
from kernel_faults import CHANGES, DISK_FULL, FaultyFiles, UnsyncedFiles, die
from latent_data import SQUARE, files_of, model_at, opened, published_rows, varied
from networks import edit_samples

pytestmark = pytest.mark.slow

TWO_SHARDS = 7  # samples, of four a shard
BUCKETS = replace(SQUARE, framing=Framing(16, buckets=True, multiple=8))


class Broken(torch.nn.Module):
    """An autoencoder that fails if it is run."""

    def __init__(self, vae) -> None:
        super().__init__()
        self.config, self.dtype, self.device = vae.config, vae.dtype, vae.device

    def encode(self, _pixels):
        raise AssertionError("a picture was encoded")


def unencoding(model):
    model.autoencoder = replace(model.autoencoder, vae=Broken(model.autoencoder.vae))
    return model


def mean_of(model, picture):
    return model.autoencoder.posterior(torch.from_numpy(np.array(picture))[None]).mean[0].numpy()


@pytest.mark.parametrize("settings", [SQUARE, BUCKETS], ids=["square", "buckets"])
def test_rows_are_what_the_encoder_says_of_each_picture_and_its_mirror_image(
    tmp_path, settings
) -> None:
    samples, model = varied(6), model_at(tmp_path)
    cache = opened(tmp_path, samples, settings)
    for number, sample in enumerate(samples):
        seen = settings.framing.of(sample)
        assert cache.size_of(number) == seen.size
        for flip, view in enumerate((slice(None), slice(None, None, -1))):
            row = cache.pictures.read([number], [flip])[0]
            target = torch.from_numpy(np.array(seen.target[:, view]))[None]
            posterior = model.autoencoder.posterior(target)
            for name, expected in (
                ("source", mean_of(model, seen.source[:, view])),
                ("mean", posterior.mean[0].numpy()),
                ("std", posterior.std[0].numpy()),
            ):
                assert np.allclose(row[name], expected, atol=1e-5)
            mask = mean_of(model, mask_picture(seen.whole_mask[:, view]))
            assert np.allclose(cache.masks.read([number], [flip])[0]["mask"], mask, atol=1e-5)


def test_buckets_keep_shapes_and_batches_of_one_size(tmp_path) -> None:
    cache = opened(tmp_path, varied(9), BUCKETS)
    assert len(cache.buckets) == 3
    assert sorted(np.concatenate(cache.buckets)) == list(range(9))
    for bucket in cache.buckets:
        assert len({cache.size_of(int(number)) for number in bucket}) == 1


def test_words_are_ids_and_scores_in_order(tmp_path) -> None:
    sample = edit_samples(1)[0]
    scores = {"following": Score(2.5, text="too dark"), "preserving": Unscored("judge refused")}
    samples = [replace(sample, id="a", scores=scores), replace(sample, id="b", instruction="crop")]
    model = model_at(tmp_path)
    cache = opened(tmp_path, samples, model=model)
    assert cache.words["scores"].tolist() == [[2.5, 0, 0], [5, 5, 5]]
    assert cache.words["keep"].tolist() == [[1, 0, 0], [1, 1, 1]]
    texts = model.texts.ids([sample.instruction, "crop"])
    assert np.array_equal(cache.words["text"], texts)
    assert np.array_equal(cache.words["reward"], model.texts.ids(["too dark;;", "None;None;None"]))


def test_the_released_rewards_are_joined_as_their_authors_did(tmp_path) -> None:
    model = model_at(tmp_path, "released")
    cache = opened(tmp_path, edit_samples(1), replace(SQUARE, masks=False), model=model)
    assert np.array_equal(cache.words["reward"], model.texts.ids(["None; None; None"]))


@pytest.mark.parametrize(("precision", "kept"), [("fp32", "f4"), ("bf16", "f2")])
def test_latents_are_kept_in_half_where_the_encoder_is(tmp_path, precision, kept) -> None:
    model = model_at(tmp_path, "mask", precision=precision)
    row = opened(tmp_path, varied(1), model=model).pictures.read([0], [0])[0]
    assert row["mean"].dtype == np.dtype(f"<{kept}")


def test_a_finished_cache_is_opened_without_encoding(tmp_path) -> None:
    samples = varied(TWO_SHARDS)
    first = opened(tmp_path, samples)
    again = opened(tmp_path, samples, model=unencoding(model_at(tmp_path, "mask")))
    assert (first.encoded, again.encoded) == (TWO_SHARDS, 0)
    assert first.seconds > 0
    assert again.seconds == 0
    numbers = [6, 0, 3]
    assert np.array_equal(
        first.pictures.read(numbers, [0, 1, 0]), again.pictures.read(numbers, [0, 1, 0])
    )


def test_other_conditions_read_the_same_files(tmp_path) -> None:
    samples = varied(TWO_SHARDS)
    opened(tmp_path, samples)
    for conditions in ((), ("paper",), ("mask", "released")):
        model = unencoding(model_at(tmp_path, *conditions))
        settings = replace(SQUARE, masks="mask" in conditions)
        assert opened(tmp_path, samples, settings, model=model).encoded == 0


def test_other_soft_masks_leave_the_pictures(tmp_path) -> None:
    samples = varied(3)
    hard = opened(tmp_path, samples)
    soft = opened(
        tmp_path, samples, replace(SQUARE, framing=replace(SQUARE.framing, soft_masks=(0.2, 0.8)))
    )
    assert len(list((tmp_path / "cache").glob("pictures-*"))) == 1
    hard_rows, soft_rows = (each.masks.read([0, 1, 2], [0] * 3)["mask"] for each in (hard, soft))
    # a missing mask is not softened
    assert not np.array_equal(hard_rows[0], soft_rows[0])
    assert np.array_equal(hard_rows[1:], soft_rows[1:])


@pytest.mark.parametrize(
    "change",
    [{"framing": Framing(24, multiple=8)}, {"framing": BUCKETS.framing}, {"flip": False}],
    ids=["size", "buckets", "flip"],
)
def test_other_pictures_are_another_cache(tmp_path, change) -> None:
    opened(tmp_path, varied(3))
    assert opened(tmp_path, varied(3), replace(SQUARE, **change)).encoded == 3
    assert opened(tmp_path, varied(3)).encoded == 0


def test_other_data_is_another_cache(tmp_path) -> None:
    model, rows = model_at(tmp_path), published_rows(tmp_path / "run", varied(3))
    settings = replace(SQUARE, masks=False)
    for key in ("one", "two"):
        assert open_latents(tmp_path / "cache", key, settings, model, rows).encoded == 3


def test_two_workers_and_other_ranks_write_the_bytes_of_one(tmp_path, monkeypatch) -> None:
    samples = varied(9)
    for cache, workers in (("one", 1), ("two", 2)):
        opened(tmp_path, samples, BUCKETS, cache=cache, workers=workers)
    with leading(monkeypatch, cores=2):
        opened(tmp_path, samples, BUCKETS, cache="ranks", workers=2)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two") == files_of(tmp_path / "ranks")


def test_an_interrupted_build_goes_on_behind_the_last_whole_shard(tmp_path, monkeypatch) -> None:
    samples, model = varied(11), model_at(tmp_path, "mask")
    opened(tmp_path, samples, cache="whole")
    encode, calls = model.autoencoder.vae.encode, []

    def stopped(pixels):
        calls.append(len(pixels))
        if len(calls) == 4:  # a shard takes three: its pictures, its regions, a white mask
            raise KeyboardInterrupt
        return encode(pixels)

    monkeypatch.setattr(model.autoencoder.vae, "encode", stopped)
    with pytest.raises(KeyboardInterrupt):
        opened(tmp_path, samples, model=model)
    assert opened(tmp_path, samples).encoded == 11 - 4
    assert files_of(tmp_path / "cache") == files_of(tmp_path / "whole")


def test_a_killed_worker_is_named_and_what_it_finished_is_kept(tmp_path) -> None:
    samples = varied(9)
    opened(tmp_path, samples, cache="whole")
    between = FaultyFiles(10, die, kinds=CHANGES)  # a shard's pictures are written, its masks not
    with pytest.raises(StepError, match=r"killed twice: samples \d to \d"):
        opened(tmp_path, samples, workers=2, files=between)
    assert list((tmp_path / "cache").glob("pictures-*/shard-*.json"))
    opened(tmp_path, samples)
    assert files_of(tmp_path / "cache") == files_of(tmp_path / "whole")


def test_a_full_disk_loses_nothing(tmp_path) -> None:
    samples = varied(11)
    counting = FaultyFiles(10**9, DISK_FULL)
    opened(tmp_path, samples, cache="whole", files=counting)
    times = 8  # file operations that write the seconds, at the end
    for at in range(2, counting.total - times, 23):
        full = FaultyFiles(at, DISK_FULL, lasting=True)
        with pytest.raises(StoreError, match="No space left"):
            opened(tmp_path, samples, cache=f"full-{at}", files=full)
        opened(tmp_path, samples, cache=f"full-{at}", files=UnsyncedFiles())
        assert files_of(tmp_path / f"full-{at}") == files_of(tmp_path / "whole")


@pytest.mark.parametrize("kind", ["pictures", "masks"])
def test_a_shard_that_was_cut_or_lost_is_made_again(tmp_path, kind) -> None:
    samples = varied(TWO_SHARDS)
    opened(tmp_path, samples)
    before = files_of(tmp_path / "cache")
    first, second = sorted((tmp_path / "cache").glob(f"{kind}-*/shard-*.bin"))
    first.write_bytes(first.read_bytes()[:-1])
    assert opened(tmp_path, samples).encoded == 4
    second.unlink()
    assert opened(tmp_path, samples).encoded == 3
    second.with_suffix(".json").write_text("{}")
    assert opened(tmp_path, samples).encoded == 3
    assert files_of(tmp_path / "cache") == before


@pytest.mark.parametrize("kind", ["pictures", "masks"])
def test_a_flipped_byte_is_found_where_it_would_be_learned_from(tmp_path, kind) -> None:
    samples = varied(3)
    opened(tmp_path, samples)
    (path,) = (tmp_path / "cache").glob(f"{kind}-*/shard-*.bin")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    layer = getattr(opened(tmp_path, samples), kind)
    with pytest.raises(CorruptError, match=r"shard-000000\.bin"):
        layer.read([0, 0, 1, 1, 2, 2], [0, 1] * 3)


def test_words_that_were_cut_are_made_again(tmp_path) -> None:
    samples = varied(3)
    opened(tmp_path, samples)
    before = files_of(tmp_path / "cache")
    (path,) = (tmp_path / "cache").glob("words-*.bin")
    path.write_bytes(b"")
    assert opened(tmp_path, samples).encoded == 0
    assert files_of(tmp_path / "cache") == before


def test_memory_does_not_grow_with_the_samples(tmp_path) -> None:
    model, settings = model_at(tmp_path), replace(SQUARE, masks=False)
    peaks = []
    for count in (8, 32):
        rows = published_rows(tmp_path / str(count), varied(count, [(128, 128)]), group=4)
        tracemalloc.start()  # it counts what NumPy, Pillow and Python hold
        cache = open_latents(tmp_path / f"cache-{count}", "key", settings, model, rows)
        for number in range(count):
            cache.pictures.read([number], [0])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


def test_the_seconds_of_all_attempts_are_added_up(tmp_path) -> None:
    samples = varied(TWO_SHARDS)
    spent = [opened(tmp_path, samples).seconds]
    (path,) = (tmp_path / "cache").glob("pictures-*/seconds.json")
    next((tmp_path / "cache").glob("pictures-*/*.bin")).unlink()
    spent.append(opened(tmp_path, samples).seconds)
    assert json.loads(path.read_text())["seconds"] == pytest.approx(sum(spent), abs=0.5)


def test_a_folder_that_cannot_be_written_to_names_the_setting_that_does_without(tmp_path) -> None:
    def read_only():
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with pytest.raises(StoreError, match=r"(?s)Read-only file system.*set cache: false"):
        opened(tmp_path, varied(2), files=FaultyFiles(0, read_only, kinds=CHANGES))


def test_a_build_waits_for_another_of_the_same_data(tmp_path, monkeypatch, capsys) -> None:
    with ExitStack() as other:
        other.enter_context(lock(tmp_path / "cache", "latents"))

        def ended(folder, name) -> None:
            other.close()
            wait(folder, name)

        monkeypatch.setattr("editloop.training.latents.wait", ended)
        assert opened(tmp_path, varied(3)).encoded == 3
    told = capsys.readouterr().err
    assert f"(process {os.getpid()} on " in told


def test_a_sample_without_a_target_is_named(tmp_path) -> None:
    samples = varied(9)
    samples[5] = replace(samples[5], target=None)
    with pytest.raises(TrainingError, match=r"without a target[\s\S]*train/5"):
        opened(tmp_path, samples)


@pytest.mark.parametrize("name", ["target", "mask"])
def test_pictures_that_differ_in_size_are_refused(tmp_path, name) -> None:
    small = Image(encode_png(np.full((8, 8, 3), 255, np.uint8)))
    with pytest.raises(TrainingError, match=r"differ in size: train/0: 32x32"):
        opened(tmp_path, [replace(varied(1)[0], **{name: small})])


def test_a_picture_that_cannot_be_read_is_named(tmp_path) -> None:
    with pytest.raises(ImageError, match="train/0"):
        opened(tmp_path, [replace(varied(1)[0], source=Image(b"GIF89a"))])


def test_an_empty_split_is_refused(tmp_path) -> None:
    with pytest.raises(TrainingError, match="nothing to train on"):
        opened(tmp_path, [])


@pytest.mark.parametrize(
    "framing", [Framing(17), Framing(16, buckets=True, multiple=3)], ids=["square", "buckets"]
)
def test_a_size_that_the_model_cannot_take_is_refused(tmp_path, framing) -> None:
    with pytest.raises(TrainingError, match=r"multiple of 2"):
        opened(tmp_path, varied(1), LatentSettings(framing))


def test_latents_that_are_no_numbers_name_their_sample(tmp_path) -> None:
    model = model_at(tmp_path, "mask")
    model.autoencoder.vae.quant_conv.bias.data[0] = torch.inf
    with pytest.raises(TrainingError, match=r"NaN or infinite[\s\S]*train/0"):
        opened(tmp_path, varied(2), model=model)


def test_latents_too_large_for_half_are_refused(tmp_path) -> None:
    model = model_at(tmp_path, "mask", precision="bf16")
    model.autoencoder.vae.quant_conv.bias.data[0] = 1e6
    with pytest.raises(TrainingError, match="NaN or infinite"):
        opened(tmp_path, varied(2), model=model)
