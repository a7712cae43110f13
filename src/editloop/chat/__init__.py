"""Text, vision and image calls to OpenAI-compatible servers: client, ledger, budget, prompts.

What may enter: what a call needs. What is asked about, and why, is for the rooms that ask.
"""
