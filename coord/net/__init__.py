"""How bytes get from one process to another: listening, connecting, and sending without waiting."""
