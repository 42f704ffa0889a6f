"""Files: written as a whole or not at all, read without running anything."""
