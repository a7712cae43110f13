import errno
import json
import math
from dataclasses import dataclass
from shutil import which
from typing import ClassVar

import numpy as np
import pytest
import torch
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.upsampling import Upsample2D
from torch import distributed, nn

from editloop.errors import StoreError, TrainingError, UnavailableError
from editloop.models.sampling import noise_like
from editloop.training import checkpoints
from editloop.training.loop import METRICS, train
from editloop.training.schedule import Optimiser, Schedule, is_longer, is_lower_rate, learning_rate
from editloop.training.state import TrainingState
from editloop.training.trained import Checkpoint, best_of

TRUTH = torch.tensor([[1.0, -2.0, 0.5]])


@dataclass
class Examples:
    samples: np.ndarray
    inputs: torch.Tensor
    noise: torch.Tensor

    def __len__(self) -> int:
        return len(self.samples)

    def part(self, start, stop):
        own = slice(start, stop)
        return Examples(self.samples[own], self.inputs[own], self.noise[own])


class Regression:
    """Learn a linear map from noisy examples; stops at a step if asked."""

    def __init__(self, samples=50, stop_at=None, spoil_at=None) -> None:
        self.samples = samples
        self.stop_at = stop_at
        self.spoil_at = spoil_at
        self.calls = 0
        self.seen = []

    @property
    def buckets(self):
        return (np.arange(self.samples),)

    def batch(self, samples, seeds):
        drawn = noise_like(torch.empty(len(samples), 4), seeds)
        return Examples(samples, drawn[:, :3], 0.1 * drawn[:, 3:])

    def loss(self, network, batch):
        if self.calls == self.stop_at:
            raise KeyboardInterrupt
        self.calls += 1
        self.seen.append(batch.samples.tolist())
        loss = (network(batch.inputs) - batch.inputs @ TRUTH.T - batch.noise).square().mean()
        return loss * math.nan if self.calls == self.spoil_at else loss

    def validate(self, network, _step):
        with torch.no_grad():
            return (network.weight - TRUTH).square().mean().item()


def network():
    torch.manual_seed(0)
    return nn.Linear(3, 1, bias=False)


def plan(**changes):
    usual = {
        "steps": 25,
        "batch": 4,
        "learning_rate": 0.05,
        "seed": 1,
        "checkpoint_every": 5,
        "log_every": 2,
    }
    return Schedule("tiny", **{**usual, **changes})


def lines(folder):
    return [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]


def trained(folder, task=None, **changes):
    made = network()
    return made, train(made, task or Regression(), plan(**changes), folder)


@pytest.mark.slow
def test_it_learns(tmp_path) -> None:
    made, result = trained(tmp_path, steps=300)
    assert torch.allclose(made.weight, TRUTH, atol=0.1)
    assert result.validation_loss == (made.weight - TRUTH).square().mean().item()


@pytest.mark.slow
@pytest.mark.parametrize("stop", [0, 1, 4, 5, 6, 13, 20, 24])
def test_stopped_anywhere_and_resumed_it_ends_with_the_same_bits(tmp_path, stop) -> None:
    whole, result = trained(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "parts", Regression(stop_at=stop))
    again, resumed = trained(tmp_path / "parts")
    assert torch.equal(again.weight, whole.weight)
    assert (resumed.loss, resumed.validation_loss) == (result.loss, result.validation_loss)
    assert lines(tmp_path / "parts") == lines(tmp_path / "whole")
    ended = [
        checkpoints.load_newest(tmp_path / each / "checkpoints") for each in ("whole", "parts")
    ]
    assert equal(*ended)


