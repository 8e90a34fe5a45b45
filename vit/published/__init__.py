"""Open published models as runs: architecture, preprocessing, class names and weights of timm's models."""
