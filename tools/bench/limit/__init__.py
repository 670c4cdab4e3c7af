"""The bare skeleton of coord's hot path, to know what is there to be reached: see README.md."""