def equal(one, other) -> bool:
    """Return whether two nested mappings, lists and tensors are bit-identical."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


def test_a_resumed_training_goes_on_at_the_checkpoint(tmp_path) -> None:
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, Regression(stop_at=13))
    task = Regression()
    _, result = trained(tmp_path, task)
    assert result.steps == len(task.seen) == 25 - 10


def test_a_finished_training_is_not_trained_again(tmp_path) -> None:
    whole, result = trained(tmp_path)
    again, found = trained(tmp_path, Regression(stop_at=0))
    assert torch.equal(again.weight, whole.weight)
    assert (found.loss, found.validation_loss, found.steps) == (
        result.loss,
        result.validation_loss,
        0,
    )


def test_a_line_that_a_crash_left_half_is_forgotten(tmp_path) -> None:
    trained(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "parts", Regression(stop_at=8))
    with (tmp_path / "parts" / METRICS).open("a") as file:
        file.write('{"step": 8, "lo')
    trained(tmp_path / "parts")
    assert lines(tmp_path / "parts") == lines(tmp_path / "whole")


def test_metrics_hold_each_loss_once_and_no_times(tmp_path) -> None:
    trained(tmp_path)
    written = lines(tmp_path)
    assert [line["step"] for line in written][:8] == [2, 4, 5, 6, 8, 10, 12, 14]
    assert {key for line in written for key in line} == {"step", "loss", "validation_loss"}
    assert [line["step"] for line in written if "validation_loss" in line] == [5, 10, 15, 20, 25]


def test_only_the_newest_checkpoints_stay(tmp_path) -> None:
    trained(tmp_path)
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-00000020.pt", "step-00000025.pt"]


def test_the_network_ends_with_its_average_not_its_last_weights(tmp_path) -> None:
    made, _ = trained(tmp_path)
    state = checkpoints.load_newest(tmp_path / "checkpoints")
    assert torch.equal(made.weight, state["average"]["shadow_params"][0])
    assert not torch.equal(made.weight, state["network"]["weight"])


def test_a_batch_in_parts_makes_the_same_step(tmp_path) -> None:
    whole, result = trained(tmp_path / "whole", batch=6)
    parts, again = trained(tmp_path / "parts", batch=6, micro=4)
    assert torch.allclose(whole.weight, parts.weight, atol=1e-6)
    assert again.loss == pytest.approx(result.loss, rel=1e-5)


def test_without_an_average_the_last_weights_stay(tmp_path) -> None:
    made, _ = trained(tmp_path, average=None)
    state = checkpoints.load_newest(tmp_path / "checkpoints")
    assert torch.equal(made.weight, state["network"]["weight"])
    assert "average" not in state


def test_what_needs_no_gradient_is_neither_trained_nor_kept(tmp_path) -> None:
    made = nn.Sequential(nn.Linear(3, 3, bias=False), network())
    made[0].requires_grad_(False)
    before = made[0].weight.clone()
    task = type("Task", (Regression,), {"validate": lambda *_: None})
    train(made, task(), plan(), tmp_path)
    assert torch.equal(made[0].weight, before)
    assert list(checkpoints.load_newest(tmp_path / "checkpoints")["network"]) == ["1.weight"]


def test_dropout_inside_a_network_resumes_to_the_bit(tmp_path) -> None:
    def dropping():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1))

    whole, parts, again = dropping(), dropping(), dropping()
    task = type("Task", (Regression,), {"validate": lambda *_: None})
    train(whole, task(), plan(), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(parts, task(stop_at=13), plan(), tmp_path / "parts")
    train(again, task(), plan(), tmp_path / "parts")
    assert all(map(torch.equal, whole.parameters(), again.parameters()))


def test_a_tracker_that_is_not_installed_is_named(tmp_path) -> None:
    with pytest.raises(UnavailableError, match="pip install no_such_tracker"):
        trained(tmp_path, trackers=("no_such_tracker",))


def test_trackers_end_with_a_training_but_its_process_group_does_not(tmp_path, monkeypatch) -> None:
    class Tracker(GeneralTracker):
        name = "json"  # a module that is there
        requires_logging_directory = False
        main_process_only = False
        tracker = None
        told: ClassVar[list] = []

        def __init__(self, _run, **_settings) -> None:
            super().__init__()

        def log(self, values, step, **_settings) -> None:
            self.told.append((step, sorted(values)))

        def finish(self) -> None:
            self.told.append("finished")

    monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, "json", Tracker)
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        trained(tmp_path, trackers=("json",))
        assert distributed.is_initialized()
    finally:
        distributed.destroy_process_group()
    assert Tracker.told[-1] == "finished"
    assert Tracker.told[-2] == (plan().steps, ["loss", "validation_loss"])


def test_8_bit_adam_without_its_package_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("editloop.training.schedule.find_spec", lambda _name: None)
    with pytest.raises(UnavailableError, match="pip install bitsandbytes"):
        trained(tmp_path, optimiser=Optimiser("adamw-8bit"))


def test_8_bit_adam_resumes_to_the_bit(tmp_path) -> None:
    pytest.importorskip("bitsandbytes")  # an optional extra

    def wide():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 2048), nn.Linear(2048, 1))

    whole, parts, again = wide(), wide(), wide()
    task = type("Task", (Regression,), {"validate": lambda *_: None})
    settings = plan(optimiser=Optimiser("adamw-8bit"), learning_rate=0.001)
    train(whole, task(), settings, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(parts, task(stop_at=13), settings, tmp_path / "parts")
    train(again, task(), settings, tmp_path / "parts")
    assert all(map(torch.equal, whole.parameters(), again.parameters()))
    state = checkpoints.load_newest(tmp_path / "whole" / "checkpoints")
    assert "torch.uint8" in str(state["optimiser"]["state"]["0.weight"])


class Enlarging(nn.Module):
    """A UNet-like upsampling path with a skip connection, from three numbers as a picture.

    It is the smallest network whose gradients are lost by torch's default compilation for CPUs.
    """

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.begun = nn.Linear(3, 8)
        self.small = ResnetBlock2D(in_channels=8, out_channels=8, temb_channels=32, groups=4)
        self.larger = Upsample2D(8, use_conv=True)
        self.large = ResnetBlock2D(in_channels=16, out_channels=8, temb_channels=32, groups=4)

    def forward(self, inputs):
        picture = self.begun(inputs)[:, :, None, None].expand(-1, -1, 2, 2)
        time = inputs.new_zeros(len(inputs), 32)
        large = self.larger(self.small(picture, time), (4, 4))
        joined = torch.cat([large, large.detach()], 1)
        return self.large(joined, time).square().mean((1, 2, 3))[:, None]


class Unwatched(Regression):
    def validate(self, _network, _step):
        return None


compiling = pytest.mark.skipif(
    which("c++") is None and which("g++") is None,
    reason="torch compiles with a C++ compiler, and there is none",
)


@pytest.mark.slow
@compiling
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler, of torch itself
def test_compiled_it_learns_the_same_but_for_rounding(tmp_path) -> None:
    usual, made = Enlarging(), Enlarging()
    train(usual, Unwatched(), plan(steps=2), tmp_path / "usual")
    train(made, Unwatched(), plan(steps=2, compile=True), tmp_path / "made")
    for one, other in zip(usual.parameters(), made.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-4)
    kept = checkpoints.load_newest(tmp_path / "made" / "checkpoints")
    assert kept["network"].keys() == usual.state_dict().keys()


@pytest.mark.slow
@compiling
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler, of torch itself
def test_compiled_and_resumed_it_ends_with_the_same_bits(tmp_path) -> None:
    steps = plan(steps=3, checkpoint_every=1, compile=True)
    whole, stopped, resumed = Enlarging(), Enlarging(), Enlarging()
    train(whole, Unwatched(), steps, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(stopped, Unwatched(stop_at=2), steps, tmp_path / "parts")
    train(resumed, Unwatched(), steps, tmp_path / "parts")
    assert equal(whole.state_dict(), resumed.state_dict())
    assert not equal(whole.state_dict(), stopped.state_dict())


def test_only_a_lower_rate_lets_a_training_go_on() -> None:
    before = {"learning_rate": 1e-4, "steps": 3}
    assert is_lower_rate(before, {"learning_rate": 5e-5, "steps": 3})
    assert not is_lower_rate(before, {"learning_rate": 1e-4, "steps": 3})
    assert not is_lower_rate(before, {"learning_rate": 2e-4, "steps": 3})
    assert not is_lower_rate(before, {"learning_rate": 5e-5, "steps": 4})


def test_more_steps_let_a_training_go_on_and_fewer_are_refused() -> None:
    before = {"learning_rate": 1e-4, "steps": 3}
    assert is_longer(before, {"learning_rate": 1e-4, "steps": 4})
    assert is_longer(before, {"learning_rate": 5e-5, "steps": 4})
    assert not is_longer(before, {"learning_rate": 2e-4, "steps": 4})
    assert not is_longer(before, {"learning_rate": 1e-4, "steps": 4, "batch": 2})
    assert not is_longer(before, before)
    assert not is_longer(before, {"learning_rate": 5e-5, "steps": 2})
    with pytest.raises(TrainingError, match="steps: 3 -> 2"):
        is_longer(before, {"learning_rate": 1e-4, "steps": 2})


def files_in(folder):
    paths = (folder / "checkpoints").iterdir()
    return {path.name: torch.load(path, weights_only=True) for path in paths}


@pytest.mark.slow
@pytest.mark.parametrize("keep", [1, 2, 4])
def test_made_longer_it_ends_as_if_asked_for_at_once(tmp_path, keep) -> None:
    steady = {"schedule": "constant", "keep": keep}
    whole, result = trained(tmp_path / "whole", steps=25, **steady)
    trained(tmp_path / "parts", steps=10, **steady)
    checkpoints.trim(tmp_path / "parts" / "checkpoints")
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "parts", Regression(stop_at=7), steps=25, **steady)
    task = Regression()
    again, longer = trained(tmp_path / "parts", task, steps=25, **steady)
    assert len(task.seen) == 10
    assert torch.equal(again.weight, whole.weight)
    assert longer.checkpoints == result.checkpoints
    assert longer.cosines == ()
    assert equal(files_in(tmp_path / "parts"), files_in(tmp_path / "whole"))
    assert lines(tmp_path / "parts") == lines(tmp_path / "whole")


def test_the_end_of_the_shorter_one_may_lie_between_checkpoints(tmp_path) -> None:
    whole, _ = trained(tmp_path / "whole", steps=25, schedule="constant")
    trained(tmp_path / "parts", steps=7, schedule="constant")
    again, _ = trained(tmp_path / "parts", steps=25, schedule="constant")
    assert torch.equal(again.weight, whole.weight)
    steps = [[line["step"] for line in lines(tmp_path / each)] for each in ("parts", "whole")]
    assert sorted({*steps[1], 7}) == steps[0]


def test_of_a_longer_cosine_it_is_told_what_differs(tmp_path, capsys) -> None:
    whole, result = trained(tmp_path / "whole")
    assert result.cosines == ((0, 25),)
    trained(tmp_path / "parts", steps=10)
    capsys.readouterr()
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "parts", Regression(stop_at=8))
    assert "from step 10 on, the learning rate follows the cosine of 25" in capsys.readouterr().err
    again, longer = trained(tmp_path / "parts")
    assert capsys.readouterr().err == ""
    assert longer.cosines == ((0, 10), (10, 25))
    assert not torch.equal(again.weight, whole.weight)
    told = {line["step"]: line["cosine_steps"] for line in lines(tmp_path / "parts")[6:7]}
    assert told == {12: 25}
    assert sum("cosine_steps" in line for line in lines(tmp_path / "parts")) == 1


class Overfitting(Regression):
    """A task whose validation is best at step 10."""

    def validate(self, _network, step):
        return abs(step - 10) + 1.0


@pytest.mark.parametrize("stop", [None, 12, 17, 22])
def test_the_best_checkpoint_is_kept_beside_the_last(tmp_path, stop) -> None:
    short, _ = trained(tmp_path / "short", steps=10, schedule="constant")
    if stop is not None:
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "run", Overfitting(stop_at=stop), schedule="constant")
    _, result = trained(tmp_path / "run", Overfitting(), schedule="constant")
    folder = tmp_path / "run" / "checkpoints"
    assert [(each.step, each.validation_loss) for each in result.checkpoints] == [
        (10, 1.0),
        (20, 11.0),
        (25, 16.0),
    ]
    assert best_of(result.checkpoints) == result.checkpoints[0]
    (average,) = checkpoints.load_weights(folder, 10)["average"]["shadow_params"]
    assert torch.equal(average, short.weight)
    names = ["step-00000010.weights.pt", "step-00000020.pt", "step-00000025.pt"]
    assert sorted(files_in(tmp_path / "run")) == names
    checkpoints.trim(folder)
    assert sorted(files_in(tmp_path / "run")) == [names[0], names[1][:-3] + ".weights.pt", names[2]]
    assert checkpoints.kept_steps(folder) == [10, 20, 25]


def test_of_equal_checkpoints_the_first_is_the_best_and_without_validation_none() -> None:
    made = [Checkpoint(step, 1.0, loss) for step, loss in ((5, None), (10, 2.0), (15, 2.0))]
    assert best_of(made).step == 10
    assert best_of(made[:1]) is None


def test_a_constant_rate_stays() -> None:
    steady = plan(steps=100, learning_rate=1.0, schedule="constant", warm_up=0)
    assert {learning_rate(steady, step) for step in range(100)} == {1.0}


def test_the_learning_rate_rises_then_falls_to_nothing() -> None:
    long = plan(steps=1000, learning_rate=1.0)
    rates = [learning_rate(long, step) for step in range(1000)]
    assert rates[0] == pytest.approx(1 / 50)
    assert max(rates) == pytest.approx(1.0, abs=0.02)
    assert rates[500] == pytest.approx(0.5)
    assert rates[-1] < 1e-5
    assert np.argmax(rates) in range(40, 60)


class Spoiled(Regression):
    """A task in which something becomes NaN or infinite at a step: loss, gradient or validation."""

    def __init__(self, what, step) -> None:
        super().__init__(spoil_at=step if what == "the loss" else None)
        self.what, self.step = what, step

    def loss(self, network, batch):
        loss = super().loss(network, batch)
        if self.what == "the gradient" and self.calls == self.step:
            return loss + (0 * network.weight).sqrt().sum()  # finite, with an infinite slope
        return loss

    def validate(self, network, step):
        if self.what == "the validation loss" and step >= self.step:
            return math.inf
        return super().validate(network, step)


@pytest.mark.parametrize("step", [7, 9, 10])
@pytest.mark.parametrize("what", ["the loss", "the gradient", "the validation loss"])
def test_what_is_not_finite_stops_the_training_and_is_not_saved(tmp_path, what, step) -> None:
    told = 10 if what == "the validation loss" else step
    with pytest.raises(TrainingError, match=rf"{what} became NaN .*: step {told}\n"):
        trained(tmp_path, Spoiled(what, step))
    assert [each.name for each in (tmp_path / "checkpoints").iterdir()] == ["step-00000005.pt"]
    text = (tmp_path / METRICS).read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    assert lines(tmp_path)[2]["step"] == 5


@pytest.mark.parametrize("part", ["the weights", "the average", "the moments"])
def test_a_state_that_is_not_finite_is_not_saved(tmp_path, monkeypatch, part) -> None:
    def spoiled(self):
        spoil = {
            "the weights": self._network.weight,
            "the average": self._average.shadow_params[0],
            "the moments": next(iter(self._optimiser.state.values()))["exp_avg"],
        }[part]
        spoil.data[0, 1] = math.inf
        return usual(self)

    usual = TrainingState.finite
    monkeypatch.setattr(TrainingState, "finite", spoiled)
    with pytest.raises(TrainingError, match=f"{part} became NaN or infinite"):
        trained(tmp_path)
    assert not (tmp_path / "checkpoints").exists()


def test_a_training_goes_on_from_its_last_good_checkpoint_at_a_lower_rate(tmp_path) -> None:
    with pytest.raises(TrainingError, match="it goes on from the last checkpoint"):
        trained(tmp_path, Spoiled("the gradient", 12))
    _, result = trained(tmp_path, learning_rate=0.01)
    assert result.learning_rates == ((0, 0.05), (10, 0.01))
    assert result.steps == 15
    _, again = trained(tmp_path, learning_rate=0.01)
    assert again.learning_rates == result.learning_rates


def test_a_checkpoint_that_is_not_finite_is_passed_over_and_then_removed(tmp_path, capsys) -> None:
    whole, _ = trained(tmp_path / "whole", steps=30)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "parts", Regression(stop_at=22), steps=30)
    folder = tmp_path / "parts" / "checkpoints"
    state = torch.load(folder / "step-00000020.pt", weights_only=True)
    state["average"]["shadow_params"][0][0, 1] = math.nan
    torch.save(state, folder / "step-00000020.pt")
    again, result = trained(tmp_path / "parts", steps=30, keep=1)
    assert "step 20 contains NaN" in capsys.readouterr().err
    assert result.steps == 15
    assert torch.equal(again.weight, whole.weight)
    assert [each.name for each in folder.iterdir()] == ["step-00000030.pt"]


def test_checkpoints_none_of_which_is_finite_are_refused(tmp_path) -> None:
    trained(tmp_path)
    for path in (tmp_path / "checkpoints").iterdir():
        state = torch.load(path, weights_only=True)
        state["network"]["weight"][0, 0] = -math.inf
        torch.save(state, path)
    with pytest.raises(TrainingError, match=r"(?s)every checkpoint .*remove this folder"):
        trained(tmp_path)


def test_metrics_of_older_versions_with_nan_are_rewritten_as_json(tmp_path) -> None:
    trained(tmp_path)
    text = (tmp_path / METRICS).read_text()
    (tmp_path / METRICS).write_text(
        text.replace('"validation_loss": ', '"validation_loss": NaN, "x": ')
    )
    trained(tmp_path)
    assert "NaN" not in (tmp_path / METRICS).read_text()


@pytest.mark.parametrize("left", [b"", b"PK", b"no checkpoint at all"], ids=str)
def test_a_broken_checkpoint_is_named(tmp_path, left) -> None:
    trained(tmp_path)
    path = tmp_path / "checkpoints" / "step-00000025.pt"
    path.write_bytes(left or path.read_bytes()[:100])
    with pytest.raises(TrainingError, match="step-00000025"):
        trained(tmp_path)


def test_a_disk_that_fills_under_a_checkpoint_is_told(tmp_path, monkeypatch) -> None:
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints.Files, "write", full)
    with pytest.raises(StoreError, match=r"No space left(.|\n)*free some disk space"):
        checkpoints.save(tmp_path, 1, {"weights": torch.zeros(2**19)}, keep=1)
    assert checkpoints.load_newest(tmp_path) is None


def test_a_folder_that_cannot_be_written_is_explained(tmp_path) -> None:
    (tmp_path / "checkpoints").write_text("a file where a folder should be")
    with pytest.raises(StoreError, match="checkpoints"):
        trained(tmp_path)
