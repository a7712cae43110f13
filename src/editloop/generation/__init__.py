"""Making edit data: texts by models, pairs of pictures, candidates, sessions of edits.

What may enter: steps that write or check texts of edits, their prompts, and fake answers to these;
steps that make pairs of pictures; steps that verify and choose candidates, and what becomes of the
rejected ones.
"""
