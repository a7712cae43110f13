"""Making edit data: instructions, captions and edit types by models, candidates, sessions of edits.

What may enter: steps that write or check texts of edits, their prompts, and fake answers to these;
steps that verify and choose candidates, and what becomes of the rejected ones.
"""
