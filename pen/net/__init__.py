"""What moves bytes. This package is written for speed first; it never imports `pen.control`."""
