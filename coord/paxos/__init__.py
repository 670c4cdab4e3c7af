"""How servers agree on one history of batches. Pure; knows no znode, no clock, no socket and no file."""
