"""Golden tests: LPIPS recomputed layer by layer from files in the published layout."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.nn.functional import conv2d, max_pool2d

from editloop.errors import UnavailableError
from editloop.metrics.lpips import VERSION, LpipsMetric
from editloop.registry import parse_spec
from editloop.runtime.seeding import derive_seed, generator
from editloop.schema import Cause, EditedPair, Pixels, Score, Unscored

NETWORKS = {"alex": "alexnet-owt-7be5be79", "squeeze": "squeezenet1_1-b8a52dc0"}

# Layers of torchvision's `features`: convolutions by (index, stride, padding), poolings by index.
# Output channels, input channels and kernel size: the weights' shapes.
ALEX = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}
FIRES = {
    3: (64, 16, 64), 4: (128, 16, 64), 6: (128, 32, 128), 7: (256, 32, 128),
    9: (256, 48, 192), 10: (384, 48, 192), 11: (384, 64, 256), 12: (512, 64, 256),
}  # fmt: skip
CHANNELS = {"alex": [64, 192, 384, 256, 256], "squeeze": [64, 128, 256, 384, 384, 512, 512]}

State = dict[str, torch.Tensor]


def random(name: str, *shape: int) -> torch.Tensor:
    source = torch.Generator().manual_seed(derive_seed("lpips", name))
    fan = max(1, int(np.prod(shape[1:])))
    return torch.randn(shape, generator=source) / fan**0.5


def convolution(name: str, out: int, given: int, kernel: int) -> State:
    weight = random(name, out, given, kernel, kernel)
    return {f"features.{name}.weight": weight, f"features.{name}.bias": random(name + "b", out)}


def network_state(net: str) -> State:
    if net == "alex":
        state = {"classifier.1.weight": torch.zeros(2, 2)}  # a checkpoint holds more than is needed
        for index, shape in ALEX.items():
            state |= convolution(str(index), *shape)
        return state
    state = convolution("0", 64, 3, 3)
    for index, (given, squeezed, expanded) in FIRES.items():
        state |= convolution(f"{index}.squeeze", squeezed, given, 1)
        state |= convolution(f"{index}.expand1x1", expanded, squeezed, 1)
        state |= convolution(f"{index}.expand3x3", expanded, squeezed, 3)
    return state


def head_state(net: str) -> State:
    return {
        f"lin{index}.model.1.weight": random(f"head{index}", 1, width, 1, 1).abs()
        for index, width in enumerate(CHANNELS[net])
    }


def features(net: str, state: State, x: torch.Tensor) -> list[torch.Tensor]:
    """Return the features of each compared layer."""

    def conv(given: torch.Tensor, name: str, **options: int) -> torch.Tensor:
        weight, bias = state[f"features.{name}.weight"], state[f"features.{name}.bias"]
        return conv2d(given, weight, bias, **options).relu()

    def fire(given: torch.Tensor, index: int) -> torch.Tensor:
        squeezed = conv(given, f"{index}.squeeze")
        wide = conv(squeezed, f"{index}.expand3x3", padding=1)
        return torch.cat([conv(squeezed, f"{index}.expand1x1"), wide], 1)

    if net == "alex":
        one = conv(x, "0", stride=4, padding=2)
        two = conv(max_pool2d(one, 3, 2), "3", padding=2)
        three = conv(max_pool2d(two, 3, 2), "6", padding=1)
        four = conv(three, "8", padding=1)
        return [one, two, three, four, conv(four, "10", padding=1)]
    one = conv(x, "0", stride=2)
    two = fire(fire(max_pool2d(one, 3, 2, ceil_mode=True), 3), 4)
    three = fire(fire(max_pool2d(two, 3, 2, ceil_mode=True), 6), 7)
    four = fire(max_pool2d(three, 3, 2, ceil_mode=True), 9)
    found = [one, two, three, four]
    for index in (10, 11, 12):
        found.append(fire(found[-1], index))
    return found


@torch.no_grad()
def recomputed(net: str, first: Pixels, second: Pixels) -> float:
    def given(pixels: Pixels) -> torch.Tensor:
        x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255 * 2 - 1
        shift = torch.tensor([-0.030, -0.088, -0.188])[:, None, None]
        return (x - shift) / torch.tensor([0.458, 0.448, 0.450])[:, None, None]

    state, heads, total = network_state(net), head_state(net), 0.0
    both = features(net, state, torch.cat([given(first), given(second)]))
    for index, layer in enumerate(both):
        a, b = (layer / ((layer**2).sum(1, keepdim=True).sqrt() + 1e-10)).split(1)
        total += conv2d((a - b) ** 2, heads[f"lin{index}.model.1.weight"]).mean().item()
    return total


@pytest.fixture(scope="module", params=["alex", "squeeze"])
def net(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(net: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp(net)
    torch.save(network_state(net), made / f"{NETWORKS[net]}.pth")
    torch.save(head_state(net), made / f"{net}.pth")
    return made


def picture(name: str, height: int = 70, width: int = 65) -> Pixels:
    return generator("lpips", name).integers(0, 256, (height, width, 3), dtype=np.uint8)


def pair(edited: Pixels | None = None, mask: np.ndarray | None = None) -> EditedPair:
    shown = picture("edited") if edited is None else edited
    return EditedPair("a", picture("source"), "", shown, picture("target"), mask)


def measured(net: str, folder: Path, shown: EditedPair, **settings: str) -> Score | Unscored:
    settings = {"target": net, "weights": str(folder), **settings}
    return LpipsMetric(LpipsMetric.Settings(**settings)).measure([shown])[0]


def value(score: Score | Unscored) -> float:
    assert isinstance(score, Score), score
    return score.value


@pytest.mark.parametrize("against", ["target", "source"])
def test_it_agrees_with_the_layers_by_hand(net: str, folder: Path, against: str) -> None:
    wanted = recomputed(net, picture("edited"), picture(against))
    made = value(measured(net, folder, pair(), against=against))
    assert made == pytest.approx(wanted, abs=1e-6)
    assert made > 1e-3


def test_a_copy_has_no_distance(net: str, folder: Path) -> None:
    assert value(measured(net, folder, pair(edited=picture("target")))) == 0


@pytest.mark.parametrize("place", ["inside", "outside"])
def test_a_region_is_both_pictures_with_the_rest_black(net: str, folder: Path, place: str) -> None:
    mask = np.zeros((70, 65), np.uint8)
    mask[10:40, 20:50] = 255
    kept = ((mask == 255) == (place == "inside"))[:, :, None]
    wanted = recomputed(net, picture("edited") * kept, picture("target") * kept)
    made = value(measured(net, folder, pair(mask=mask), region=place))
    assert made == pytest.approx(wanted, abs=1e-6)


def test_outside_of_a_mask_of_everything_is_unscored(net: str, folder: Path) -> None:
    made = measured(net, folder, pair(), region="outside")
    assert made == Unscored(
        "the mask covers everything: nothing lies outside it", VERSION, Cause.NOT_MEASURABLE
    )


def test_another_size_is_resized_to_the_reference(net: str, folder: Path) -> None:
    large = picture("large", 90, 120)
    resized = np.array(Image.fromarray(large).resize((65, 70)))
    wanted = recomputed(net, resized, picture("target"))
    made = value(measured(net, folder, pair(edited=large)))
    assert made == pytest.approx(wanted, abs=1e-6)


def test_a_picture_too_small_for_the_network_is_unscored(net: str, folder: Path) -> None:
    small = picture("small", 31, 64)
    made = measured(net, folder, EditedPair("a", small, "", small, small))
    assert made == Unscored("a side is shorter than 32 px", VERSION, Cause.NOT_MEASURABLE)
    small = picture("small", 32, 64)
    made = measured(net, folder, EditedPair("a", small, "", small, picture("other", 32, 64)))
    assert value(made) > 0


def test_a_case_without_target_is_unscored(net: str, folder: Path) -> None:
    shown = EditedPair("a", picture("source"), "", picture("edited"))
    assert measured(net, folder, shown) == Unscored(
        "the case has no target", VERSION, Cause.MISSING_INPUT
    )


def test_safetensors_serve_as_well(net: str, folder: Path, tmp_path: Path) -> None:
    save_file(network_state(net), tmp_path / f"{NETWORKS[net]}.safetensors")
    save_file(head_state(net), tmp_path / f"{net}.safetensors")
    assert measured(net, tmp_path, pair()) == measured(net, folder, pair())


def test_absent_weights_come_with_a_command_that_names_both(net: str, tmp_path: Path) -> None:
    settings = LpipsMetric.Settings(target=net, weights=tmp_path / "none")
    error = LpipsMetric(settings).missing()
    assert error is not None
    assert error.command is not None
    for name in (f"{NETWORKS[net]}.pth", f"{net}.pth"):
        assert f"-o {tmp_path / 'none' / name} https://" in error.command


def test_heads_that_are_absent_are_missing_too(net: str, tmp_path: Path) -> None:
    torch.save(network_state(net), tmp_path / f"{NETWORKS[net]}.pth")
    error = LpipsMetric(LpipsMetric.Settings(target=net, weights=tmp_path)).missing()
    assert error is not None
    assert error.value == tmp_path / f"{net}.pth"


def test_other_weights_are_refused(net: str, tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / f"{NETWORKS[net]}.pth")
    torch.save(head_state(net), tmp_path / f"{net}.pth")
    with pytest.raises(UnavailableError, match="not the weights of LPIPS"):
        measured(net, tmp_path, pair())


class Harmful:
    """A pickle that runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("harmed",)


def test_a_file_with_code_in_it_is_not_run(
    net: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"features.0.weight": Harmful()}, tmp_path / f"{NETWORKS[net]}.pth")
    torch.save(head_state(net), tmp_path / f"{net}.pth")
    with pytest.raises(UnavailableError, match="cannot read a file of weights"):
        measured(net, tmp_path, pair())
    assert not (tmp_path / "harmed").exists()


def test_a_spec_names_it() -> None:
    metric = parse_spec("lpips:squeeze?region=outside&against=source", "metric").create("metric")
    assert isinstance(metric, LpipsMetric)
    assert metric.name == "lpips_outside"
    assert metric.needs == {"edited", "source", "mask"}
