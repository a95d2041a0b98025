"""Scripts that run while the image is built, each by itself."""
