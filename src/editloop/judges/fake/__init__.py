"""Answers of the fake server for judges: the known truth of darkroom edits."""
