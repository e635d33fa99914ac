"""Password hashes, access and refresh tokens, keyed digests."""
