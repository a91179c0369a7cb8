"""The host of an enclave: builds and measures the image, confines it, pipes bytes it cannot read, keeps its receipts."""
