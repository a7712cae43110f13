"""The registry of kinds and their classes: built-in ones in a table, plug-ins by entry point.

A class of a kind has a `Settings` model (an `editloop.settings.Settings`) and takes an instance of
it; a class without settings takes no arguments. Classes are imported on first use, so listing kinds
is cheap. A user's own class is imported only where the user names it: one that a run's records name
(`recorded`) may be somebody else's, and is refused. A plug-in package declares, for example,
`[project.entry-points."editloop.source"] mine = "my_package:MySource"`.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from editloop.errors import RecipeError, known_names
from editloop.schema import Json
from editloop.settings import Settings, read_yaml, validate

__all__ = ["Spec", "create", "kinds", "load", "parse_spec", "recorded", "settings_of"]

# group -> kind -> "module:class". The groups are the lists of a recipe, and the kinds of SPECs.
BUILT_IN: dict[str, dict[str, str]] = {
    "source": {
        "photos": "editloop.sources.photos:PhotosSource",
        "folder": "editloop.sources.folder:FolderSource",
        "layout": "editloop.sources.layout_source:LayoutSource",
        "captions": "editloop.sources.text_lists:CaptionsSource",
        "triplets": "editloop.sources.text_lists:TripletsSource",
    },
    "build": {
        "contamination": "editloop.sources.contamination:ContaminationStep",
        "inverse-edits": "editloop.sources.inverse:InverseEdits",
        "darkroom": "editloop.darkroom.step:DarkroomStep",
        "edit": "editloop.editors.step:EditStep",
        "filter": "editloop.filters.filter_step:FilterStep",
        "gather": "editloop.kernel.gather:GatherStep",
        "judge": "editloop.judges.step:JudgeStep",
        "mend": "editloop.quality.lint.mend_step:MendStep",
        "register": "editloop.filters.register_step:RegisterStep",
        "retry-end": "editloop.kernel.retry_steps:RetryEnd",
        "retry-step": "editloop.kernel.retry_steps:RetryStep",
        "anchored": "editloop.generation.anchored:Anchored",
        "backward-check": "editloop.generation.rewriting:BackwardCheck",
        "edit-type": "editloop.generation.edit_type:EditTypeStep",
        "best": "editloop.generation.choosing:Best",
        "compose": "editloop.generation.composing:Compose",
        "expand": "editloop.generation.expanding:Expand",
        "instruct-from-captions": "editloop.generation.from_captions:InstructFromCaptions",
        "instruct-from-picture": "editloop.generation.from_pictures:InstructFromPicture",
        "inverse": "editloop.generation.rewriting:Inverse",
        "moderate": "editloop.generation.moderating:Moderate",
        "picture": "editloop.generation.picturing:PictureStep",
        "prompt-to-prompt": "editloop.generation.prompt_to_prompt:PromptToPrompt",
        "recaption": "editloop.generation.rewriting:Recaption",
        "revise": "editloop.generation.revising:Revise",
        "rewrite": "editloop.generation.rewriting:Rewrite",
        "verify": "editloop.generation.verifying:Verify",
    },
    "judge": {
        "metric": "editloop.judges.metric:MetricJudge",
        "metric-clip": "editloop.judges.metric_clip:MetricClipJudge",
        "panel": "editloop.judges.panel:PanelJudge",
        "preference": "editloop.judges.pairwise:PairwiseJudge",
        "recorded": "editloop.judges.recorded:RecordedJudge",
        "reward-edit": "editloop.judges.reward_edit:RewardEditJudge",
        "truth": "editloop.judges.truth:TruthJudge",
        "vlm": "editloop.judges.vlm:VlmJudge",
    },
    "train": {
        "diffusion": "editloop.training.diffusion:DiffusionTraining",
        "pocket": "editloop.training.pocket:PocketTraining",
    },
    "evaluate": {
        "contamination": "editloop.sources.contaminated:ContaminationCount",
        "darkroom": "editloop.evaluation.darkroom.benchmark:DarkroomBenchmark",
        "protocol": "editloop.evaluation.protocol.benchmark:ProtocolBenchmark",
        "rewards": "editloop.quality.rewards.statistics:RewardStatistics",
    },
    "editor": {
        "copy": "editloop.editors.copying:CopyEditor",
        "darkroom": "editloop.editors.darkroom:DarkroomEditor",
        "diffedit": "editloop.editors.diffedit:DiffEditEditor",
        "diffusion": "editloop.editors.diffusion:DiffusionEditor",
        "flux-kontext": "editloop.editors.flux_kontext:FluxKontextEditor",
        "images": "editloop.editors.images_api:ImagesEditor",
        "inpaint": "editloop.editors.inpainting:InpaintEditor",
        "ledits++": "editloop.editors.leditspp:LeditsEditor",
        "null-text": "editloop.editors.null_text:NullTextEditor",
        "qwen-image-edit": "editloop.editors.qwen_image_edit:QwenImageEditEditor",
        "recorded": "editloop.editors.recorded:RecordedEditor",
        "sdedit": "editloop.editors.sdedit:SDEditEditor",
    },
    "generator": {
        "images": "editloop.generation.images_api:ImagesGenerator",
        "text-to-image": "editloop.generation.text_to_image:TextToImageGenerator",
    },
    "metric": {
        "clip": "editloop.metrics.clip:ClipMetric",
        "dino": "editloop.metrics.dino:DinoMetric",
        "dinov2": "editloop.metrics.dino:Dinov2Metric",
        "lpips": "editloop.metrics.lpips:LpipsMetric",
        "pixels": "editloop.metrics.pixels:PixelMetric",
        "structure": "editloop.metrics.structure:StructureMetric",
    },
    "engine": {
        "in-process": "editloop.kernel.engines.in_process:InProcessEngine",
        "processes": "editloop.kernel.engines.processes:LocalProcessEngine",
        "ranks": "editloop.kernel.engines.ranks:RankEngine",
        "ray": "editloop.kernel.engines.ray:RayEngine",
        "threads": "editloop.kernel.engines.threads:ThreadEngine",
    },
    "report": {"html": "editloop.evaluation.report.html:HtmlReport"},
}

_RECORDED: ContextVar[bool] = ContextVar("recorded", default=False)
_NAME = re.compile(r"[\w.+-]+")
_FILES = (".safetensors", ".ckpt")  # suffixes of single-file models


def kinds(group: str) -> list[str]:
    """Return the kinds of a group, both built-in and from plug-ins."""
    return sorted({*BUILT_IN[group], *(point.name for point in _plugged(group))})


@contextmanager
def recorded() -> Iterator[None]:
    """Refuse users' own classes while kinds come from a run's records, which others may have made.

    Kinds of this package and of installed plug-ins are loaded as ever.
    """
    token = _RECORDED.set(True)
    try:
        yield
    finally:
        _RECORDED.reset(token)


def load(group: str, kind: str) -> Any:
    """Return the class of a kind; a user's own is `module:Class`, or `python:module:Class`."""
    path = BUILT_IN[group].get(kind)
    if path is None and ":" in kind:
        path = kind.removeprefix("python:")
        _refuse_recorded(group, path)
    if path is None:
        path = next((point.value for point in _plugged(group) if point.name == kind), None)
    if path is None:
        folder = ", and there is no folder of that name" if group == "editor" else ""
        fix = known_names(kind, kinds(group))
        raise RecipeError(f"unknown {group} kind{folder}", value=kind, fix=fix)
    return _import(path)


