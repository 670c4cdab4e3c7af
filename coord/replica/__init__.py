"""One server's whole brain: inputs in, one ordered output out. Pure; everything here is gone with the process."""
