"""Use cases of plans, quota and subscriptions."""