def _refuse_recorded(group: str, path: str) -> None:
    known = {*BUILT_IN[group].values(), *(point.value for point in _plugged(group))}
    if _RECORDED.get() and path not in known:
        raise RecipeError(
            f"a recorded {group} kind is neither of this package nor of an installed plug-in: "
            "its code is not run",
            value=path,
            fix="if you trust it, name it yourself: give your own recipe that has it",
        )


def settings_of(group: str, kind: str) -> type[Settings]:
    """Return the `Settings` model of a kind; a model without keys if its class has none."""
    model: type[Settings] = getattr(load(group, kind), "Settings", Settings)
    return model


def create(group: str, kind: str, settings: Mapping[str, Json], *, where: str = "") -> Any:
    """Create an object of a kind from validated settings; `where` is their place in errors."""
    made = load(group, kind)
    where = where or f"{group} {kind}"
    if not hasattr(made, "Settings"):
        if settings:
            raise RecipeError(
                "this class takes no settings", value=where, fix="remove the settings"
            )
        return _without_settings(made, where)
    model: type[Settings] = made.Settings
    return made(validate(model, settings, where=where))


def _without_settings(made: type, where: str) -> Any:
    """Create an object of a class without settings."""
    try:
        inspect.signature(made).bind()
    except ValueError:  # classes written in C have no signature
        pass
    except TypeError as error:
        raise RecipeError(
            "a class without `Settings` must take no arguments",
            value=where,
            fix="add a `Settings` (an editloop.settings.Settings), or remove its arguments "
            f"({error})",
        ) from error
    return made()


