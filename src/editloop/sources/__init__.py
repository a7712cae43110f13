"""Data sources: photographs bundled with packages, folders of images, published data sets.

The room holds sources (`steps.Source`), which list pictures cheaply in a fixed order and load them
normalised, each with its caption and provenance; readers for the layouts of published data sets
(`layouts.open_layout`), which return edits unchanged or report every problem; and the steps that
add inverse edits to an imported set and compare it with test sets. No picture is edited here, and
no network is used unless a recipe asks for it.
"""
