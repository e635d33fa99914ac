"""What people read of the service, by language: the texts of problems and of pages. docs/languages.md adds one."""
