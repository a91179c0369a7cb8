"""What the browser tests share: a browser, served pages, and what is taken off them."""
