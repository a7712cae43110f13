"""Where data comes in: photographs bundled with packages, folders of images, published data sets.

What may enter: sources (`steps.Source`) that list pictures cheaply in a fixed order and load them
normalised, each with its caption and provenance; readers of the layouts that published data sets
come in (`layouts.open_layout`), which pass on edits as they are, or say all that is wrong with
them; and the steps by which an imported set is completed (its edits' ways back) and compared with
test sets. No picture is edited here, and nothing needs a network unless a recipe names it.
"""
