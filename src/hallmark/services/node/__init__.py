"""The host of an enclave: measures and confines it, pipes bytes that it cannot read, keeps its receipts."""
