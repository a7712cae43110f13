"""Samplers by name: diffusers' schedulers with the noise levels of a trained model."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from editloop.errors import RecipeError

__all__ = ["SchedulerName", "scheduler_like"]

SchedulerName: TypeAlias = Literal["default", "euler-ancestral", "euler", "ddim", "dpm++2m"]

_CLASSES: dict[str, tuple[str, dict[str, Any]]] = {
    "euler-ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "ddim": ("DDIMScheduler", {}),
    "dpm++2m": (
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "dpmsolver++", "solver_order": 2},
    ),
}


def scheduler_like(name: SchedulerName, own: Any) -> Any:
    """Return the named sampler with the noise levels of a checkpoint's `own`; "default" is `own`.

    Raises RecipeError where the two are incompatible, as with a flow-matching checkpoint.
    """
    if name == "default":
        return own
    class_name, options = _CLASSES[name]
    import diffusers

    made = getattr(diffusers, class_name)
    if made not in own.compatibles:
        raise RecipeError(
            f"the checkpoint's noise levels ({type(own).__name__}) don't fit this sampler",
            value=name,
            fix="leave out `scheduler`, or write scheduler=default",
        )
    return made.from_config(own.config, **options)
