"""Published models opened as runs: which timm models our ViT is, their images, classes and weights."""
