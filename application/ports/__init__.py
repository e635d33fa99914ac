"""What the stories need from the outside, in their own words. One port per file; adapters implement them."""
