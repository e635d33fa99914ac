"""Language models: one module for each provider, a circuit breaker and a fallback around them, and what they share."""
