"""Language models: one module a provider, and what bounds and replaces them."""
