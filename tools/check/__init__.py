"""Histories recorded by clients, and whether an ensemble that kept its promises could have produced them."""
