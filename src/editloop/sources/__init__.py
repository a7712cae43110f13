"""Sources of data: bundled photographs, folders of pictures, published data sets.

What may enter: sources, which list items cheaply in a fixed order and load them with captions and
provenance; readers of published layouts; and steps that complete an imported set or compare it with
test sets. No picture is edited here, and nothing uses the network unless a recipe names it.
"""
