"""The step `edit-type`: Real-Edit's seven types and UltraEdit's nine, by rules or by a model."""

from __future__ import annotations

from dataclasses import replace

from editloop.chat.messages import Question
from editloop.generation.edit_type_rules import type_by_rules
from editloop.generation.replies import choice_of, fields_of
from editloop.generation.text_step import TextStep, noted
from editloop.kernel.steps import Keep, Outcome
from editloop.schema import EditSample, EditType
from editloop.sources.taxonomies import ULTRA_EDIT

__all__ = ["EditTypeStep"]


class EditTypeStep(TextStep):
    """Classify each instruction; a model is asked only where no rule is sure.

    The provenance records UltraEdit's type (`ultra_edit_type`) and who chose (`typed_by`).
    """

    prompt = "edit-type"
    adds = frozenset({"edit_type"})

    @property
    def name(self) -> str:
        """The kind."""
        return "edit-type"

    def question(self, sample: EditSample) -> Question | Outcome:
        """Return the typed sample if a rule is sure, else the question."""
        found = type_by_rules(sample.instruction)
        if found is None:
            return super().question(sample)
        return Keep((_typed(sample, found[0], found[1], "rules"),))

    def read(self, sample: EditSample, reply: str) -> EditSample:
        fields = fields_of(reply)
        kind = EditType(choice_of(fields, "type", [each.value for each in EditType]))
        return _typed(sample, kind, choice_of(fields, "ultra_edit", [*ULTRA_EDIT]), "model")


def _typed(sample: EditSample, kind: EditType, ultra_edit: str, by: str) -> EditSample:
    return replace(noted(sample, ultra_edit_type=ultra_edit, typed_by=by), edit_type=kind)
