"""Stripe: payments, webhook events, and a sandbox that stands in for it."""
