"""What the use cases need from the outside. Adapters subclass these protocols, which hold the contracts."""
