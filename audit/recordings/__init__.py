"""Recorded features: a dataset with the features of its images, and of texts, and no image.

A recording is a folder, which `import_features` makes from what others computed, and `audit run`
reads as a dataset. Nothing here loads a model.
"""
