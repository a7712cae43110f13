import resource

import numpy as np
import pytest

from editloop.storage.files import Files
from editloop.training.latent_layers import Layer
from editloop.training.latent_rows import Shard, row_type

SHARDS, ALLOWED = 150, 100


@pytest.fixture
def few_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (ALLOWED, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("few_descriptors")
def test_more_shards_are_read_than_files_may_be_open(tmp_path) -> None:
    kind = row_type({"value": ("<i4", ())})
    for shard in range(SHARDS):
        rows = np.zeros(2, kind)
        rows["value"] = (2 * shard, 2 * shard + 1)
        Shard.write(Files(), tmp_path / f"{shard}.bin", {(8, 8): [0, 1]}, {(8, 8): [rows]}, lost=0)
    shards = [Shard.find(tmp_path / f"{shard}.bin") for shard in range(SHARDS)]
    layer = Layer(shards, 2, lambda _size: kind, flips=1)
    numbers = np.random.default_rng(0).permutation(2 * SHARDS).tolist()
    assert layer.read(numbers, [0] * len(numbers))["value"].tolist() == numbers
