"""What the fake server answers for judges: the truth of edits that the darkroom made."""
