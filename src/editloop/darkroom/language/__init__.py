"""The darkroom's words: instructions, captions and rewards written, and what people ask for read.

`phrases` and `reward_words` write. `parsing` reads: `lexicon` finds the words, `clauses` what they
name, and `grammar` goes through the rules (`object_rules`, `look_rules`) for an operation.
"""
