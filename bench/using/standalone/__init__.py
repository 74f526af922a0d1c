"""What an exported bundle runs: these files go into it as they are, and know nothing of this project."""
