"""A model's folder never runs code: what names code is refused, without a question."""

import ast
import builtins
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers
from diffusers import StableDiffusionInstructPix2PixPipeline

from editloop.errors import RecipeError
from editloop.hub import weights
from editloop.hub.pretrained import load_pretrained
from editloop.metrics.encoders import ImageModel
from editloop.metrics.networks import Tokens, load
from editloop.models.pipeline_loading import load_pipeline
from editloop.models.saving import load_model, save_model
from editloop.registry import parse_spec
from networks import pocket
from tiny_encoders import save_clip
from tiny_pipelines import save_instruct_pix2pix

SOURCE = Path(__file__).parents[2] / "src" / "editloop"


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that exists once foreign code ran; every question at the terminal is a failure."""

    def asked(*_: object) -> str:
        pytest.fail("the terminal was asked")

    monkeypatch.setattr(builtins, "input", asked)
    return tmp_path / "ran"


def with_code(folder: Path, ran: Path, config: str, change: dict[str, Any]) -> Path:
    """Let a configuration of a model's folder name code, which lies beside it."""
    path = folder / config
    path.parent.mkdir(parents=True, exist_ok=True)
    content = json.loads(path.read_bytes()) if path.exists() else {}
    path.write_text(json.dumps({**content, **change}))
    code = f"open({str(ran)!r}, 'w').close()\nclass Own: pass\n"
    for place in (folder, path.parent, *(folder / key for key in change)):
        if place.is_dir():
            (place / "own_code.py").write_text(code)
    return folder


AUTO_MAP = {"auto_map": dict.fromkeys(("AutoConfig", "AutoModel"), "own_code.Own")}
TOKENIZER = {"auto_map": {"AutoTokenizer": [None, "own_code.Own"]}}
PROCESSOR = {"auto_map": {"AutoProcessor": "own_code.Own", "AutoImageProcessor": "own_code.Own"}}
CASES = {
    "text_encoder/config.json": AUTO_MAP,
    "tokenizer/tokenizer_config.json": TOKENIZER,
    "unet/config.json": AUTO_MAP,
    "vae/config.json": AUTO_MAP,
    "feature_extractor/preprocessor_config.json": PROCESSOR,
    "processor_config.json": PROCESSOR,
    "image_encoder/config.json": {"vision_config": AUTO_MAP},
    "safety_checker/config.json": {"_attn_implementation": "somebody/kernel"},
    "config.json": {"custom_pipelines": {"edit": {"impl": "own_code.Own"}}},
}
INDICES = {
    "a part": {"unet": ["own_code", "Own"]},
    "a loaded module": {"scheduler": ["subprocess", "Popen"]},
    "a part outside": {"../unet": ["diffusers", "UNet2DConditionModel"]},
    "the pipeline": {"_class_name": ["own_code", "Own"]},
}


def refused(call: Callable[[], object], ran: Path) -> None:
    with pytest.raises(RecipeError, match="asks to run code that it names, which is never done"):
        call()
    assert not ran.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "change"),
    [*CASES.items(), *(("model_index.json", change) for change in INDICES.values())],
    ids=[*CASES, *INDICES],
)
def test_a_pipeline_that_names_code_is_refused_everywhere(
    tmp_path: Path, ran: Path, config: str, change: dict[str, Any]
) -> None:
    folder = save_instruct_pix2pix(tmp_path / "model")
    weights.find(str(folder))
    with_code(folder, ran, config, change)
    refused(lambda: weights.find(str(folder)), ran)
    made = StableDiffusionInstructPix2PixPipeline
    refused(lambda: load_pipeline(made, folder, "fp32"), ran)
    refused(lambda: parse_spec(str(folder), "editor").create("editor").fingerprint, ran)


@pytest.mark.parametrize(
    ("config", "change"), [("config.json", AUTO_MAP), ("tokenizer_config.json", TOKENIZER)]
)
def test_an_encoder_that_names_code_is_refused(
    tmp_path: Path, ran: Path, config: str, change: dict[str, Any]
) -> None:
    model = ImageModel(str(with_code(save_clip(tmp_path / "clip"), ran, config, change)))
    refused(lambda: load(model), ran)
    refused(lambda: Tokens(model), ran)


def test_a_pocket_model_that_names_code_is_refused(tmp_path: Path, ran: Path) -> None:
    folder = tmp_path / "model"
    save_model(pocket(), folder, {})
    with_code(folder, ran, "tokenizer/tokenizer_config.json", TOKENIZER)
    refused(lambda: load_model(folder), ran)


@pytest.mark.usefixtures("ran")
def test_an_automatic_class_loads_plain_files_without_a_question(tmp_path: Path) -> None:
    folder = save_clip(tmp_path)
    for made in (transformers.AutoModel, transformers.AutoConfig, transformers.AutoTokenizer):
        assert load_pretrained(made, folder) is not None


def test_a_safety_checker_of_diffusers_is_no_code(tmp_path: Path) -> None:
    folder = save_instruct_pix2pix(tmp_path)
    index = json.loads((folder / "model_index.json").read_bytes())
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    (folder / "model_index.json").write_text(json.dumps(index))
    assert load_pipeline(StableDiffusionInstructPix2PixPipeline, folder, "fp32") is not None


@pytest.mark.slow
def test_there_is_one_loader() -> None:
    """Every other call of `from_pretrained` could run a folder's code."""
    calls = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "from_pretrained"
    }
    assert calls == {"hub/pretrained.py"}
