"""What pages and terminals show alike: charts, tables, names of metrics, small pictures.

What may enter: plain values in, text or markup out; nothing here reads a run folder.
"""
