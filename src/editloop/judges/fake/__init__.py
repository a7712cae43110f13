"""The answers of the fake server for judges, taken from the known truth of darkroom edits.

What may enter: code that recognises a judge's question and answers it. The server itself is in
`chat/fake`.
"""
