"""CloudFront's stand-in: the page and the service behind one address."""
