"""The images that a visitor can choose on a page: validation images, photographs and uploads."""
