"""How one-time passwords reach phones, and which numbers they may reach."""
