"""Making edit data: instructions, captions and edit types by models, and sessions of edits.

What may enter: steps that write or check texts of edits, their prompts, and fake answers to these.
"""
