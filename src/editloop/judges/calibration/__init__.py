"""Who judges the judge: pairs whose truth is recorded, and what a judge's verdicts on them tell.

`edits` and `pairs` draw what is judged, `asking` asks each question once; `against_truth`,
`sanity`, `stability`, `preferences` and `people` each answer one question with plain numbers.
"""
