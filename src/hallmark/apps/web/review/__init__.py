"""The review desk's pages: queue, items, screens as they were, figures, webhooks, appeals, forms."""
