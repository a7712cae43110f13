"""The reply in a model server's response, or the reason why it holds none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from editloop.chat.call_errors import CallError, is_safety, printable, status_error
from editloop.chat.ledger import Reply
from editloop.chat.waits import seconds_to_wait
from editloop.errors import FailureClass
from editloop.schema import Json

__all__ = ["check_usable", "counted", "not_a_reply", "parse_reply", "read_response"]

_LARGEST = 2**53  # tokens; a larger count is invalid
_REFUSED, _ELSEWHERE = "refusal", "no content"  # finish reasons of replies that are not stored
_THOUGHTS = ("reasoning", "reasoning_content", "reasoning_details", "thinking")  # of a message
_TOOLS = ("tool_calls", "function_call")
_TEXT_PARTS = (None, "text", "output_text")  # types of a content's parts
_BLOCKS = ("promptFeedback", "prompt_feedback")  # where Google says why there is no candidate


def read_response(data: bytes) -> dict[str, Json]:
    """Return the JSON object of a response's body; raises CallError if it is none, or an error."""
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        raise not_a_reply(f"the response is {_kind(data)}") from None
    if isinstance(body, list) and len(body) == 1:  # as Google wraps errors
        body = body[0]
    if not isinstance(body, dict):
        raise not_a_reply("the response is not a JSON object")
    if error := body.get("error"):  # some gateways report errors with status 200
        raise _reported(error, body)
    return body


def parse_reply(data: bytes) -> Reply:
    """Parse the reply in a response's body; raises CallError if there is none."""
    body = read_response(data)
    choice = _choice(body)
    finish_reason = _finish_reason(choice)
    message = choice.get("message")
    if message is None and is_safety(finish_reason):
        message = {}
    if not isinstance(message, dict):
        raise not_a_reply("the response holds no message")
    usage: Json = body.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    text = _text(message.get("content"))
    if isinstance(message.get("refusal"), str) and message["refusal"]:
        text, finish_reason = message["refusal"], _REFUSED
    elif not text.strip() and not is_safety(finish_reason) and (where := _elsewhere(message)):
        text, finish_reason = f"{where} (finish_reason: {finish_reason or 'none'})", _ELSEWHERE
    return Reply(
        text=text,
        model=_name(body.get("model")),
        revision=_name(body.get("system_fingerprint")),
        finish_reason=finish_reason,
        input_tokens=counted(usage.get("prompt_tokens")),
        output_tokens=counted(usage.get("completion_tokens")),
    )


def check_usable(reply: Reply) -> None:
    """Raise CallError if a content filter refused, or if the reply has no content.

    A filter's answer would be the same again; a model's own refusal may differ.
    """
    if is_safety(reply.finish_reason):
        told = f"the server's content filter refused ({printable(reply.finish_reason)})"
        raise CallError("filtered", told, FailureClass.POLICY, retry=False)
    if reply.finish_reason == _REFUSED:
        raise CallError("filtered", printable(reply.text), FailureClass.POLICY)
    if reply.finish_reason == _ELSEWHERE:
        raise CallError("empty", printable(reply.text), FailureClass.PERMANENT)


def _kind(data: bytes) -> str:
    """Return what a response is that is not JSON."""
    start = data.lstrip()[:9].lower()
    if start.startswith((b"<!doctype", b"<html", b"<head", b"<body")):
        return "a web page, not JSON"
    return "a stream of events, not JSON" if start.startswith((b"data:", b"event:")) else "not JSON"


def _reported(error: Json, body: Mapping[str, Json]) -> CallError:
    """Return an error that came with status 200."""
    detail, code, status = str(error), "", None
    if isinstance(error, dict):
        detail = str(error.get("message") or error)
        code = str(error.get("code") or error.get("type") or "")
        status = int(code) if code.isdigit() else None
    if is_safety(code) or (status is not None and 400 <= status < 600):
        found = status_error(
            status or 400, code, printable(detail), seconds_to_wait({}, body, detail)
        )
        found.said = (detail,)
        return found
    return not_a_reply(f"the response is an error: {detail}")


def _choice(body: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = body.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return choices[0]
    for name in _BLOCKS:
        if isinstance(feedback := body.get(name), dict):
            reason = feedback.get("blockReason") or feedback.get("block_reason") or "no candidate"
            return {"finish_reason": f"content_filter: {reason}"}
    raise not_a_reply("the response holds no choices")


def _finish_reason(choice: Mapping[str, Any]) -> str:
    """Return why the reply ended; a gateway may keep the filter's own reason beside its own."""
    native = _name(choice.get("native_finish_reason"))
    return native if is_safety(native) else _name(choice.get("finish_reason"))


def _text(content: Json) -> str:
    """Return a message's text, which some servers send as a list of parts."""
    if isinstance(content, list):
        parts = (part for part in content if isinstance(part, dict))
        texts = (part.get("text") for part in parts if part.get("type") in _TEXT_PARTS)
        return "".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""


def _elsewhere(message: Mapping[str, Json]) -> str:
    """Return what a message without content holds instead; empty if nothing."""
    thoughts = [f"`{name}`" for name in _THOUGHTS if message.get(name)]
    content = message.get("content")
    if not thoughts and isinstance(content, list) and content:
        thoughts = ["parts that are not texts"]
    if thoughts:
        return (
            f"the reply has no content, only thoughts in {' and '.join(thoughts)}: raise "
            "max_tokens, or make the server put its answers into `content`"
        )
    if tools := [f"`{name}`" for name in _TOOLS if message.get(name)]:
        return f"the reply has no content, only a call of a tool in {' and '.join(tools)}"
    return ""


def _name(value: Json) -> str:
    return value if isinstance(value, str) else ""


def counted(value: Json) -> int | None:
    """Return a number of tokens, or None for what is none."""
    counted = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST
    return value if counted else None


def not_a_reply(message: str) -> CallError:
    """Return the error of a response that the server may have billed, but that holds no reply."""
    return CallError("broken-reply", printable(message), billed=True)
