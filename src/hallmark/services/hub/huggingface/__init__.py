"""The part of Hugging Face's API that its tools need to find, fetch and publish models."""
