"""Collections of images that are no folders of classes: tables of paths, parquet and Arrow files, WebDataset shards.

Each becomes an :class:`vit.data.files.folders.Index`, so the same limits and checks apply to its images. Nothing in
these files is ever unpickled, and no image is opened outside the folder of the collection.
"""
