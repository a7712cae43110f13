"""The darkroom's language: it writes instructions, captions and rewards, and parses instructions.

What may enter: vocabulary, phrases and grammar. `phrases` and `reward_words` write text. `parsing`
reads it: `lexicon` finds the words, `clauses` what they refer to, and `grammar` applies the rules
(`object_rules`, `look_rules`) to find an operation.
"""
