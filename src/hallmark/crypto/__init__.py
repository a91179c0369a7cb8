"""Keys and signatures, over well-kept libraries."""