@dataclass(frozen=True, slots=True)
class Spec:
    """An editor, judge or metric given by a user: `[NAME=]KIND[:TARGET][?key=value&...]`."""

    name: str
    kind: str
    settings: Mapping[str, Json] = field(default_factory=dict)

    def create(self, group: str) -> Any:
        """Create the object that this SPEC describes."""
        return create(group, self.kind, self.settings, where=f"{group} {self.name}")


def parse_spec(spec: str | Mapping[str, Json], group: str) -> Spec:
    """Parse the short form (text) or the long form (a mapping with `kind`) of a SPEC.

    A bare folder, hub name (`owner/name`) or model file is an editor of kind `diffusion`; a YAML
    file name stands for the long form in that file. The value `null` stands for none.
    """
    if not isinstance(spec, str):
        return _from_mapping(spec)
    body, _, query = spec.partition("?")
    name, separator, rest = body.partition("=")
    if not separator or not _NAME.fullmatch(name):
        name, rest = "", body
    settings: dict[str, Json] = {}
    for pair in filter(None, query.split("&")):
        key, equals, value = pair.partition("=")
        if not equals:
            raise RecipeError("a SPEC's setting has no value", value=pair, fix=f"write {key}=VALUE")
        settings[key] = None if value == "null" else value
    if Path(rest).suffix in (".yaml", ".yml"):
        return _from_file(Path(rest), name, settings)
    kind, _, target = rest.partition(":")
    if group == "editor" and kind not in BUILT_IN[group] and _is_model(rest):
        kind, target = "diffusion", rest
    if not kind:
        raise RecipeError("a SPEC has no kind", value=spec, fix="write KIND[:TARGET][?key=value]")
    if kind == "python":
        kind, target = target, ""
    elif "." in kind and kind.replace(".", "").isidentifier() and target.isidentifier():
        kind, target = f"{kind}:{target}", ""
    own = {"target": target} if target else {}
    return Spec(name or rest, kind, {**own, **settings})


def _from_file(path: Path, name: str, settings: Mapping[str, Json]) -> Spec:
    """Read the long form from a YAML file; the SPEC's own settings override it."""
    content = {"name": path.stem, **read_yaml(path.expanduser()), **settings}
    return _from_mapping({**content, "name": name} if name else content)


def _from_mapping(spec: Mapping[str, Json]) -> Spec:
    if not isinstance(spec.get("kind"), str):
        raise RecipeError("a SPEC has no kind", value=dict(spec), fix="add `kind: ...`")
    settings = {key: value for key, value in spec.items() if key not in ("kind", "name")}
    return Spec(str(spec.get("name", spec["kind"])), spec["kind"], settings)


def _is_model(text: str) -> bool:
    """Return whether text without a known kind is a model's folder, hub name or file.

    The model may be missing; the editor reports that.
    """
    front = text.partition(":")[0]
    return "/" in front or front.endswith(_FILES) or bool(text and Path(text).is_dir())


def _plugged(group: str) -> list[Any]:
    return list(entry_points(group=f"editloop.{group}"))


def _import(path: str) -> Any:
    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ModuleNotFoundError, AttributeError) as error:
        raise RecipeError("cannot load a kind", value=path, fix=str(error)) from error
    if not isinstance(found, type):
        raise RecipeError("a kind must be a class", value=path, fix="give it as module:Class")
    return found
