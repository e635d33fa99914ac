"""The technologies behind the ports. Adapters do not know each other; only the container knows them."""
