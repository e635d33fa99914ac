"""Plans: what a user has and how much of it is used."""
