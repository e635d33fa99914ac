"""PostgreSQL (15 or later): the queue of record and everything else that must not be lost."""
