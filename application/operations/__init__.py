"""Use cases of operators and of the service itself: readiness, retention, the audit trail."""
