"""Text, vision and image calls to OpenAI-compatible servers: client, ledger, budget, prompts.

What may enter: code that makes the calls. The questions themselves belong to the rooms that ask.
"""
