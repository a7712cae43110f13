"""The darkroom's language: it writes instructions, captions and rewards, and parses instructions.

`phrases` and `reward_words` write. `parsing` parses: `lexicon` tags words, `clauses` finds the
things that they name, and `grammar` applies the rules (`object_rules`, `look_rules`).
"""
