"""The blob store: Walrus's publisher and aggregator in front of a directory, a bucket or Walrus."""
